"""Units as an Indexed Job: Kubernetes takes the manifest, and its containers do the units."""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml

from beampermit.compute import kubernetes
from beampermit.compute.collect import perform_all
from beampermit.compute.executor import open_executor
from beampermit.compute.kubernetes import over
from beampermit.compute.resources import Resources, load_resources
from beampermit.compute.unit import Unit, prepare, read_result
from beampermit.compute.worker import store
from beampermit.errors import BadInput, Outside
from support import kubectl
from support.units_of_work import lines_of, wait_for

PODS = {"image": "registry.lab.example:5000/ml/beampermit:0.1", "claim": "work"}
SECRET = "hunter2-of-the-registry"
UnitOf = Callable[..., Unit]


@pytest.fixture(autouse=True)
def _a_user(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kubernetes.os, "getuid", lambda: 1234)


def resources(**asked: Any) -> Resources:
    pods = {**PODS, **asked.pop("kubernetes", {})}
    return Resources.model_validate({**asked, "kubernetes": pods})


def submitted(work: Path, asked: Resources, *units: Unit) -> dict[str, Any]:
    """The job whose manifest was written for these units."""
    for unit in units:
        prepare(unit, unit.folder(work))
    with open_executor("kubernetes", asked, work) as executor:
        executor.submit([unit.folder(work) for unit in units])
    (file,) = work.glob("kubernetes/*/job.yaml")
    job = yaml.safe_load(file.read_text())
    kubernetes_validate.validate(job, kubernetes_validate.latest_version(), strict=True)
    return job


def test_kubernetes_takes_the_manifest(
    work: Path, unit_of: UnitOf, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", SECRET)
    asked = resources(
        cores=4, gpus=2, memory="8G", partition="ml-queue", at_once=2, kubernetes={"namespace": "ml", "mount": "/"}
    )
    job = submitted(work, asked, *(unit_of(x) for x in range(20)))
    (file,) = work.glob("kubernetes/*/job.yaml")
    assert SECRET not in file.read_text()
    assert capfd.readouterr().err.splitlines() == [
        f"run: kubectl --namespace ml apply -f {file}",
        f"to end what runs: kubectl --namespace ml delete -f {file}",
    ]
    assert job["metadata"]["labels"]["kueue.x-k8s.io/queue-name"] == "ml-queue"
    spec, pod = job["spec"], job["spec"]["template"]["spec"]
    assert (spec["suspend"], spec["completions"], spec["parallelism"]) == (True, 8, 2)
    assert (spec["completionMode"], spec["backoffLimitPerIndex"]) == ("Indexed", 3)
    (container,) = pod["containers"]
    assert container["resources"] == {
        "requests": {"cpu": "4", "memory": str(8 * 2**30)},
        "limits": {"memory": str(8 * 2**30), "nvidia.com/gpu": 2},
    }
    assert pod["securityContext"]["runAsNonRoot"]
    assert pod["securityContext"]["runAsUser"] == 1234
    assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}
    assert not pod["automountServiceAccountToken"]
    assert {one["name"]: one["mountPath"] for one in container["volumeMounts"]}["work"] == "/"
    assert sorted(one["name"] for one in container["env"]) == ["BEAMPERMIT_CACHE", "HOME", "JOB_COMPLETION_INDEX"]


def test_a_small_job_asks_for_nothing_else(work: Path, unit_of: UnitOf) -> None:
    job = submitted(work, resources(), unit_of(1))
    assert (job["spec"]["completions"], job["spec"]["parallelism"]) == (1, 1)
    assert "suspend" not in job["spec"]
    assert job["spec"]["template"]["spec"]["containers"][0]["resources"] == {"requests": {"cpu": "1"}}


@pytest.mark.slow
def test_its_containers_do_the_units_and_what_is_done_is_not_done_again(
    work: Path, unit_of: UnitOf, tmp_path: Path
) -> None:
    note = tmp_path / "note"
    units = [unit_of(x, note=str(note), who=x == 1) for x in range(3)]
    job = submitted(work, resources(at_once=1), *units)
    pods = kubectl.pods_of(job, tmp_path)
    assert len(pods) == 3
    for _ in range(2):  # the second time as after the loss of a node
        for words, variables in pods:
            subprocess.run(words, env=variables, cwd="/", check=True)
    results = [result["x"] for unit in units if (result := read_result(unit.folder(work)))]
    assert results == [0, 1, 4]
    assert len(list(lines_of(note))) == 3


@pytest.fixture
def applied(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of a `kubectl` that runs what it is given."""
    folder = tmp_path / "bin"
    folder.mkdir()
    kubectl.plant(folder)
    monkeypatch.setenv("PATH", str(folder), prepend=os.pathsep)
    monkeypatch.setattr(kubernetes, "ASK", 0.3)
    monkeypatch.setattr(kubernetes.Kubernetes, "late", 0.1)
    return folder


@pytest.mark.slow
def test_kubectl_submits_looks_and_cancels(applied: Path, work: Path, unit_of: UnitOf, tmp_path: Path) -> None:
    asked = resources(kubernetes={"apply": True})
    with open_executor("kubernetes", asked, work) as executor:
        assert sorted(
            one.result["x"] for one in perform_all(iter([unit_of(2), unit_of(3)]), executor, work) if one.result
        ) == [4, 9]
    (tmp_path / "held").touch()
    held = unit_of(5, hold=str(tmp_path / "held"), background=True)
    with open_executor("kubernetes", asked, work) as executor:
        ended = perform_all(iter([held]), executor, work, watch=lambda _: _interrupt_if_begun(held.folder(work)))
        with pytest.raises(KeyboardInterrupt):
            next(ended)
    child = int((held.folder(work) / "background").read_text())
    wait_for(lambda: not Path(f"/proc/{child}").exists())
    verbs = [line.split()[0] for line in lines_of(applied / "words")]
    assert [verb for verb in verbs if verb != "get"] == ["apply", "apply", "delete"]


def _interrupt_if_begun(folder: Path) -> None:
    if (folder / "background").exists():
        raise KeyboardInterrupt


def test_a_job_that_is_over_without_a_result_is_tried_again_and_then_said(
    applied: Path, work: Path, unit_of: UnitOf
) -> None:
    (applied / "kubectl").write_text(
        f"#!/bin/sh\necho $1 >> {applied}/words\n[ $1 = get ] && cat {applied}/status\nexit 0\n"
    )
    message = "Job has failed indexes"
    conditions = [{"type": "Suspended", "status": "False"}, {"type": "Failed", "status": "True", "message": message}]
    (applied / "status").write_text(json.dumps({"status": {"conditions": conditions}}))
    with open_executor("kubernetes", resources(kubernetes={"apply": True}), work) as executor:
        (ended,) = perform_all(iter([unit_of(1)]), executor, work)
    assert ended.reason.startswith("lost 3 times: the job beampermit-")
    assert "is over: Job has failed indexes; see kubectl describe job beampermit-" in ended.reason
    assert [line for line in lines_of(applied / "words") if line == "apply"] == ["apply"] * 3


def test_who_types_kubectl_s_commands_is_told_to_look_where_nothing_ends(work: Path, unit_of: UnitOf) -> None:
    units = [unit_of(1), unit_of(2)]
    first, second = (unit.folder(work) for unit in units)
    for unit in units:
        prepare(unit, unit.folder(work))
    with open_executor("kubernetes", resources(kubernetes={"namespace": "ml"}), work) as executor:
        assert isinstance(executor, kubernetes.Kubernetes)
        executor.submit([first, second])
        (file,) = work.glob("kubernetes/*/job.yaml")
        unbegun = f"no pod of {file.parent.name} has begun"
        look = (
            f"no unit has ended for 12 min: kubectl --namespace ml get -f {file} shows whether the job has failed; "
            "then press Ctrl-C, and type this command again"
        )
        assert executor.waiting() == unbegun
        executor._heard -= 720
        assert executor.waiting() == f"{unbegun}, {look}"
        for folder in (first, second):
            (folder / "running").touch()
        assert executor.waiting() == look
        store(first, {"x": 1})
        assert [*executor.ended(0)] == [first]
        assert executor.waiting() == ""
        store(second, {"x": 4})
        assert [*executor.ended(0)] == [second]
        executor._heard -= 720
        assert executor.waiting() == ""


def test_where_kubernetes_is_asked_nobody_is_told_to_look(applied: Path, work: Path, unit_of: UnitOf) -> None:
    (applied / "kubectl").write_text("#!/bin/sh\n")
    prepare(unit_of(1), unit_of(1).folder(work))
    with open_executor("kubernetes", resources(kubernetes={"apply": True}), work) as executor:
        assert isinstance(executor, kubernetes.Kubernetes)
        executor.submit([unit_of(1).folder(work)])
        executor._heard -= 720
        assert executor.waiting().endswith(" has begun")


@pytest.mark.slow
def test_kubectl_that_refuses_ends_with_its_words(applied: Path, work: Path, unit_of: UnitOf) -> None:
    (applied / "refuses").write_text("error: exceeded quota: pods")
    with (
        open_executor("kubernetes", resources(kubernetes={"apply": True}), work) as executor,
        pytest.raises(Outside, match="kubectl apply: error: exceeded quota: pods"),
    ):
        next(perform_all(iter([unit_of(1)]), executor, work))


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        ({}, "is gone: somebody deleted it"),
        ({"status": {"active": 1}}, ""),
        ({"status": None}, ""),
        ({"status": {"conditions": [{"type": "Failed", "status": "False"}]}}, ""),
        ({"status": {"conditions": [{"type": "SuccessCriteriaMet", "status": "True"}]}}, ""),
        ({"status": {"conditions": [{"type": "Complete", "status": "True"}]}}, "is over: Complete"),
    ],
)
def test_when_a_job_is_over(said: dict[str, Any], reason: str) -> None:
    assert over(said) == reason


@pytest.mark.parametrize(
    ("asked", "reason"),
    [
        ({"kubernetes": {"image": ""}}, "--on kubernetes needs kubernetes.image"),
        ({"kubernetes": {"claim": ""}}, "--on kubernetes needs kubernetes.claim"),
        ({"kubernetes": {"mount": "/elsewhere"}}, "the volume is mounted at /elsewhere: give --work a folder in it"),
        ({"kubernetes": {"mount": "/tmp"}}, "the volume would be mounted at /tmp, where pods have a folder of their"),
        ({"kubernetes": {"mount": "//dev/./shm/"}}, "the volume would be mounted at /dev/shm, where pods have a"),
        ({"nodes": 2}, "a unit runs in one pod, and --nodes is 2"),
        ({"partition": "-x"}, "partition is '-x', and a queue of Kueue has a name of at most 63 small letters, digits"),
        ({"partition": "é"}, "partition is 'é', and a queue"),
        ({"partition": "q" * 64}, "a queue of Kueue has a name of at most 63"),
    ],
)
def test_what_pods_need_is_asked_for(work: Path, asked: dict[str, Any], reason: str) -> None:
    with pytest.raises(BadInput) as caught:
        open_executor("kubernetes", resources(**asked), work)
    assert reason in str(caught.value)


@pytest.mark.parametrize("asked", [{"partition": "q" * 63}, {"partition": "ml-1.gpu"}, {"kubernetes": {"mount": "/"}}])
def test_what_pods_can_have_is_taken(work: Path, unit_of: UnitOf, asked: dict[str, Any]) -> None:
    submitted(work, resources(**asked), unit_of(1))


def test_a_volume_may_be_below_the_folder_of_temporary_files(unit_of: UnitOf) -> None:
    with tempfile.TemporaryDirectory(dir="/tmp") as folder:
        job = submitted(Path(folder), resources(), unit_of(1))
    (container,) = job["spec"]["template"]["spec"]["containers"]
    assert [one["mountPath"] for one in container["volumeMounts"]] == [folder, "/tmp", "/dev/shm"]


def test_a_path_that_kubernetes_would_expand_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadInput) as caught:
        open_executor("kubernetes", resources(), tmp_path / "$(HOME)")
    assert caught.value.message.startswith("the folder of work has a line break or a $ in its name")


def test_pods_never_run_as_root(work: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kubernetes.os, "getuid", lambda: 0)
    with pytest.raises(BadInput, match="pods run as the user who submits, and never as root"):
        open_executor("kubernetes", resources(), work)


@pytest.mark.parametrize(
    ("text", "line", "reason"),
    [
        ("cores: 1\nkubernetes: {image: 'a b'}\n", 2, "kubernetes.image: String should match pattern"),
        ("kubernetes:\n  claim: 'x\\n y'\n", 1, "kubernetes.claim: String should match pattern"),
        ("kubernetes: {token: x}\n", 1, "kubernetes.token: Extra inputs are not permitted"),
        ("kubernetes: {apply: 'yes'}\n", 1, "kubernetes.apply: Input should be a valid boolean"),
    ],
)
def test_a_wrong_configuration_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, line: int, reason: str
) -> None:
    (tmp_path / "compute.yaml").write_text(text)
    monkeypatch.setenv("BEAMPERMIT_COMPUTE", str(tmp_path / "compute.yaml"))
    with pytest.raises(BadInput) as caught:
        load_resources({})
    assert reason in caught.value.message
    assert caught.value.line == line
