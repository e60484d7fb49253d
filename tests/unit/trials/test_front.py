"""Which trials are the best ones, of one objective and of several."""

from __future__ import annotations

import random
import time

import pytest

from beampermit.trials.front import front_of, shown_order
from support.studies import AUC, LOSS, complete, failed, study


def numbers(trials: object) -> list[int]:
    return [trial.number for trial in trials]  # type: ignore[attr-defined]


def test_of_one_objective_the_front_is_the_best_and_all_that_are_as_good() -> None:
    made = study(complete(0, 0.5), complete(1, 0.25), failed(2), complete(3, 0.25), complete(4, 0.26))
    assert numbers(front_of(made)) == [1, 3]
    assert numbers(shown_order(made)) == [1, 3, 4, 0, 2]
    largest = study(*(one.model_copy(update={"values": {"auc": 1 - one.values["validation_loss"]}})
                      for one in made.trials if one.values), objectives=(AUC,))  # fmt: skip
    assert numbers(front_of(largest)) == [1, 3], "larger is better"
    assert front_of(study(failed(0))) == ()


def test_on_the_front_no_other_trial_is_better_in_all_objectives() -> None:
    made = study(
        complete(0, 0.1, 0.5),
        complete(1, 0.2, 0.9),
        complete(2, 0.2, 0.8),  # beaten by 1, which is as good in the loss
        complete(3, 0.3, 0.9),  # beaten by 1, which is as good in the AUC
        complete(4, 0.1, 0.5),  # as 0
        complete(5, 0.4, 0.95),
        objectives=(LOSS, AUC),
    )
    assert numbers(front_of(made)) == [0, 4, 1, 5]
    assert numbers(shown_order(made)) == [0, 4, 1, 5, 2, 3], "the front first"


def test_the_front_is_that_of_comparing_all_with_all() -> None:
    rng = random.Random(3)  # noqa: S311
    trials = [complete(n, rng.randrange(20), rng.randrange(20)) for n in range(120)]

    points = [(one.values["validation_loss"], one.values["auc"]) for one in trials]
    best = {
        one.number
        for one, (loss, auc) in zip(trials, points, strict=True)
        if not any((x, y) != (loss, auc) and x <= loss and y >= auc for x, y in points)
    }
    assert {*numbers(front_of(study(*trials, objectives=(LOSS, AUC))))} == best


@pytest.mark.slow
def test_ten_thousand_equal_trials_take_no_time() -> None:
    equal = study(*(complete(n, 0.5, 0.5, params={}) for n in range(10_000)), objectives=(LOSS, AUC))
    began = time.perf_counter()
    assert len(front_of(equal)) == 10_000
    assert time.perf_counter() - began < 5, "each with each would take a minute"
