"""The rollback workflow, run by act: by dispatch, with a reason."""

from __future__ import annotations

from pathlib import Path

import pytest

from beampermit.project import Project
from beampermit.rehearsal import rehearse
from beampermit.rehearsal.rehearse import FILES
from support.forked_commands import MLFLOW
from support.paths import ROOT
from support.registry_project import MODEL, Laboratory, database, laboratory, prepared
from support.rehearsals import lend_checker

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


def test_a_dispatch_brings_the_champion_before_back_and_a_version_that_never_was_moves_nothing(two: Laboratory) -> None:
    found = rehearse(Project(two.root), "rollback", inputs={"reason": "why", "to": "9"}, timeout=240)
    assert not found.ok
    assert any("version 9 was never champion" in line for line in found.failed[0].tail), found.failed
    assert two.champion() == 2
    assert two.registry.state(MODEL) == "in service"

    reason = 'it drifts; `id` $(id) "quoted"'
    found = rehearse(Project(two.root), "rollback", inputs={"reason": reason, "to": ""}, timeout=240)
    assert found.ok, found.failed
    assert two.champion() == 1
    last = two.last()
    assert (last.event, last.version, last.expected, last.reason) == ("rollback", 1, 2, reason)
    assert last.run.endswith(f"/actions/runs/{Path(found.folder).name.translate(str.maketrans('', '', 'TZ.'))}")
