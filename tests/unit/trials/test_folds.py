"""Folds keep groups apart, hold each row out at most once, and lie one after the other in time."""

from __future__ import annotations

import numpy as np
import pytest

from beampermit.errors import BadInput, Failed
from beampermit.trials.folds import (
    Fold,
    by_group,
    by_time,
    coarsest,
    never_held_out,
    require_apart,
    require_fitting,
    require_later,
)

RUNS = np.repeat(np.arange(6), [10, 20, 30, 10, 20, 30])
DEVICES = np.tile(np.arange(12), 10)


def apart(folds: list[Fold], groups: dict[str, np.ndarray]) -> None:
    for fold in folds:
        assert fold.fitted.any()
        assert fold.held_out.any()
        require_apart(fold, groups)
    assert np.sum([fold.held_out for fold in folds], axis=0).max() == 1


def test_each_row_is_held_out_once_with_its_whole_group() -> None:
    groups = {"run": RUNS}
    folds = by_group(groups, 3)
    apart(folds, groups)
    assert np.sum([fold.held_out for fold in folds], axis=0).min() == 1
    assert [int(fold.held_out.sum()) for fold in folds] == [40, 40, 40], "as many rows each as groups allow"
    assert all((fold.fitted ^ fold.held_out).all() for fold in folds)
    with pytest.raises(BadInput, match="run has 6 values, and 7 folds need as many") as raised:
        by_group(groups, 7)
    assert raised.value.hint == "beampermit validate --folds 6"
    assert len(by_group(groups, 6)) == 6


def test_groups_that_cross_are_both_kept_apart_and_finer_ones_follow_the_coarsest() -> None:
    groups = {"run": RUNS, "device": DEVICES}
    apart(by_group(groups, 2), groups)
    sites = {"site": DEVICES // 4, "device": DEVICES}
    assert coarsest(sites) == ["site"]
    assert coarsest({"device": DEVICES, "site": DEVICES // 4}) == ["site"]
    assert coarsest(groups) == ["run", "device"]
    folds = by_group(sites, 3)
    apart(folds, sites)
    assert np.sum([fold.held_out for fold in folds], axis=0).min() == 1


def test_rows_without_a_group_are_on_no_side() -> None:
    runs = np.where(np.arange(120) % 10 == 0, -1, RUNS)
    for fold in (*by_group({"run": runs}, 3), *by_time(np.arange(120), {"run": runs}, 3)):
        assert not (fold.fitted | fold.held_out)[runs == -1].any()


def test_it_is_said_why_rows_are_never_held_out() -> None:
    times, groups = np.arange(120), {"run": RUNS, "device": DEVICES}
    # Of 120 rows the first 30 are before all folds; of the others each fold holds out the devices of one third.
    assert never_held_out(by_time(times, groups, 3), groups, times) == {
        "first in time": 30,
        "of another fold by device": 60,
    }
    assert never_held_out(by_time(times, {"run": RUNS}, 3), {"run": RUNS}, times) == {"first in time": 30}
    assert never_held_out(by_group(groups, 3), groups) == {"of another fold by run or device": 79}
    assert never_held_out(by_group({"run": RUNS}, 3), {"run": RUNS}) == {}
    null = {"run": np.where(np.arange(120) % 40 == 39, -1, RUNS)}
    assert never_held_out(by_time(times, null, 3), null, times) == {"first in time": 30, "without run": 3}


@pytest.mark.parametrize("count", [2, 3, 5])
def test_what_is_held_out_lies_after_what_is_fitted(count: int) -> None:
    times = np.arange(120) // 2
    for groups in ({"run": RUNS}, {"device": DEVICES}, {"run": RUNS, "device": DEVICES}):
        folds = by_time(times, groups, count)
        apart(folds, groups)
        for fold, after in zip(folds, [*folds[1:], None], strict=True):
            assert times[fold.fitted].max() < times[fold.held_out].min()
            assert after is None or times[fold.held_out].max() < times[after.held_out].min()
    # A run that reaches into what is held out is not fitted on.
    third = by_time(np.arange(120), {"run": np.arange(120) // 20}, 3)[2]
    assert third.held_out.nonzero()[0].tolist() == [*range(90, 120)]
    assert third.fitted.nonzero()[0].tolist() == [*range(80)]


def test_few_moments_make_as_many_folds_as_they_can() -> None:
    few = np.array([0] * 50 + [1] * 2 + [2] * 2)
    devices = {"device": np.arange(54)}
    assert [int(fold.held_out.sum()) for fold in by_time(few, devices, 2)] == [1, 1]
    with pytest.raises(BadInput, match="3 moments in time, and 3 folds need 4"):
        by_time(few, devices, 3)


def test_a_fold_that_nothing_can_be_fitted_on_is_named() -> None:
    folds = by_group({"run": RUNS}, 3)
    target = np.arange(120) % 2
    assert require_fitting(folds, target, "faulty") == []
    one = np.where(folds[1].held_out, 1, target)
    assert require_fitting(folds, one, "faulty") == ["fold 2: faulty has one value in all 40 rows that are held out"]
    with pytest.raises(BadInput, match="fold 2: faulty has one value in all 80 rows that the model is fitted on"):
        require_fitting(folds, np.where(folds[1].fitted, 1, target), "faulty")
    none = Fold(1, np.zeros(3, bool), np.ones(3, bool))
    with pytest.raises(BadInput, match="fold 1 has no row to fit the model on"):
        require_fitting([none], None, "")
    with pytest.raises(BadInput, match="fold 1 has no row to measure the model on"):
        require_fitting([Fold(1, none.held_out, none.fitted)], None, "")


def test_what_is_held_out_is_later_than_all_that_is_fitted_on_by_a_moment_at_least() -> None:
    first = np.arange(4) < 2
    require_later(Fold(1, first, ~first), np.array([0, 1, 2, 3]))
    for times, said in (([0, 2, 2, 3], "1 row held out"), ([2, 3, 0, 1], "2 rows held out")):
        with pytest.raises(Failed, match=f"fold 1: {said}, not later than all that is fitted on"):
            require_later(Fold(1, first, ~first), np.array(times))


def test_a_group_on_both_sides_of_a_fold_is_refused() -> None:
    fold = by_group({"run": RUNS}, 3)[0]
    leaking = Fold(1, fold.fitted | (np.arange(120) == int(fold.held_out.argmax())), fold.held_out)
    with pytest.raises(Failed, match="fold 1: 1 value of run are fitted on and held out"):
        require_apart(leaking, {"run": RUNS})
