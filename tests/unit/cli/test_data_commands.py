"""`beampermit data` in any DVC repository, with the exit codes that scripts rely on."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from beampermit.project import Project
from support.dvc_repositories import leaf, without_data


def beampermit(project: Project, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "beampermit.cli.main", "data", *arguments]
    return subprocess.run(command, cwd=project.root, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("contract", [True, False])
def test_sound_data_end_in_0_with_a_contract_or_without(dvc_project: Project, contract: bool) -> None:
    if not contract:
        (dvc_project.root / "contract.yaml").unlink()
    found = beampermit(dvc_project, "check", "--base", "main", "--json")
    verdicts = {verdict["id"]: verdict for verdict in json.loads(found.stdout)}
    assert found.returncode == 0, found.stderr
    assert verdicts["DAT003"]["outcome"] == "passed"
    assert (verdicts["DAT004"]["outcome"] == "passed") is contract
    assert ("there is no contract.yaml" in verdicts["DAT004"]["reason"]) is not contract


def test_missing_data_end_in_1_and_a_remote_that_is_down_in_4(dvc_project: Project, storage: Path) -> None:
    file = leaf(dvc_project.root, storage, "data/raw.parquet")
    without_data(dvc_project)
    file.unlink()
    missing = beampermit(dvc_project, "pull")
    assert (missing.returncode, missing.stdout) == (1, "")
    assert "data/raw.parquet is not on the remote" in missing.stderr
    shutil.rmtree(storage)
    down = beampermit(dvc_project, "pull", "--json")
    assert (down.returncode, json.loads(down.stdout)["exit_code"]) == (4, 4)


def test_a_folder_without_dvc_is_told_so(project: Project) -> None:
    found = beampermit(project, "pull")
    assert (found.returncode, found.stdout) == (2, "")
    assert "this is no DVC repository" in found.stderr
    assert "next: dvc init" in found.stderr
