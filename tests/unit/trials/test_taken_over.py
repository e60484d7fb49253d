"""Trials that two runs have: both took them over, or the machine of one slept. The first to end one counts."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.trial import TrialState

from beampermit.compute.unit import INTERMEDIATE, Ended, Unit, make_folder
from beampermit.environments import Environment
from beampermit.progress import silent
from beampermit.project import Project
from beampermit.trials import running
from beampermit.trials.records import State
from beampermit.trials.running import Run, _Pending
from beampermit.trials.session import Session, run_study
from beampermit.trials.study import OWN, RUN, open_study
from support.postgresql import programs, running_server
from support.searched_project import resources

UNIT = Unit("trial 0", "toy.trial", {"parameters": {"train.x": 1.0}})


@pytest.fixture
def run(searched: Project, tmp_path: Path) -> Run:
    return Run(open_study(Project(searched.root)), 2, searched.root, tmp_path / "work", Environment(tmp_path))


@pytest.fixture
def finished(run: Run) -> optuna.Trial:
    """A trial of this run that another one has finished."""
    trial = run.study.ask()
    run.study.tell(trial.number, 1.0)
    return trial


@pytest.mark.slow
def test_what_is_said_of_a_trial_that_another_run_has_finished_is_lost(run: Run, finished: optuna.Trial) -> None:
    recorded: list[int] = []
    run.told = recorded.append
    folder = UNIT.folder(run.work)
    make_folder(folder)
    (folder / INTERMEDIATE).write_text('{"step": 1, "value": 2.0}\n')
    for ended in (
        Ended(UNIT, folder, None, "no beam"),
        Ended(UNIT, folder, None, "stopped", stopped=True),
        Ended(UNIT, folder, {"parameters": {"train.x": 1.0}, "curve": [[1, 3.0, 3.0]]}, reused=True),
    ):
        run.pending[folder] = _Pending([finished], pruned="median" if ended.stopped else "")
        run._watch({folder: UNIT})
        run._tell(ended)
    assert not run._take_over(finished._trial_id)
    assert [*run._unit(finished)] == [], "it has no parameters, and gets none any more"
    (trial,) = run.study.get_trials()
    assert (trial.state, trial.values, trial.intermediate_values) == (TrialState.COMPLETE, [1.0], {})
    assert not {OWN, RUN} & {*trial.user_attrs}
    assert (run.counts.ended, run.counts.reused, recorded) == (0, 0, []), "it counts where it was finished"


@pytest.mark.slow
def test_a_trial_is_still_reported_and_told_where_nobody_has_finished_it(run: Run) -> None:
    trial, folder = run.study.ask(), UNIT.folder(run.work)
    make_folder(folder)
    (folder / INTERMEDIATE).write_text('{"step": 1, "value": 2.0}\n')
    run.pending[folder] = _Pending([trial])
    assert run._take_over(trial._trial_id)
    run._watch({folder: UNIT})
    run._tell(Ended(UNIT, folder, None, "no beam"))
    (told,) = run.study.get_trials()
    assert (told.state, told.intermediate_values) == (TrialState.FAIL, {1: 2.0})
    assert told.user_attrs[RUN] == run.name
    assert run.counts.failed == 1


@pytest.fixture
def address(tmp_path: Path, when: str) -> Iterator[str]:
    """Of a database that several machines share: once PostgreSQL, where it is installed."""
    if when == "before it begins one" or programs() is None:
        yield f"sqlite:///{tmp_path}/studies.db"
        return
    pytest.importorskip("psycopg")
    with running_server() as server:
        yield server.address


@pytest.mark.slow
@pytest.mark.parametrize("when", ["before it begins one", "while it waits for one"])
def test_of_two_successors_of_a_killed_run_the_slower_goes_on(
    searched: Project, tmp_path: Path, address: str, monkeypatch: pytest.MonkeyPatch, when: str
) -> None:
    told = open_study(Project(searched.root), storage=address).told
    for _ in range(2):
        told.ask().set_user_attr(RUN, "killed")
    fast, late = list[Session](), list[Ended]()

    def search() -> Session:
        return run_study(Project(searched.root), 3, resources(tmp_path), silent, storage=address, mlflow=False)

    looked = list[int]()
    look, perform_all = running.abandoned, running.perform_all

    def both_look(*arguments: Any) -> list[int]:
        """Before either says that it has them."""
        looked.extend(number for number in look(*arguments) if number not in looked)
        return list(looked)

    def overtaken(units: Iterator[Unit], *arguments: Any, **named: Any) -> Iterator[Ended]:
        monkeypatch.setattr(running, "perform_all", perform_all)
        if when == "before it begins one":
            fast.append(search())
        for ended in perform_all(units, *arguments, **named):
            if not fast:
                fast.append(search())
            late.append(ended)
            yield ended

    monkeypatch.setattr(running, "abandoned", both_look)
    monkeypatch.setattr(running, "perform_all", overtaken)
    slow = search()
    assert len(looked) == 2
    assert bool(late) == (when == "while it waits for one"), "what is finished is not even looked at"
    assert [slow.counts.taken_over, fast[0].counts.taken_over] == [2, 2]
    assert [trial.state for trial in slow.study.trials] == [State.COMPLETE] * 3
    assert slow.study.trials == fast[0].study.trials, "what the first one found stays"
    assert fast[0].counts.complete + slow.counts.complete == 3
    assert fast[0].counts.complete >= 2
