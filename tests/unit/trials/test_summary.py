"""What git keeps of a study: how many trials there were, how far the best is ahead; a forged one is read strictly."""

from __future__ import annotations

import json
from typing import Any

import pytest

from beampermit.errors import BadInput
from beampermit.project import Project
from beampermit.trials.records import State
from beampermit.trials.summary import FILE, FRONT, LARGEST, Summary, read_summary, summarise
from support.studies import AUC, LOSS, complete, failed, large, study

OUTPUTS = {"data/dataset": "f" * 32 + ".dir"}


def test_it_counts_trials_and_says_best_second_and_quartiles() -> None:
    made = study(complete(0, 5.0), complete(1, 1.0), complete(2, 2.0), failed(3), complete(4, 3.0), complete(5, 4.0))
    found = summarise(made, made.trials[2], OUTPUTS, 11)
    assert (found.trials, found.complete, found.states) == (6, 5, {State.COMPLETE: 5, State.FAILED: 1})
    assert (found.applied, found.params, found.values) == (2, {"train.hidden": 6}, {"validation_loss": 2.0})
    assert [placed.number for placed in found.best] == [1, 2]
    assert found.ahead == 1.0
    assert found.spread["validation_loss"].model_dump() == {
        "lowest": 1.0, "quarter": 2.0, "median": 3.0, "three_quarters": 4.0, "highest": 5.0,
    }  # fmt: skip
    assert (found.seconds, found.seed, found.training_seed) == (8.0, 7, 11)
    assert Summary.model_validate(json.loads(found.model_dump_json())) == found


def test_a_single_trial_has_no_second() -> None:
    found = summarise(study(complete(0, 5.0)), complete(0, 5.0), OUTPUTS, None)
    assert (len(found.best), found.ahead) == (1, None)


def test_the_farthest_numbers_have_quartiles_too() -> None:
    made = study(complete(0, -1.7e308), complete(1, 1.7e308), complete(2, 0.1), complete(3, 0.1))
    assert summarise(made, made.trials[0], OUTPUTS, None).spread["validation_loss"].highest == 1.7e308


@pytest.mark.slow
def test_of_several_objectives_it_has_the_front_and_stays_small() -> None:
    trials = [complete(n, float(n), float(n)) for n in range(2 * FRONT)]
    found = summarise(study(*trials, objectives=(LOSS, AUC)), trials[3], OUTPUTS, None)
    assert (found.front, len(found.best), found.ahead) == (2 * FRONT, FRONT, None)
    whole = large(2000, several=True)
    applied = next(trial for trial in whole.trials if trial.values)
    assert len(summarise(whole, applied, OUTPUTS, None).model_dump_json()) < 6_000


def planted(change: dict[str, Any]) -> str:
    made = study(complete(0, 5.0), complete(1, 1.0), complete(2, 2.0))
    body = json.loads(summarise(made, made.trials[1], OUTPUTS, 0).model_dump_json())
    return json.dumps({**body, **change})


def test_where_there_is_none_nothing_is_wrong(project: Project) -> None:
    assert read_summary(project) is None


SECOND = [{"number": 1, "values": {"validation_loss": 2.0}}, {"number": 2, "values": {"validation_loss": 0.5}}]
FALLING = {"lowest": 2.0, "quarter": 2.0, "median": 2.0, "three_quarters": 2.0, "highest": 1.0}


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"best": SECOND}, "the best trial is worse than the second"),
        ({"applied": 0, "values": {"validation_loss": 0.9}}, "the trial that was taken is better than the best"),
        ({"values": {"validation_loss": 1.5}}, "trial 1 has two values"),
        ({"states": {"complete": 1}}, "2 best trials of 1 that are complete"),
        ({"values": {"auc": 1.0}}, "values are of the objectives, validation_loss"),
        ({"front": 2}, "several objectives have a front"),
        ({"seconds": -1}, "seconds: Input should be greater"),
        ({"objectives": []}, "objectives: Tuple should have at least 1"),
        ({"more": 1}, "more: Extra inputs are not permitted"),
        ({"spread": {"validation_loss": FALLING}}, "quartiles rise from lowest to highest"),
    ],
)
def test_a_forged_summary_is_refused(project: Project, change: dict[str, Any], said: str) -> None:
    (project.root / FILE).write_text(planted({}))
    assert read_summary(project)
    (project.root / FILE).write_text(planted(change))
    with pytest.raises(BadInput) as found:
        read_summary(project)
    assert said in str(found.value)
    assert found.value.file == FILE


@pytest.mark.parametrize("text", ["[]", "{", '{"seconds": NaN}', "null"])
def test_a_file_that_is_no_summary_is_refused(project: Project, text: str) -> None:
    (project.root / FILE).write_text(text)
    with pytest.raises(BadInput):
        read_summary(project)


def test_a_file_that_is_too_large_is_not_read(project: Project) -> None:
    text = planted({})
    (project.root / FILE).write_text(text + " " * (LARGEST - len(text)))
    assert read_summary(project)
    (project.root / FILE).write_text(text + " " * (LARGEST - len(text) + 1))
    with pytest.raises(BadInput, match=f"larger than {LARGEST} bytes"):
        read_summary(project)
