"""The rollback workflow, run by act: by dispatch, with a reason."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

from beampermit.project import Project
from beampermit.rehearsal import rehearse
from beampermit.rehearsal.rehearse import FILES
from support.forked_commands import MLFLOW
from support.github_stand_in import GitHub
from support.paths import ROOT
from support.registry_project import MODEL, Laboratory, database, laboratory, prepared
from support.rehearsals import dispatch, lend_checker

WORKFLOW = ROOT / "template/{{cookiecutter.project_slug}}" / FILES["rollback"]
__all__ = ["database", "laboratory", "prepared"]
pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]


@pytest.fixture
def two(
    laboratory: Laboratory, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> Laboratory:
    """Two versions promoted, and the workflow that every generated project has."""
    lend_checker(tmp_path_factory, monkeypatch, needs=MLFLOW)
    laboratory.promote()
    own = laboratory.root / FILES["rollback"]
    own.parent.mkdir(parents=True)
    own.write_text(WORKFLOW.read_text())
    laboratory.change(2)
    laboratory.promote()
    monkeypatch.setenv("MLFLOW_TRACKING_URI", laboratory.uri)
    return laboratory


def test_a_dispatch_brings_the_champion_before_back_with_its_release_and_a_version_that_never_was_moves_nothing(
    two: Laboratory, github: GitHub, tmp_path: Path
) -> None:
    found = rehearse(Project(two.root), "rollback", inputs={"reason": "why", "to": "9"}, timeout=240)
    assert not found.ok
    assert any("version 9 was never champion" in line for line in found.failed[0].tail), found.failed
    assert two.champion() == 2
    assert two.registry.state(MODEL) == "in service"

    reason = 'it drifts; `id` $(id) "quoted"'
    first, second = (github.release(f"{MODEL}-v{number}") for number in (1, 2))
    inputs, registry = {"reason": reason, "to": ""}, {"MLFLOW_TRACKING_URI": two.uri}
    lines = dispatch(Project(two.root), github, tmp_path / "runner", FILES["rollback"], inputs, variables=registry)
    said = "\n".join(line.text for line in lines)
    assert [line.job_result for line in lines if line.job_result] == ["success"], said
    assert two.champion() == 1
    last = two.last()
    assert (last.event, last.version, last.expected, last.reason) == ("rollback", 1, 2, reason)
    assert re.search(rf"/actions/runs/{os.getpid()}\d+$", last.run), "the run that was dispatched here"
    # Whoever opens the releases finds the documents of what serves.
    assert first["body"].startswith(f"**In service** since {last.at}. ")
    assert second["body"].startswith(f"**Not in service**: [version 1]({first['html_url']}) is, since {last.at}. ")
    assert (first["make_latest"], second.get("make_latest")) == ("true", None)
