"""Where units run is judged before anything is opened, fetched or laid out."""

from __future__ import annotations

from pathlib import Path
from unittest.mock import Mock

import pytest
from typer.testing import CliRunner

from beampermit.cli.main import app
from beampermit.compute.executor import open_executor
from beampermit.errors import BadInput
from beampermit.project import Project
from support.searched_project import searched, searched_once

__all__ = ["searched", "searched_once"]

COMMANDS = {
    ("trials", "run"): "beampermit.trials.session.open_study",
    ("validate",): "beampermit.trials.cross_validation.subject_of",
    ("backtest", "no-such-table"): "beampermit.monitoring.backtest.recorded.opened",
    ("reproduce", "--seeds", "all"): "beampermit.reproduction.reproduce.reproduce",
}
WRONG = {
    ("--on", "slrm"): "--on is 'slrm', and there is local, slurm, dask://ADDRESS, dask-gateway://NAME, kubernetes; "
    "did you mean 'slurm'?",
    ("--cores", "99"): "a unit needs 99 cores (--cores), this machine has 2",
    ("--on", "dask://ada:s3cret@login1:8786"): "an address of Dask has no login",
}


@pytest.mark.slow
@pytest.mark.parametrize("command", COMMANDS, ids=lambda words: words[0])
def test_what_is_wrong_with_a_place_is_said_first(
    command: tuple[str, ...], searched: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("beampermit.compute.local.cores_here", lambda: 2)
    monkeypatch.setattr(COMMANDS[command], begun := Mock(side_effect=AssertionError))
    where = ["--work", str(tmp_path / "work"), "--project", str(searched.root)]
    for options, reason in WRONG.items():
        ran = CliRunner().invoke(app, [*command, *options, *where])
        assert isinstance(ran.exception, BadInput)
        assert reason in str(ran.exception)
        assert "s3cret" not in str(ran.exception)
    assert not begun.called
    assert [*(tmp_path / "work").iterdir()] == []


@pytest.mark.slow
def test_a_fold_is_trained_on_several_machines_as_a_trial_is(
    searched: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = []
    opened = lambda on, resources, work: seen.append(resources) or open_executor(on, resources, work)  # noqa: E731
    monkeypatch.setattr("beampermit.trials.cross_validation.open_executor", opened)
    words = ["validate", "--nodes", "2", "--work", str(tmp_path / "work"), "--project", str(searched.root)]
    ran = CliRunner().invoke(app, words)
    assert seen[0].nodes == 2
    assert str(ran.exception) == "--on local is one machine, and --nodes is 2"
