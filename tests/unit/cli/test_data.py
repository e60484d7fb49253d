"""`beampermit data` in any DVC repository, with the exit codes that scripts rely on."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from beampermit.project import Project
from support.dvc_repositories import leaf, without_data
from support.forked_commands import beampermit


def data(project: Project, *arguments: str) -> subprocess.CompletedProcess[str]:
    return beampermit("data", *arguments, cwd=project.root, needs=("dvc.repo",))


@pytest.mark.slow
@pytest.mark.parametrize("contract", [True, False])
def test_sound_data_are_exit_0_with_and_without_a_contract(dvc_project: Project, contract: bool) -> None:
    if not contract:
        (dvc_project.root / "contract.yaml").unlink()
    result = data(dvc_project, "check", "--base", "main", "--json")
    verdicts = {verdict["id"]: verdict for verdict in json.loads(result.stdout)}
    assert result.returncode == 0, result.stderr
    assert verdicts["DAT003"]["outcome"] == "passed"
    assert (verdicts["DAT004"]["outcome"] == "passed") is contract
    assert ("there is no contract.yaml" in verdicts["DAT004"]["reason"]) is not contract


def test_missing_data_are_exit_1_and_an_unavailable_remote_is_exit_4(dvc_project: Project, storage: Path) -> None:
    file = leaf(dvc_project.root, storage, "data/raw.parquet")
    without_data(dvc_project)
    file.unlink()
    missing = data(dvc_project, "pull")
    assert (missing.returncode, missing.stdout) == (1, "")
    assert "data/raw.parquet is not on the remote" in missing.stderr
    shutil.rmtree(storage)
    storage.write_text("a broken disk")
    down = data(dvc_project, "pull", "--json")
    assert (down.returncode, json.loads(down.stdout)["exit_code"]) == (4, 4)


def test_a_folder_without_dvc_is_exit_2(project: Project) -> None:
    result = data(project, "pull")
    assert (result.returncode, result.stdout) == (2, "")
    assert "this is not a DVC repository" in result.stderr
    assert "next: dvc init" in result.stderr


def test_staged_files_are_judged_by_the_contract_nearest_above_each(project: Project, git: Callable[..., str]) -> None:
    """The hook runs at the top, where no contract is."""
    rules = {"prö j": "notebooks: {outputs: refused}\n", "prö j/inner": "", "plain": ""}
    contract = (project.root / "contract.yaml").read_text()
    kept = contract.replace("dataset:\n", "dataset:\n  in_git: {small.npy: A test reads it}\n")
    (project.root / "contract.yaml").unlink()
    notebook = {"cells": [{"cell_type": "code", "outputs": [{"output_type": "stream"}]}], "nbformat": 4}
    for folder, rule in rules.items():
        (project.root / folder).mkdir()
        (project.root / folder / "contract.yaml").write_text((kept if folder == "plain" else contract) + rule)
        (project.root / folder / "n.ipynb").write_text(json.dumps(notebook))
        (project.root / folder / "small.npy").write_bytes(b"\x93NUMPY\x01\0")
    git("add", "--all")
    named = [f"{folder}/{name}" for folder in rules for name in ("n.ipynb", "small.npy")]
    for files in ([], ["--", *named]):
        result = data(project, "staged", "--json", *files)
        assert result.returncode == 1, result.stderr
        found = {one["file"] for one in json.loads(result.stdout)}
        assert found == {"prö j/n.ipynb", "prö j/small.npy", "prö j/inner/small.npy"}
