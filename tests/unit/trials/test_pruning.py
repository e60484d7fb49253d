"""What a trial says on the way is read from its file, and a pruner decides on it as in a loop of optuna's own."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import optuna
import pytest
from optuna.pruners import BasePruner, HyperbandPruner, MedianPruner
from optuna.trial import TrialState
from typer.testing import CliRunner

from beampermit.cli.main import app
from beampermit.compute.unit import INTERMEDIATE, STOP, Ended, Unit, make_folder
from beampermit.environments import Environment
from beampermit.progress import silent
from beampermit.project import Project
from beampermit.trials.records import State
from beampermit.trials.running import Run, _Pending
from beampermit.trials.sampling import new_pruner
from beampermit.trials.session import run_study
from beampermit.trials.settings import FILE
from beampermit.trials.study import open_study
from support.dvc_repositories import replace
from support.searched_project import resources

STEPS = 9
LEVELS = (5.0, 1.0, 7.0, 3.0, 9.0, 2.0, 8.0, 4.0, 6.0, 0.5, 9.5, 1.5, 7.5, 2.5)
"""Where the curve of each trial ends up."""
NAME = "toy-pruned"
"""Of the study: Hyperband shares trials out by it."""
PRUNERS: dict[str, tuple[str, BasePruner]] = {
    "hyperband": ("{kind: hyperband, min: 1, max: 9, factor: 3}", HyperbandPruner(1, 9, 3)),
    "auto": ("hyperband", HyperbandPruner()),
    "median": ("{kind: median, startup: 2, warmup: 2, interval: 3}", MedianPruner(2, 2, interval_steps=3)),
}


def value(number: int, step: int) -> float:
    return LEVELS[number] + 1 / step


def pruned_by_optuna(pruner: BasePruner) -> dict[int, int]:
    """Trial -> step at which it ends too early."""
    study = optuna.create_study(study_name=NAME, pruner=pruner)
    ended: dict[int, int] = {}
    for number in range(len(LEVELS)):
        trial = study.ask()
        for step in range(1, STEPS + 1):
            trial.report(value(number, step), step)
            if trial.should_prune():
                ended[number] = step
                break
        if number in ended:
            study.tell(trial, state=TrialState.PRUNED)
        else:
            study.tell(trial, value(number, STEPS))
    return ended


def step_of(run: Run, number: int, work: Path) -> int | None:
    """Where the trial is stopped that says its values one by one; None where it comes to its end."""
    request = {"parameters": {"train.x": float(number)}}
    unit = Unit(f"trial {number}", "toy.trial", request)
    folder = unit.folder(work)
    make_folder(folder)
    run.pending[folder] = _Pending([run.study.ask()])
    for step in range(1, STEPS + 1):
        with (folder / INTERMEDIATE).open("a") as stream:
            stream.write(json.dumps({"step": step, "value": value(number, step)}) + "\n")
        run._watch({folder: unit})
        if (folder / STOP).exists():
            run._tell(Ended(unit, folder, None, "stopped", stopped=True))
            return step
    last = value(number, STEPS)
    run._tell(Ended(unit, folder, {**request, "curve": [[STEPS, last, last]]}))
    return None


@pytest.mark.slow
@pytest.mark.parametrize("kind", PRUNERS)
def test_a_pruner_ends_the_trials_that_it_would_end_in_optuna_s_own_loop(
    searched: Project, tmp_path: Path, kind: str
) -> None:
    written, pruner = PRUNERS[kind]
    replace(searched.root / FILE, "sampler: random", f"sampler: random\n  pruner: {written}")
    opened = open_study(Project(searched.root))
    opened = dataclasses.replace(opened, told=optuna.create_study(study_name=NAME, storage=opened.told._storage))
    run = Run(opened, len(LEVELS), searched.root, tmp_path / "work", Environment(tmp_path))
    run.study.pruner = new_pruner(run.settings.pruner)
    found = {number: step_of(run, number, tmp_path / "work") for number in range(len(LEVELS))}
    wanted = pruned_by_optuna(pruner)
    assert {number: step for number, step in found.items() if step} == wanted
    assert 3 <= len(wanted) <= len(LEVELS) - 3, "some of both"
    assert LEVELS.index(min(LEVELS)) not in wanted
    told = run.study.get_trials(deepcopy=False)
    assert [trial.number for trial in told if trial.state is TrialState.PRUNED] == [*wanted]
    assert (run.counts.pruned, run.counts.complete) == (len(wanted), len(LEVELS) - len(wanted))
    for number, step in wanted.items():
        reason = told[number].user_attrs["beampermit"]["reason"]
        name = run.settings.pruner.kind
        assert reason == f"{name}: {value(number, step):.6g} at step {step} is not among the better ones"


@pytest.mark.slow
def test_a_study_that_hyperband_prunes_ends_and_is_shown_with_what_was_pruned(
    searched: Project, tmp_path: Path
) -> None:
    """Without `max` the longest complete trial decides, so all that one said counts, however soon it was over."""
    replace(searched.root / FILE, "does: nothing", "does: way")
    replace(searched.root / FILE, "sampler: random", "sampler: random\n  pruner: hyperband")
    done = run_study(Project(searched.root), 10, resources(tmp_path), silent, mlflow=False)
    pruned = {trial.number: trial.reason for trial in done.study.of_state(State.PRUNED)}
    assert pruned
    assert len(done.study.of_state(State.COMPLETE)) == 10 - len(pruned)
    for trial in open_study(Project(searched.root)).told.get_trials(states=[TrialState.COMPLETE]):
        assert [*trial.intermediate_values] == [*range(1, 9)]
    words = ["trials", "show", "--all", "--project", str(searched.root)]
    shown = CliRunner().invoke(app, words, env={"COLUMNS": "200"})
    assert shown.exit_code == 0, shown.output
    last = {int(line.split()[0]): line for line in shown.stdout.splitlines() if "pruned" in line}
    assert last.keys() == pruned.keys()
    assert all("pruned: hyperband: " in line for line in last.values())
