"""The job `gpu` of a real project, under act: a GPU that is not there fails, and a fork's code is not run at all."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from beampermit.project import Project
from beampermit.rehearsal import payloads, rehearse, stage
from support.rehearsals import lend_checker, log_of
from support.shared import shared_folder

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]


@pytest.fixture(autouse=True)
def _only_gpu_and_permit(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave out the other jobs of the reusable workflow at hand, and share the environment of the rehearsals."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(shared_folder(tmp_path_factory) / "cache"))
    lend_checker(tmp_path_factory, monkeypatch)
    whole = stage.lay_out

    def edited(into: Path) -> Path:
        file = whole(into) / ".github/workflows/ml-pull-request.yml"
        yaml = YAML()
        tree = yaml.load(file)
        tree["jobs"] = {id: job for id, job in tree["jobs"].items() if id in ("gpu", "permit")}
        tree["jobs"]["permit"]["needs"] = ["gpu"]
        yaml.dump(tree, file)
        return into

    monkeypatch.setattr(stage, "lay_out", edited)


@pytest.fixture
def promised(trained_copy: Project) -> Project:
    """A trained project whose contract and workflow ask for a GPU, on a branch ahead of main."""
    root = trained_copy.root
    trained_copy.git("checkout", "--quiet", "-b", "topic")
    contract = root / "contract.yaml"
    cuda = contract.read_text().replace("accelerators: [cpu]\n", "accelerators: [cpu, cuda]\n")
    contract.write_text(cuda.replace("\nsignals:\n", '\ntests: {gpu: {capability: "7.0"}}\nsignals:\n'))
    workflow = root / ".github/workflows/pull-request.yml"
    text = workflow.read_text()
    assert 'gpu-labels: ""' in text
    workflow.write_text(text.replace('gpu-labels: ""', """gpu-labels: '["self-hosted", "gpu"]'"""))
    trained_copy.git("commit", "--quiet", "--all", "--message", "A GPU is promised")
    return trained_copy


@pytest.mark.skipif(shutil.which("nvidia-smi") is not None, reason="this machine has a GPU")
def test_a_machine_lent_as_a_gpu_runner_without_a_gpu_fails(promised: Project) -> None:
    found = rehearse(promised, "pull-request", timeout=500, labels=("gpu",))
    gpu, permit = found.jobs
    assert (gpu.name, str(gpu.result)) == ("ml / gpu", "failure")
    assert "no GPU is visible: the program 'nvidia-smi' is not on this machine" in log_of(found, "ml / gpu")
    assert str(permit.result) == "failure"
    assert "TST003 failed: no GPU is visible" in log_of(found, "ml / permit")


def test_code_of_a_fork_is_not_run_and_a_maintainer_is_told_what_to_do(
    promised: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = payloads.pull_request

    def of_a_fork(*arguments: Any, **options: Any) -> dict[str, Any]:
        payload = own(*arguments, **options)
        payload["pull_request"]["head"]["repo"] |= {"full_name": "stranger/faults", "fork": True}
        return payload

    monkeypatch.setattr(payloads, "pull_request", of_a_fork)
    found = rehearse(promised, "pull-request", timeout=500, labels=("gpu",))
    gpu, permit = found.jobs
    assert str(gpu.result) == "skipped"
    assert "its condition is false" in gpu.reason
    assert str(permit.result) == "failure"
    said = log_of(found, "ml / permit")
    assert "TST003 has no verdict" in said
    assert "gh pr checkout 1 && git push origin HEAD:fork-1" in said
