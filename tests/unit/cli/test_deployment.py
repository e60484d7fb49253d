"""`beampermit deployment`: what it writes, what it keeps, and what it says of files that disagree."""

from __future__ import annotations

import json

import pytest

from beampermit.project import Project
from support.deployed_project import deployed, deployed_repository
from support.forked_commands import beampermit

__all__ = ["deployed", "deployed_repository"]

UNIT = "deploy/bpm-faults.service"


def test_files_that_agree_keep_what_a_laboratory_changed(deployed: Project) -> None:
    unit, pod = deployed.path(UNIT), deployed.path("deploy/kubernetes.yaml")
    unit.write_text(unit.read_text().replace("DynamicUser=yes", "User=softioc"))
    pod.write_text(pod.read_text().replace("replicas: 1", "replicas: 3"))
    deployed.path("deploy/access.acf").unlink()
    done = beampermit("deployment", cwd=deployed.root)
    assert done.returncode == 0
    assert [
        line for line in done.stdout.splitlines() if not line.endswith("(kept: it says what the contract says)")
    ] == [
        "deploy/kubernetes.yaml",
        "deploy/access.acf",
    ]
    assert "User=softioc" in unit.read_text()
    assert "replicas: 1" in pod.read_text()
    again = beampermit("deployment", "--anew", "--json", cwd=deployed.root)
    assert len(json.loads(again.stdout)["written"]) == 9
    assert deployed.git("status", "--porcelain") == ""


def test_what_disagrees_is_told_with_file_line_and_command(deployed: Project) -> None:
    unit = deployed.path(UNIT)
    assert beampermit("deployment", "--check", cwd=deployed.root).stdout == "deploy/ says what the contract says\n"
    unit.write_text("# ours\n" + unit.read_text().replace("MemoryMax=6656M", "MemoryMax=1G"))
    deployed.path("deploy/archiver.json").unlink()
    before = unit.read_text()
    done = beampermit("deployment", "--check", cwd=deployed.root)
    assert done.returncode == 1
    line = before[: before.index("MemoryMax")].count("\n") + 1
    assert f"{UNIT}:{line}: MemoryMax is 1024, not at least 6656" in done.stderr
    assert "deploy/archiver.json: the file is missing" in done.stderr
    assert "next: the same command without --check writes them" in done.stderr
    assert unit.read_text() == before


def test_a_contract_without_a_folder_is_told_how_its_files_are_compared(deployed: Project) -> None:
    contract = deployed.path("contract.yaml")
    contract.write_text(contract.read_text().replace("serving: {deployment: deploy}\n", ""))
    done = beampermit("deployment", "--out", "ops", cwd=deployed.root)
    assert "write into contract.yaml: serving: {deployment: ops}" in done.stdout
    assert deployed.path("ops/kustomization.yaml").is_file()


def test_a_model_that_cannot_be_served_gets_no_files(deployed: Project) -> None:
    contract = deployed.path("contract.yaml")
    contract.write_text(contract.read_text().replace('source: pv, pv: "{device}:{plane}:TBT"', "source: derived"))
    done = beampermit("deployment", "--out", "ops", cwd=deployed.root)
    assert done.returncode == 1
    assert "input turns is derived from other signals, which the service does not do" in done.stderr
    assert not deployed.path("ops").exists()


@pytest.mark.parametrize("folder", ["../beside", "beside"])
def test_nothing_is_written_outside_of_the_project(deployed: Project, folder: str) -> None:
    (deployed.root.parent / "beside").mkdir()
    deployed.path("beside").symlink_to("../beside")
    done = beampermit("deployment", "--out", folder, cwd=deployed.root)
    assert (done.returncode, done.stdout) == (2, "")
    assert f"{folder}: this folder is not in the project, or a link leads out of it" in done.stderr
    assert list((deployed.root.parent / "beside").iterdir()) == []
