"""Studies that run: what is kept of good and of bad trials, who goes on with a study, and when it is another one."""

from __future__ import annotations

import json
import os
import shutil
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from beampermit.environments import Environment
from beampermit.errors import BadInput, Failed
from beampermit.progress import silent
from beampermit.project import Project
from beampermit.trials import cross_validation
from beampermit.trials.folds import Fold
from beampermit.trials.records import State
from beampermit.trials.running import Run
from beampermit.trials.session import Session, run_study, text
from beampermit.trials.settings import FILE
from beampermit.trials.storage import JOURNAL, folder_of
from beampermit.trials.study import list_studies, open_study, others, read_study
from support.dvc_repositories import remake, replace
from support.forked_pythons import COMMAND, Forked, forked
from support.searched_project import RUNS_TRIALS, let_trials_meet, resources


@pytest.fixture
def search(searched: Project, tmp_path: Path) -> Callable[..., Session]:
    def run(trials: int, **options: Any) -> Session:
        return run_study(Project(searched.root), trials, resources(tmp_path), silent, mlflow=False, **options)

    return run


def does(project: Project, what: str) -> None:
    replace(project.root / FILE, "does: nothing", f"does: {what}")


@pytest.mark.slow
def test_a_study_has_as_many_trials_as_are_wanted_in_all(searched: Project, search: Callable[..., Session]) -> None:
    first = search(6)
    assert (first.counts.complete, first.is_new) == (6, True)
    assert f"study {first.study.name}: 6 complete; it is new" in text(first)
    trials = first.study.trials
    assert [trial.number for trial in trials] == [0, 1, 2, 3, 4, 5]
    for trial in trials:
        x, depth = trial.params["train.x"], trial.params["train.depth"]
        assert trial.values == {"validation_loss": pytest.approx(((x - 3) ** 2 + (depth - 4) ** 2) * 1.125)}
        assert trial.metrics["false_alarm_rate"] == pytest.approx(abs(x) / 100)
        assert len(trial.curve) == 8
        assert trial.seconds is not None
        assert trial.machine
    assert first.study.ranked()[0].values == min((trial.values for trial in trials), key=lambda one: [*one.values()])
    again = search(6)
    assert (again.counts.ended, again.is_new, again.study.trials) == (0, False, trials)
    assert "nothing to do, for --trials is the number in all" in text(again)
    assert len(search(8).study.trials) == 8
    assert read_study(searched).name == first.study.name


@pytest.mark.slow
def test_the_same_seed_makes_the_same_trials_and_does_none_twice(
    searched: Project, search: Callable[..., Session]
) -> None:
    first = search(4)
    (folder_of(searched) / JOURNAL).unlink()
    second = search(4)
    assert second.counts.reused == 4
    assert [trial.params for trial in second.study.trials] == [trial.params for trial in first.study.trials]


WRONG = {
    "nan": "NaN is not a JSON number",
    "no json": "not JSON",
    "no result": "the command ended without a result",
    "other": "result.json is of other parameters than this trial's",
    "words": "curve in result.json is a list of rows of numbers",
    "fail": "the beam was lost at x = ",
    "test": "No such file or directory: 'data/dataset/test.parquet'",
}


@pytest.mark.slow
def test_a_trial_that_goes_wrong_says_how_and_where_all_do_the_study_fails(
    searched: Project, search: Callable[..., Session]
) -> None:
    choices = f"train.does: {{choice: {json.dumps([*WRONG])}}}\n  sampler: grid"
    replace(searched.root / FILE, "train.depth: {int: [1, 8]}\n  sampler: random", choices)
    replace(searched.root / FILE, "    train.x: {float: [-5.0, 5.0]}\n", "")
    with pytest.raises(Failed, match=f"all {len(WRONG)} trials failed; trial ") as caught:
        search(len(WRONG))
    trials = {trial.params["train.does"]: trial for trial in read_study(searched).trials}
    assert trials.keys() == WRONG.keys()
    for wrong, said in WRONG.items():
        assert (trials[wrong].state, trials[wrong].values) == (State.FAILED, {})
        assert said in trials[wrong].reason
    assert caught.value.message.partition(": ")[2] in {trial.reason for trial in trials.values()}


@pytest.mark.slow
def test_an_objective_that_a_trial_does_not_have_fails_it(searched: Project, search: Callable[..., Session]) -> None:
    replace(searched.root / FILE, "sampler: random", "objectives: [auc]")
    does(searched, "no metric")
    with pytest.raises(Failed, match="the trial has no auc on the validation split"):
        search(1)


@pytest.mark.slow
def test_trials_that_fail_do_not_end_the_study(searched: Project, search: Callable[..., Session]) -> None:
    does(searched, "fail below")
    done = search(8)
    assert 0 < done.counts.failed < 8
    assert done.counts.complete + done.counts.failed == 8
    assert {trial.state for trial in done.study.trials if trial.params["train.x"] < 2} == {State.FAILED}
    assert "failed; trial" in text(done)
    assert "the beam was lost at x = " in text(done)


@pytest.mark.slow
@pytest.mark.parametrize("sampler", ["tpe", "cmaes", "random"])
def test_each_sampler_comes_closer(searched: Project, search: Callable[..., Session], sampler: str) -> None:
    replace(searched.root / FILE, "sampler: random", f"sampler: {sampler}")
    values = [trial.values["validation_loss"] for trial in search(24).study.trials]
    assert min(values) < 6
    if sampler != "random":
        assert sum(values[12:]) < sum(values[:12])


@pytest.mark.slow
def test_trials_with_the_same_parameters_are_trained_once(searched: Project, search: Callable[..., Session]) -> None:
    does(searched, "slow")
    replace(searched.root / FILE, "train.x: {float: [-5.0, 5.0]}", "train.kind: {choice: [wide, deep]}")
    replace(searched.root / FILE, "    train.depth: {int: [1, 8]}\n", "")
    done = search(8)
    assert done.counts.complete == 8
    assert {trial.params["train.kind"]: trial.unit for trial in done.study.trials}.keys() == {"wide", "deep"}
    assert len({trial.unit for trial in done.study.trials}) == 2


@pytest.mark.slow
def test_a_grid_is_tried_once_and_then_is_over(searched: Project, search: Callable[..., Session]) -> None:
    replace(searched.root / FILE, "train.x: {float: [-5.0, 5.0]}", "train.kind: {choice: [wide, deep]}")
    replace(searched.root / FILE, "{int: [1, 8]}", "{int: [3, 5], when: {train.kind: deep}}")
    replace(searched.root / FILE, "sampler: random", "sampler: grid")
    assert search(2).counts.ended == 2
    points = [trial.params for trial in search(50).study.trials]
    assert sorted(map(json.dumps, points)) == [
        '{"train.kind": "deep", "train.depth": 3}',
        '{"train.kind": "deep", "train.depth": 4}',
        '{"train.kind": "deep", "train.depth": 5}',
        '{"train.kind": "wide"}',
    ]


@pytest.mark.slow
def test_what_is_worse_on_the_way_is_pruned(searched: Project, search: Callable[..., Session]) -> None:
    does(searched, "way")
    replace(searched.root / FILE, "sampler: random", "sampler: random\n  pruner: {kind: median, startup: 2}")
    done = search(10)
    pruned = done.study.of_state(State.PRUNED)
    assert pruned
    assert all("median: " in trial.reason and "is not among the better ones" in trial.reason for trial in pruned)
    assert all(trial.values == {} for trial in pruned)
    best = done.study.ranked()[0].values["validation_loss"]
    assert all(((t.params["train.x"] - 3) ** 2 + (t.params["train.depth"] - 4) ** 2) * 1.125 > best for t in pruned)


@pytest.mark.slow
def test_several_objectives_have_a_value_each(searched: Project, search: Callable[..., Session]) -> None:
    replace(searched.root / FILE, "sampler: random", "objectives: {auc: maximize, false_alarm_rate: minimize}")
    for trial in search(3).study.trials:
        assert trial.values == {name: trial.metrics[name] for name in ("auc", "false_alarm_rate")}


CHANGES = {
    "code that is imported": ("src/toy/curve.py", "range(1, 9)", "range(1, 8)", "code of another digest"),
    "the trial itself": ("src/toy/trial.py", "0.4", "0.5", "code of another digest"),
    "the lock": ("uv.lock", "version = 1\n", "version = 1\nrevision = 1\n", "lock of another digest"),
    "another parameter": (FILE, "kind: wide", "kind: deep", "other parameters that are not searched"),
    "the space": (FILE, "[-5.0, 5.0]", "[-5.0, 6.0]", "another space or other objectives"),
    "data": ("data/dataset/train.parquet", "1\n2\n", "1\n4\n", "other data (data/dataset/train.parquet)"),
}
LAST = "data"
"""It is not taken back: what follows would take long."""
SAME = {
    "a value that is searched": (FILE, "  x: 1.0", "  x: 2.0"),
    "the sampler": (FILE, "sampler: random", "sampler: tpe"),
    "the test split": ("data/dataset/test.parquet", "7\n", "6\n"),
    "a document": ("README.md", "", "# Toy\n"),
    "the contract's people": ("contract.yaml", "Bo Physicist", "Cy Physicist"),
}


def change(project: Project, path: str, before: str, after: str) -> None:
    if not before:
        (project.root / path).write_text(after)
    else:
        replace(project.root / path, before, after)
    if path.startswith("data/"):
        remake(project.root)


@pytest.mark.slow
def test_what_a_trial_reads_makes_another_study(searched: Project) -> None:
    before = open_study(Project(searched.root))
    journal = folder_of(searched) / JOURNAL
    known = journal.read_bytes()
    for what, (path, old, new, differs) in CHANGES.items():
        journal.write_bytes(known)
        text = (searched.root / path).read_bytes()
        change(searched, path, old, new)
        said = "there is no study of the data, code, lock and space as they are now"
        with pytest.raises(BadInput, match=said) as caught:
            read_study(Project(searched.root))
        assert f"the newest, {before.study.name}, is of {differs}" in caught.value.message, what
        after = open_study(Project(searched.root))
        assert after.is_new, what
        assert others(searched, after) == [f"{before.study.name}: {differs}"]
        assert len(list_studies(searched)) == 2
        if what != LAST:
            (searched.root / path).write_bytes(text)


@pytest.mark.slow
def test_what_no_trial_reads_leaves_the_study(searched: Project) -> None:
    before = open_study(Project(searched.root))
    for what, changed in SAME.items():
        change(searched, *changed)
        after = open_study(Project(searched.root))
        assert (after.study.name, after.is_new) == (before.study.name, False), what


@pytest.mark.slow
def test_only_what_training_reads_is_laid_out(
    searched: Project, search: Callable[..., Session], tmp_path: Path
) -> None:
    (searched.root / "data/raw.parquet").write_text("all rows")
    (searched.root / "secret.txt").write_text("of nobody's business")
    search(1)
    (tree,) = (tmp_path / "work/trees").iterdir()
    assert {path.relative_to(tree).as_posix() for path in tree.rglob("*") if path.is_file()} == {
        "contract.yaml", "params.yaml", "pyproject.toml", "uv.lock",
        "data/dataset/train.parquet", "data/dataset/validation.parquet",
        "src/toy/__init__.py", "src/toy/curve.py", "src/toy/trial.py",
    }  # fmt: skip
    assert "trials" not in (tree / "params.yaml").read_text()


@pytest.mark.slow
@pytest.mark.parametrize("own", [False, True])
def test_the_template_s_training_may_run_on_several_gpus_and_a_module_of_one_s_own_knows_nothing_of_them(
    searched: Project, tmp_path: Path, *, own: bool
) -> None:
    if not own:
        replace(searched.root / FILE, "  module: toy.trial\n", "")
        (searched.root / "src/toy/pipeline").mkdir()
        for name in ("__init__", "trial"):
            (searched.root / f"src/toy/pipeline/{name}.py").write_text("import json\n")
    opened = open_study(Project(searched.root))
    run = Run(opened, 1, searched.root, tmp_path / "work", Environment(tmp_path))
    (unit,) = run._unit(run.study.ask())
    none = np.zeros(3, bool)
    fold = cross_validation._unit(opened.subject, searched.root, Fold(1, none, none), run.environment)
    assert (unit.team, fold.team) == (not own, not own)


REFUSED = {
    "what training does not read": ("{int: [1, 8]}", "{int: [1, 8]}\n    split.seed: {int: [1, 8]}",
                                    "trials.space.split.seed: stage train reads train of params.yaml, not this"),
    "a stage that is none": ("  module: toy.trial", "  module: toy.trial\n  stage: fit",
                             "there is no stage fit that trains"),
    "a module that is none": ("module: toy.trial", "module: toy.trail", "there is no src/toy/trail.py"),
    "a default that is not there": ("  module: toy.trial\n", "", "no package in src has pipeline/trial.py"),
}  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("what", REFUSED)
def test_what_cannot_be_searched_is_refused(searched: Project, search: Callable[..., Session], what: str) -> None:
    before, after, message = REFUSED[what]
    replace(searched.root / FILE, before, after)
    with pytest.raises(BadInput) as caught:
        search(1)
    assert message in caught.value.message


@pytest.mark.slow
def test_a_parameter_of_the_data_is_refused(searched: Project, search: Callable[..., Session]) -> None:
    replace(searched.root / "dvc.yaml", "params: [train]", "params: [train, split]")
    replace(searched.root / FILE, "{int: [1, 8]}", "{int: [1, 8]}\n    split.seed: {int: [1, 8]}")
    with pytest.raises(BadInput, match=r"split\.seed: stage dataset makes the data with it, and no trial runs that"):
        search(1)


@pytest.mark.slow
def test_data_of_other_parameters_are_refused(searched: Project, search: Callable[..., Session]) -> None:
    replace(searched.root / FILE, "split: {seed: 1}", "split: {seed: 2}")
    with pytest.raises(Failed, match="stage dataset, which makes the data of the trials") as caught:
        search(1)
    assert caught.value.hint == "dvc repro dataset"


@pytest.mark.slow
def test_a_training_that_declares_the_test_split_is_refused(searched: Project, search: Callable[..., Session]) -> None:
    replace(searched.root / "dvc.yaml", "data/dataset]\n    params", "data/dataset/test.parquet]\n    params")
    with pytest.raises(Failed, match=r"makes the weights and reads data/dataset/test\.parquet, on which the model is"):
        search(1)


@pytest.mark.slow
def test_data_that_are_not_here_are_asked_for(searched: Project, search: Callable[..., Session]) -> None:
    for folder in (".dvc/cache", "data/dataset"):
        shutil.rmtree(searched.root / folder)
    with pytest.raises(Failed, match="these data are not on this machine") as caught:
        search(1)
    assert caught.value.hint == "beampermit data pull"


WORDS = ("trials", "run", "--no-mlflow", "--json")


def start(project: Project, work: Path, trials: int) -> Forked:
    words = (*WORDS, "--trials", trials, "--at-once", 1, "--work", work)
    return forked(COMMAND, *words, cwd=project.root, needs=RUNS_TRIALS)


def wait_for(there: Callable[[], bool]) -> None:
    last = time.monotonic() + 120
    while not there():
        assert time.monotonic() < last
        time.sleep(0.05)


def lines_of(project: Project) -> int:
    journal = folder_of(project) / JOURNAL
    return journal.read_bytes().count(b"\n") if journal.exists() else 0


@pytest.mark.slow
def test_of_two_runs_at_once_both_do_some_of_the_trials_and_none_is_done_twice(
    searched: Project, tmp_path: Path
) -> None:
    place = let_trials_meet(searched, tmp_path)
    runs = [start(searched, tmp_path / "work", 8) for _ in range(2)]
    ended = [run.finish() for run in runs]
    assert [code for code, _, _ in ended] == [0, 0]
    answers = [json.loads(said) for _, said, _ in ended]
    study = read_study(searched)
    assert len(study.trials) == 8
    assert {trial.state for trial in study.trials} == {State.COMPLETE}
    shares = [answer["run"]["complete"] for answer in answers]
    assert sum(shares) == 8
    assert min(shares) > 0, "both help"
    assert [answer["run"]["reused"] for answer in answers] == [0, 0]
    assert {path.name for path in place.iterdir()} == {trial.unit.removeprefix("sha256:") for trial in study.trials}
    assert len({json.dumps(trial.params) for trial in study.trials}) == 8


@pytest.mark.slow
def test_trials_of_a_run_that_was_killed_are_done_by_the_next(
    searched: Project, search: Callable[..., Session], tmp_path: Path
) -> None:
    does(searched, "slow")
    run = start(searched, tmp_path / "work", 6)
    wait_for(lambda: lines_of(searched) > 10)
    os.killpg(run.pid, signal.SIGKILL)
    run.wait()
    with (folder_of(searched) / JOURNAL).open("ab") as journal:
        journal.write(b'{"op_code":4,"worker')  # it was writing
    before = read_study(searched)
    assert before.of_state(State.RUNNING)
    left = [trial.number for trial in before.of_state(State.RUNNING)]
    killed = open_study(Project(searched.root)).told.trials[left[0]].user_attrs["run"]
    done = search(6)
    assert done.counts.taken_over == len(left)
    owners = {trial.user_attrs["run"] for trial in open_study(Project(searched.root)).told.trials[left[0] :]}
    assert len(owners) == 1  # no third run takes them over as well
    assert killed not in owners
    assert [trial.state for trial in done.study.trials] == [State.COMPLETE] * 6
    assert len(read_study(searched).trials) == 6


@pytest.mark.slow
def test_a_run_that_is_interrupted_is_gone_on_with(
    searched: Project, search: Callable[..., Session], tmp_path: Path
) -> None:
    does(searched, "slow")
    run = start(searched, tmp_path / "work", 6)
    wait_for(lambda: lines_of(searched) > 10)
    run.send_signal(signal.SIGINT)
    code, _, errors = run.finish()
    assert code in (130, -signal.SIGINT)
    assert "Traceback" not in errors
    assert [trial.state for trial in search(6).study.trials] == [State.COMPLETE] * 6
