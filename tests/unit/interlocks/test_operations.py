"""OPS002: deployment files that say something else than the contract, and those that a laboratory has made its own."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import zip_longest
from pathlib import Path
from typing import Any

import pytest

from beampermit.deployment import files
from beampermit.deployment.deployment import deployment_of
from beampermit.interlocks.operations import OPS002
from beampermit.interlocks.runner import check
from beampermit.project import Project
from beampermit.verdicts.verdict import Outcome, Verdict
from support.deployed_project import deployed, deployed_repository

__all__ = ["deployed", "deployed_repository"]

UNIT, PROCSERV, POD = "deploy/bpm-faults.service", "deploy/bpm-faults.procserv.conf", "deploy/kubernetes.yaml"
ACCESS, SCREEN, ARCHIVER, ALARMS = (
    "deploy/access.acf",
    "deploy/bpm-faults.bob",
    "deploy/archiver.json",
    "deploy/phoebus.xml",
)

KUSTOMIZATION = "deploy/kustomization.yaml"
DEFAULT_WRITTEN = "ASG(DEFAULT) {\n    RULE(0, WRITE, TRAPWRITE) { UAG(limits) }"
FAULTY = """\
kind: Deployment
spec:
  replicas: 3
  template:
    spec:
      containers:
        - args: [beampermit, serve, --model=bpm-faults, --http=127.0.0.1:8765]
          readinessProbe: {httpGet: {path: /, port: 8765}}
---
apiVersion: apps/v1"""
STEP = "2. Take the monitor out of the orbit feedback."


def judge(project: Project) -> Verdict:
    return check(Project(project.root, base="main"), [OPS002])[0]


def change(project: Project, file: str, before: str, after: str) -> int:
    """Replaces a text in a file; returns its line."""
    path = project.root / file
    text = path.read_text()
    assert before in text
    path.write_text(text.replace(before, after))
    return text[: text.index(before)].count("\n") + 1


def told(verdict: Verdict, file: str) -> str:
    return "; ".join(place.reason for place in verdict.locations if place.file == file)


def rounds(cases: Mapping[str, tuple[Any, ...]]) -> list[list[str]]:
    """Cases about different files, which one verdict tells."""
    by_file: dict[str, list[str]] = {}
    for name, (file, *_) in cases.items():
        by_file.setdefault(file, []).append(name)
    return [[*filter(None, names)] for names in zip_longest(*by_file.values())]


@pytest.mark.slow
def test_files_that_were_just_made_pass(deployed: Project) -> None:
    verdict = judge(deployed)
    assert verdict.passed
    assert verdict.reason == "9 files in deploy/"


def test_a_contract_that_names_no_folder_is_held_to_none(project: Project) -> None:
    verdict = judge(project)
    assert verdict.passed
    assert verdict.reason == "contract.yaml names no folder of deployment files (serving.deployment)"


DEFECTS = {
    "another model in the unit": (UNIT, "--model bpm-faults", "--model others", "--model is others, not bpm-faults"),
    "a second model in the unit, which is the one that counts": (
        UNIT,
        "    --http",
        "    --model=b --http",
        "--model is b",
    ),
    "another model before the service": (
        UNIT,
        "ExecStart=",
        "ExecStartPre=-/usr/bin/beampermit serve --model others\nExecStart=",
        "--model is others, not bpm-faults",
    ),
    "another model in the same shell": (
        UNIT,
        "ExecStart=",
        "ExecStartPost=sh -c 'beampermit serve --model others && beampermit serve --model bpm-faults'\nExecStart=",
        "--model is others, not bpm-faults",
    ),
    "a unit that starts something else": (UNIT, "beampermit serve", "beampermit server", "--model is missing"),
    "a unit without readiness": (UNIT, "Type=notify", "Type=simple", "Type is simple, not notify"),
    "a watchdog that a slow model sets off": (UNIT, "=30s\nR", "=5s\nR", "WatchdogSec is 5, not at least 30"),
    "no watchdog": (UNIT, "WatchdogSec=30s", "WatchdogSec=0", "WatchdogSec is 0, not at least 30"),
    "no limit of memory": (UNIT, "MemoryMax=6656M", "", "MemoryMax is missing"),
    "another model in procServ": (PROCSERV, "--model bpm-faults", "--model=b", "--model is b, not bpm-faults"),
    "another model in the pod": (POD, "--model=bpm-faults", "--model=b", "--model is b, not bpm-faults"),
    "two servers": (POD, "replicas: 1", "replicas: 2", "replicas is 2, not 1"),
    "two servers for a while": (POD, "kind: StatefulSet", "kind: Deployment", "kind is Deployment, not StatefulSet"),
    "a probe of something else": (POD, "/readyz", "/healthz", "readinessProbe is /healthz, not /readyz"),
    "probes where nobody listens": (POD, "=127.0.0.1:8765", "=127.0.0.1:80", "startupProbe is /healthz on port 8765, "),
    "a faulty server before the good one": (POD, "apiVersion: apps/v1", FAULTY, "kind is Deployment, not StatefulSet"),
    "its replicas": (POD, "apiVersion: apps/v1", FAULTY, "replicas is 3, not 1"),
    "its probe": (POD, "apiVersion: apps/v1", FAULTY, "readinessProbe is /, not /readyz"),
    "another model in a container before the others": (
        POD,
        "      containers:",
        "      initContainers:\n        - args: [beampermit, serve, --model=b]\n      containers:",
        "--model is b, not bpm-faults",
    ),
    "no probe": (POD, "startupProbe:", "x:", "startupProbe is missing"),
    "a kustomization of another pod": (KUSTOMIZATION, "[k", "[other-k", "resource kubernetes.yaml is missing"),
    "no record of who wrote": (
        ACCESS,
        ", TRAPWRITE) { UAG(limits)",
        ") { UAG(limits)",
        "LIMITS) would not be logged",
    ),
    "values that somebody writes": (ACCESS, "0, WRITE", "1, WRITE", "RULE(1, WRITE) lets write values too"),
    "status that somebody writes": (
        ACCESS,
        "ASG(DEFAULT) {",
        DEFAULT_WRITTEN,
        "ASG(DEFAULT) lets write status PVs",
    ),
    "another PV on the screen": (SCREEN, "<pv_name>BPM2:X:F", "<pv_name>BPM2:Y:F", "PV BPM2:X:FAULT is missing"),
    "other limits on the screen": (SCREEN, "hihi 0.9 M", "hihi 1 M", "limits of score is high 0.5 MINOR, hihi 1 MAJOR"),
    "another logbook": (
        SCREEN,
        "//logbook.lab",
        "//old.lab",
        "the link to the logbook is https://old.lab.example, not",
    ),
    "a PV that is not archived": (ARCHIVER, "BPM2:X:FAULT", "CURRENT", "PV BPM2:X:FAULT is missing"),
    "a PV without alarms": (ALARMS, 'name="BPM2:X:FAULT"', 'name="CURRENT"', "PV BPM2:X:FAULT is missing"),
    "other words for the operator": (ALARMS, STEP, "2. Keep it.", f"score above 0.9' is 2. Keep it., not {STEP}"),
}


@pytest.mark.slow
@pytest.mark.plants("OPS002")
@pytest.mark.parametrize("defects", rounds(DEFECTS), ids=", ".join)
def test_ops002_fails_for_what_the_contract_decides_otherwise(deployed: Project, defects: list[str]) -> None:
    for file, before, after, _ in (DEFECTS[name] for name in defects):
        change(deployed, file, before, after)
    verdict = judge(deployed)
    assert verdict.outcome is Outcome.FAILED
    assert [name for name in defects if DEFECTS[name][3] not in told(verdict, DEFECTS[name][0])] == []
    assert "`beampermit deployment`" in verdict.fix


@pytest.mark.slow
def test_each_difference_is_told_with_its_line(deployed: Project) -> None:
    lines = [
        (UNIT, change(deployed, UNIT, "MemoryMax=6656M", "MemoryMax=4G")),
        (POD, change(deployed, POD, "limits: {memory: 6656Mi}", "limits: {memory: 4Gi}")),
        (ACCESS, change(deployed, ACCESS, "RULE(0, WRITE, TRAPWRITE) { UAG(restart) }", "RULE(0, WRITE, TRAPWRITE)")),
        (SCREEN, change(deployed, SCREEN, "<pv_name>BPM1:Y:FAULT", "<pv_name>BPM3:Y:FAULT")),
        (ARCHIVER, change(deployed, ARCHIVER, "BPM1:Y:FAULT", "BPM3:Y:FAULT")),
        (ALARMS, change(deployed, ALARMS, '"BPM1:Y:FAULT"', '"BPM3:Y:FAULT"')),
    ]
    places = [(place.file, place.line) for place in judge(deployed).locations if place.line]
    assert places == lines


LABORATORY = {
    UNIT: (
        ("DynamicUser=yes", "User=softioc\nIOSchedulingClass=best-effort"),
        ("MemoryMax=6656M", "MemoryMax=8G"),
        ("WatchdogSec=30s", "WatchdogSec=1min 30s"),
        ("--state /var/lib/bpm-faults ", "--state=/data/faults --shadow challenger "),
        ("/opt/beampermit", "/usr/local"),
        ("ExecStart=", "ExecStart=/opt/other/beampermit serve --model others\nExecStart=\nExecStart="),
        (
            "ExecStart=",
            "ExecStartPre=/bin/sh -c 'echo \"don''t\"'\nExecStart=",
        ),
        ("Type=notify", "Type=simple\nType=notify"),
        ("    --http", "    # not that of the other service\n    --http"),
        ("Description=", "# ours\nDescription=the faults of "),
    ),
    PROCSERV: (("user = softioc", "user = ioc\nport = 20000"), ("[bpm-faults]", "[ioc-faults]")),
    POD: (
        ("8765", "9100"),
        ("runAsUser: 10001", "runAsUser: 2000"),
        ("6656Mi", "8Gi"),
        ("failureThreshold: 90", "failureThreshold: 200"),
        ("apiVersion: apps/v1", "apiVersion: v1\nkind: Namespace\nmetadata: {name: ml}\n---\napiVersion: apps/v1"),
        ("      volumes:", "        - name: logs\n          image: fluent-bit\n      volumes:"),
    ),
    ACCESS: (
        ("UAG(limits)\n", "UAG(limits) {ada, bo}\nHAG(consoles) {console1, 10.0.0.7}\n"),
        ("{ UAG(limits) }", '{ UAG(limits) HAG(consoles) CALC("A=1 # day") }'),
        ("RULE(0, WRITE, TRAPWRITE) { UAG(restart) }", ""),
    ),
    SCREEN: (
        ("<width>110", "<width>150"),
        ("</display>", '<widget type="textupdate"><pv_name>RING:CURRENT</pv_name></widget></display>'),
        ("</display>", '<widget type="textupdate"><pv_name>BOOSTER:BPM1:X:FAULT</pv_name></widget></display>'),
        ("</display>", '<widget type="textupdate"><pv_name>ca://BPM1:X:FAULT.HIHI</pv_name></widget></display>'),
    ),
    ARCHIVER: (
        ('"samplingperiod": "1"', '"samplingperiod": "0.2", "policy": "twelve-months"'),
        ("[\n", '[{"pv": "BPM1:X:TBT"}, {"pv": "RING:CURRENT"},\n'),
    ),
    ALARMS: (
        ('config name="bpm-faults"', 'config name="Accelerator"'),
        ("<latching>true", "<latching>false"),
        ("</component>", '<pv name="RING:CURRENT"/></component>'),
    ),
}


@pytest.mark.slow
def test_what_a_laboratory_makes_its_own_is_no_difference(deployed: Project) -> None:
    for file, edits in LABORATORY.items():
        for before, after in edits:
            change(deployed, file, before, after)
    verdict = judge(deployed)
    assert verdict.passed, [str(place) for place in verdict.locations]


@pytest.mark.slow
@pytest.mark.parametrize(("memory", "passes"), [("6655M", False), ("6656M", True), ("infinity", True)])
def test_memory_is_at_least_that_of_the_server_and_of_a_model_that_is_replaced(
    deployed: Project, memory: str, passes: bool
) -> None:
    change(deployed, UNIT, "MemoryMax=6656M", f"MemoryMax={memory}")
    assert judge(deployed).passed is passes


@pytest.mark.slow
def test_a_contract_that_decides_otherwise_is_held_against_files_that_stayed(deployed: Project) -> None:
    change(deployed, "contract.yaml", "hihi: 0.9", "hihi: 0.8")
    change(deployed, "contract.yaml", "memory: 2048", "memory: 4096")
    reasons = {f"{place.file}: {place.reason}" for place in judge(deployed).locations}
    assert reasons == {
        f"{UNIT}: MemoryMax is 6656, not at least 12800",
        f"{POD}: the limit of memory (Mi) is 6656, not at least 12800",
        f"{SCREEN}: limits of score is high 0.5 MINOR, hihi 0.9 MAJOR, not high 0.5 MINOR, hihi 0.8 MAJOR",
    }


@pytest.mark.slow
def test_pvs_of_what_has_gone_are_told_where_they_stayed(deployed: Project) -> None:
    change(deployed, "devices.csv", "BPM2,X\n", "")
    change(deployed, "contract.yaml", "deployment: deploy", "deployment: deploy, prefix: FAULTS")
    gone = [place for place in judge(deployed).locations if place.reason.endswith("is not a PV of this model")]
    names = {place.reason.split()[0] for place in gone}
    assert {"BPM2:X:FAULT", "BPM-FAULTS:STATUS"} <= names
    assert {place.file for place in gone if "BPM2" in place.reason} == {SCREEN, ARCHIVER, ALARMS}


@pytest.mark.parametrize("pv", ["pva://BPM9:X:FAULT", "BPM9:X:FAULT#score"])
def test_an_input_that_looks_like_an_output_is_not_gone_however_it_is_read(deployed: Project, pv: str) -> None:
    change(deployed, "contract.yaml", "{device}:{plane}:TBT", pv)
    deployment = deployment_of(Project(deployed.root))
    assert not deployment.is_gone("BPM9:X:FAULT")
    assert deployment.is_gone("BPM8:X:FAULT")


@pytest.mark.slow
def test_devices_may_have_colons(deployed: Project) -> None:
    change(deployed, "devices.csv", "BPM1,X\n", "SR:BPM1,X\nSR:BPM3,X\n")
    project = Project(deployed.root)
    files.write(project, "deploy", deployment_of(project))
    assert judge(deployed).passed
    change(deployed, "devices.csv", "SR:BPM3,X\n", "")
    assert "SR:BPM3:X:FAULT is not a PV of this model" in told(judge(deployed), ALARMS)


@pytest.mark.slow
def test_a_renamed_output_leaves_no_pv_of_its_old_name(deployed: Project) -> None:
    change(deployed, "contract.yaml", "{plane}:FAULT", "{plane}:BROKEN")
    reasons = [place.reason for place in judge(deployed).locations if place.file == ARCHIVER]
    assert "PV BPM1:X:BROKEN is missing" in reasons
    assert "BPM1:X:FAULT is not a PV of this model" in reasons


def link(project: Project, file: Path) -> None:
    file.rename(project.root / "elsewhere")
    file.symlink_to("../elsewhere")


UNREADABLE = {
    "gone": (ACCESS, None, "the file is missing"),
    "no access security": (ACCESS, "UAG(limits)\n", "neither ASG(LIMITS) nor ASG(RESTART): it lets nobody write"),
    "no XML": (SCREEN, "<display>\n</widget>\n", "not XML: mismatched tag"),
    "entities": (SCREEN, '<!DOCTYPE d [<!ENTITY a "a">]>\n<display/>\n', "a document type is not allowed here"),
    "no YAML": (POD, "kind: [\n", "not YAML"),
    "YAML that repeats itself": (POD, "a: &a [*a]\n", "stands inside of what it repeats"),
    "another kind of YAML": (POD, "- 1\n- {spec: 2}\n", "kind is missing"),
    "no JSON": (ARCHIVER, "[{]\n", "not JSON"),
    "no list": (ARCHIVER, "{}\n", "not a list of PVs to archive"),
    "no unit": (UNIT, "[Service]\nExecStart=beampermit 'serve\n", "this command cannot be read: No closing quotation"),
    "no sections": (PROCSERV, "command = x\n", "not a configuration of procServ: File contains no section headers."),
    "a merge": (ALARMS, "<a>\n<<<<<<< HEAD\n</a>\n", "there are merge-conflict markers in this file"),
    "bytes": (ALARMS, b"\xff", "not UTF-8"),
}


@pytest.mark.parametrize("faults", rounds(UNREADABLE), ids=", ".join)
def test_a_file_that_nothing_can_read_is_told(deployed: Project, faults: list[str]) -> None:
    for file, content, _ in (UNREADABLE[name] for name in faults):
        path = deployed.root / file
        path.unlink()
        if content is not None:
            path.write_bytes(content if isinstance(content, bytes) else content.encode())
    verdict = judge(deployed)
    assert verdict.outcome is Outcome.FAILED
    assert [name for name in faults if UNREADABLE[name][2] not in told(verdict, UNREADABLE[name][0])] == []


@pytest.mark.slow
def test_a_file_of_gigabytes_is_not_read(deployed: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    largest = deployed.path(SCREEN).stat().st_size
    monkeypatch.setattr(files, "LARGEST", largest)
    assert judge(deployed).passed
    monkeypatch.setattr(files, "LARGEST", largest - 1)
    assert told(judge(deployed), SCREEN) == f"this file is larger than {largest - 1} bytes, the limit"


@pytest.mark.slow
def test_a_link_and_a_file_that_git_ignores_are_no_files_of_the_commit(deployed: Project) -> None:
    link(deployed, deployed.root / ACCESS)
    deployed.git("rm", "--quiet", "--cached", ALARMS)
    (deployed.root / ".gitignore").write_text("*.xml\n")
    reasons = {place.file: place.reason for place in judge(deployed).locations}
    assert reasons == {ACCESS: "is a link, not a file", ALARMS: "git ignores this file"}


@pytest.mark.slow
@pytest.mark.attack(
    guard="OPS002",
    tried="takes the folder of deployment files out of the contract, and lets the unit serve another model",
    said="--model is others, not bpm-faults",
)
def test_a_branch_does_not_choose_whether_its_files_are_compared(deployed: Project, said: str) -> None:
    change(deployed, "contract.yaml", "serving: {deployment: deploy}\n", "")
    assert judge(deployed).passed, "files that agree may lose the key; a later branch deletes them"
    change(deployed, UNIT, "--model bpm-faults", "--model others")
    assert said in judge(deployed).reason


@pytest.mark.slow
@pytest.mark.attack(
    guard="OPS002",
    tried="lets anybody write alarm limits and start the model again, in the access security file",
    said="who may write to LIMITS is anybody",
)
def test_nobody_writes_who_is_not_named(deployed: Project, said: str) -> None:
    change(deployed, ACCESS, "RULE(0, WRITE, TRAPWRITE) { UAG(limits) }", "RULE(0, WRITE, TRAPWRITE)")
    assert said in judge(deployed).reason


@pytest.mark.slow
def test_a_model_that_cannot_be_served_has_no_sound_deployment(deployed: Project) -> None:
    change(deployed, "contract.yaml", 'source: pv, pv: "{device}:{plane}:TBT"', "source: derived")
    verdict = judge(deployed)
    assert verdict.outcome is Outcome.FAILED
    assert verdict.reason.startswith("contract.yaml: input turns is derived from other signals")
    change(deployed, "contract.yaml", "source: derived", 'source: pv, pv: "{device}:{plane}:TBT"')
    change(deployed, "contract.yaml", "{plane}:FAULT", "{plane}.FAULT")
    assert "BPM1:X.FAULT has a dot, after which EPICS reads a field of BPM1:X" in judge(deployed).reason
