"""The parameters of a trial become the project's, its summary goes into git, and what no longer fits is said."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from typing import Any

import pytest

from beampermit.errors import BadInput, BeampermitError, Failed
from beampermit.project import Project
from beampermit.trials.applying import apply, choose
from beampermit.trials.records import State, Study
from beampermit.trials.standing import Standing, read_standing
from beampermit.trials.summary import FILE, read_summary
from support.dvc_repositories import remake, replace
from support.studies import AUC, LOSS, complete, failed, study
from support.toy_project import trainable, trained_once
from support.toy_search import CHOSEN, PARAMS, make_searched, study_of

__all__ = ["trainable", "trained_once"]

TRIALS = (
    complete(0, 0.5, params={"train.rate": 0.02, "train.steps": [10, 20]}),
    complete(1, 0.2, params=CHOSEN),
    failed(2),
)


@pytest.fixture
def toy(trainable: Project) -> Project:
    return make_searched(trainable)


def applied(project: Project) -> Study:
    made = study_of(project, *TRIALS)
    apply(project, made, choose(made, None))
    return made


def standing_of(project: Project) -> Standing:
    found = read_standing(Project(project.root))
    assert found
    return found


@pytest.mark.slow
def test_the_best_trial_is_written_and_git_gets_the_summary(toy: Project) -> None:
    made = study_of(toy, *TRIALS)
    done = apply(toy, made, choose(made, None))
    assert done.written == (FILE, "params.yaml")
    text = (toy.root / "params.yaml").read_text()
    assert text == PARAMS.replace("0.05 ", "0.03 ").replace("steps: [10, 20]", "steps: [30]", 1)
    found = read_summary(toy)
    assert found
    assert found == done.summary
    assert (found.applied, found.trials, found.training_seed) == (1, 3, 0)
    assert list(found.outputs) == ["data/dataset"]
    again = apply(toy, made, choose(made, None))
    assert again.written == (), "a second time writes nothing new"
    params = toy.root / "params.yaml"
    params.write_bytes(text.replace("\n", "\r\n").encode())
    apply(toy, made, choose(made, 0))
    wanted = text.replace("0.03 ", "0.02 ").replace("steps: [30]", "steps: [10, 20]", 1)
    assert params.read_bytes() == wanted.replace("\n", "\r\n").encode(), "line ends stay"


def test_a_trial_is_the_best_one_or_the_one_that_is_named() -> None:
    made = study(
        *TRIALS, complete(3, 0.1).model_copy(update={"state": State.PRUNED, "values": {}, "reason": "a\nslow"})
    )
    assert choose(made, None).number == 1
    assert choose(made, 0).number == 0
    front = study(complete(0, 0.1, 0.5), complete(1, 0.2, 0.9), complete(2, 0.3, 0.1), objectives=(LOSS, AUC))
    alone = study(complete(0, 0.1, 0.9), complete(1, 0.2, 0.5), objectives=(LOSS, AUC))
    assert choose(front, 2).number == 2, "who names one may take any"
    assert choose(alone, None).number == 0
    wrong: list[tuple[Study, int | None, type[BeampermitError], str]] = [
        (made, 2, BadInput, "trial 2 is failed, not complete: ValueError: no rows"),
        (made, 3, BadInput, "trial 3 is pruned, not complete: slow"),
        (made, 4, BadInput, "has no trial 4"),
        (study(failed(0)), None, Failed, "no trial of study bpm-faults-0123abcd is complete"),
        (front, None, BadInput, "2 trials are on the front, and none is better than another in all objectives: 0, 1"),
    ]
    for of, number, kind, said in wrong:
        with pytest.raises(kind) as found:
            choose(of, number)
        assert said in str(found.value)


def edit(file: str, before: str, after: str) -> Callable[[Project], None]:
    return lambda project: replace(project.root / file, before, after)


def other_data(project: Project) -> None:
    replace(project.root / "dataset.py", '"1\\n2', '"9\\n2')
    (project.root / "data/dataset/train.parquet").chmod(0o644)
    (project.root / "data/dataset/train.parquet").unlink()
    (project.root / "data/dataset/train.parquet").write_text("9\n2\n3\n")
    remake(project.root)


CHANGES = [
    pytest.param(other_data, "other data (data/dataset", id="data"),
    pytest.param(edit("train.py", "0.05 *", "0.06 *"), "code of another digest", id="code"),
    pytest.param(edit("uv.lock", '"1"', '"2"'), "lock of another digest", id="lock"),
    pytest.param(edit("params.yaml", "seed: 0", "seed: 1"), "other parameters that are not searched", id="parameters"),
    pytest.param(edit("params.yaml", "0.01, 0.1", "0.01, 0.2"), "another space or other objectives", id="space"),
]


@pytest.mark.slow
@pytest.mark.parametrize(("change", "said"), CHANGES)
def test_a_study_of_something_else_is_refused_and_documents_say_so(
    toy: Project, change: Callable[[Project], None], said: str
) -> None:
    made = applied(toy)
    assert standing_of(toy).fits, "just inside: params.yaml has changed in what is searched, and nothing else"
    change(toy)
    other = Project(toy.root)
    before = (other.root / "params.yaml").read_bytes()
    with pytest.raises(Failed, match="is not of this project as it is now") as found:
        apply(other, made, choose(made, 0))
    assert said in str(found.value)
    assert (other.root / "params.yaml").read_bytes() == before
    standing = standing_of(other)
    assert not standing.fits
    assert [line for line in standing.older if line.startswith(said)], standing
    assert standing.changed == ()


@pytest.mark.slow
def test_documents_need_no_data_to_say_what_fits(toy: Project) -> None:
    applied(toy)
    shutil.rmtree(toy.root / ".dvc/cache")
    shutil.rmtree(toy.root / "data")
    assert standing_of(toy).fits


@pytest.mark.slow
def test_parameters_changed_by_hand_are_said(toy: Project) -> None:
    applied(toy)
    params = toy.root / "params.yaml"
    for before, after, key, is_now in (
        ("rate: 0.03 ", "rate: 0.031 ", "train.rate", "0.031"),
        ("steps: [30]\ntrials", "steps: [30, 40]\ntrials", "train.steps", "[30, 40]"),
    ):
        replace(params, before, after)
        standing = standing_of(toy)
        assert [(change.key, change.after) for change in standing.changed] == [(key, is_now)]
        assert standing.older == (), "what is searched is no part of what the study is bound to"
        replace(params, after, before)
        assert standing_of(toy).fits
    params.write_text(params.read_text().partition("trials:")[0])
    standing = standing_of(toy)
    assert "there is no section trials" in standing.unknown, "no error: a space may go"
    assert not standing.fits
    params.write_text("train: {seed: 0}\n")
    gone = {change.key: change.after for change in standing_of(toy).changed}
    assert gone == {"train.rate": None, "train.steps": None}


def test_without_a_summary_nothing_is_said(toy: Project) -> None:
    assert read_standing(toy) is None


@pytest.mark.slow
def test_a_kill_between_the_two_files_is_seen_and_mended(toy: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    made = study_of(toy, *TRIALS)

    def killed(*_: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("beampermit.trials.applying.write_bytes", killed)
        with pytest.raises(KeyboardInterrupt):
            apply(toy, made, choose(made, None))
    assert json.loads((toy.root / FILE).read_text())["applied"] == 1
    assert [change.key for change in standing_of(toy).changed] == ["train.rate", "train.steps"]
    assert apply(toy, made, choose(made, None)).written == ("params.yaml",)
    assert standing_of(toy).fits
