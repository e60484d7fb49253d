"""Commands on a real SLURM give what they give here; interrupted, they leave nothing in its queue."""

from __future__ import annotations

import json
import os
import shutil
import signal
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from beampermit.cli.main import app
from beampermit.compute.local import Local
from beampermit.compute.unit import read_ended
from beampermit.monitoring.backtest import days, measuring
from beampermit.project import Project
from support.dated_project import VALIDATES, dated, let_one_fold_end
from support.forked_pythons import COMMAND, Forked, forked
from support.recorded_project import recorded
from support.searched_project import searched, searched_once
from support.slurm import Slurm, until
from support.slurm_units import no_patience, submitted
from support.units_of_work import lines_of

__all__ = ["dated", "no_patience", "recorded", "searched", "searched_once", "submitted"]
pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("no_patience")]
NEEDED = (*VALIDATES, "beampermit.compute.slurm_job")


@pytest.fixture
def ran(monkeypatch: pytest.MonkeyPatch, submitted: list[int]) -> Callable[..., dict[str, Any]]:
    """What a command says as JSON here, and on SLURM: units that are performed there are nowhere else."""

    def run(*words: str | Path, work: Path, units: int = 0) -> dict[str, Any]:
        place = ["--on", "slurm"] if units else ["--on", "local", "--at-once", "1"]
        with monkeypatch.context() as patch:
            if units:
                patch.setattr(Local, "submit", lambda *_: pytest.fail("it runs here"))
            done = CliRunner().invoke(app, [*map(str, words), "--json", *place, "--work", str(work)])
        assert done.exit_code == 0, done.output or done.exception
        assert submitted == ([units] if units else [])
        assert len([*work.glob("slurm/*/*_log.out")]) == units, "each had a job"
        return json.loads(done.stdout)

    return run


def test_folds_that_ctrl_c_ended_leave_no_job_and_the_same_command_goes_on_to_what_one_here_says(
    slurm: Slurm, dated: Project, ran: Callable[..., dict[str, Any]], tmp_path: Path
) -> None:
    place, work = let_one_fold_end(dated, tmp_path), tmp_path / "work"
    words = ["validate", "--folds", "2", "--project", dated.root]

    def validate() -> Forked:
        return forked(COMMAND, *words, "--on", "slurm", "--json", "--work", work, cwd=tmp_path, needs=NEEDED)

    first = validate()
    until(lambda: len([*lines_of(place / "begun")]) == 2 and len(ended(work)) == 1, slurm)
    os.killpg(first.pid, signal.SIGINT)  # as a terminal does
    code, said, errors = first.finish()
    assert (code, said) == (130, "")
    assert errors.splitlines()[-1].startswith("beampermit: interrupted")
    assert "Traceback" not in errors
    until(lambda: not slurm("squeue", "--noheader"), slurm)
    (done,) = ended(work)
    (place / "go").touch()
    code, said, errors = validate().finish()
    assert code == 0, errors
    there, here = json.loads(said), ran(*words, work=tmp_path / "here")
    assert sorted(fold.pop("reused") for fold in there["folds"]) == [False, True]
    assert [fold.pop("reused") for fold in here["folds"]] == [False, False]
    for fold in (*here["folds"], *there["folds"]):
        assert fold.pop("seconds") > 0
    assert there == here
    begun = Counter([*lines_of(place / "begun")][:3])  # the last two are of here
    assert (len(begun), begun[done.name]) == (2, 1), "what was done is not done again"
    assert len([*work.glob("slurm/*/*_log.out")]) == 3, "each had a job"


def test_ctrl_c_before_sbatch_has_answered_leaves_no_job_either(slurm: Slurm, dated: Project, tmp_path: Path) -> None:
    (tmp_path / "bin").mkdir()
    slow = tmp_path / "bin/sbatch"
    taken = tmp_path / "taken"
    slow.write_text(f'#!/bin/sh\n{shutil.which("sbatch")} --begin=now+60 "$@" && touch {taken} && sleep 60\n')
    slow.chmod(0o755)
    variables = {**os.environ, "PATH": f"{slow.parent}{os.pathsep}{os.environ['PATH']}"}
    words = ["validate", "--folds", "2", "--project", dated.root, "--on", "slurm", "--work", tmp_path / "work"]
    command = forked(COMMAND, *words, cwd=tmp_path, env=variables, needs=NEEDED)
    until(taken.exists, slurm)
    assert slurm("squeue", "--noheader", "--array").count("\n") == 2
    os.killpg(command.pid, signal.SIGINT)
    code, _, errors = command.finish()
    assert code == 130
    assert errors.splitlines()[-1].startswith("beampermit: interrupted")
    until(lambda: not slurm("squeue", "--noheader"), slurm)


def ended(work: Path) -> list[Path]:
    return [folder for folder in work.glob("units/*") if read_ended(folder)]


@pytest.mark.usefixtures("slurm")
def test_a_backtest_on_slurm_says_what_one_here_says(
    project: Project,
    recorded: Callable[..., Path],
    ran: Callable[..., dict[str, Any]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    words = ["backtest", recorded(5, apart=120.0), "--no-shifts", "--project", project.root]
    with monkeypatch.context() as patch:
        patch.setattr(days, "measure_by_days", lambda *given, progress, **_: measuring.measure(*given))
        here = ran(*words, work=tmp_path / "here")
    there = ran(*words, work=tmp_path / "there", units=1)
    assert there == here
    assert there["windows"] == 4 * 6 + 1
