"""A foreign repository, carried by the commands that `check` names to the families that need no pipeline of ours."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from beampermit.cli.main import app
from support.existing_repository import dvc, git
from support.package_index import Index, index, uv_settings

__all__ = ["index", "uv_settings"]


def outcomes(root: Path, *names: str) -> dict[str, str]:
    found = CliRunner().invoke(app, ["check", *names, "--project", str(root), "--json"])
    return {verdict["id"]: verdict["outcome"] for verdict in json.loads(found.stdout)}


@pytest.mark.slow
def test_from_nothing_to_a_lock_that_runs_and_data_that_others_can_fetch(
    orbit: Path, uv_settings: Path, index: Index, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    project = orbit / "pyproject.toml"
    asked = project.read_text().replace("dependencies = []", 'dependencies = ["numbers"]')
    project.write_text(f'{asked}\n[[tool.uv.index]]\nurl = "{index.url}"\ndefault = true\n')
    monkeypatch.setenv("BEAMPERMIT_ENVIRONMENT", str(tmp_path / "environment"))
    ids = ("ENV001", "ENV002", "ENV003", "ENV004", "ENV005", "DAT001", "DAT002", "DAT003", "DAT008", "DOC001", "GIT003")
    before = outcomes(orbit, *ids)
    assert before["ENV001"] == before["DAT001"] == "failed"
    run: Any = CliRunner().invoke
    assert run(app, ["init", str(orbit), "--yes"]).exit_code == 0
    for words in (["env", "lock"], ["env", "install"]):
        done = run(app, [*words, "--project", str(orbit)])
        assert done.exit_code == 0, (done.output, done.exception)
    dvc(orbit, "repro", "--quiet")
    dvc(orbit, "push", "--quiet")
    git(orbit, "add", "--all")
    git(orbit, "commit", "--quiet", "--message", "Beampermit")
    after = outcomes(orbit, *ids)
    assert after == dict.fromkeys(ids, "passed")
    assert git(orbit, "status", "--porcelain") == ""
