"""Whose shot an input is of, whichever arrives first."""

from __future__ import annotations

from math import inf, nan

import pytest

from beampermit.live.gathered import Gathered
from support.served import Serve, serve

__all__ = ["serve"]
PVS = ((0, 0), (0, 1), (0, 2), (1, 0))
LATE = PVS[-1]


@pytest.fixture
def gathered(serve: Serve, request: pytest.FixtureRequest) -> Gathered:
    """With `within` as the test's parameter says."""
    return Gathered(serve().loop.wiring, request.param)


def within(*seconds: float | None) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("gathered", seconds, indirect=True)


def take(gathered: Gathered, at: float, places: tuple[tuple[int, int], ...] = PVS) -> list[bool]:
    return [gathered.take(place, at) for place in places]


def shot(gathered: Gathered, at: float) -> bool:
    """Whether its inputs are there; shots come every second, from 1 on."""
    gathered.begin(at, at - 1.0 if at > 1.0 else nan)
    return gathered.complete


@within(None, 0.05)
def test_inputs_that_come_before_the_shot_are_there(gathered: Gathered) -> None:
    for number in (1.0, 2.0, 3.0):
        gathered.clear()
        take(gathered, number - 0.01)
        assert shot(gathered, number) is (number > 1.0 or gathered._within is not None)


@within(None, 0.05)
def test_inputs_of_the_shot_before_are_not_those_of_this_one(gathered: Gathered) -> None:
    for number in (1.0, 2.0, 3.0):
        assert not shot(gathered, number)
        take(gathered, number)
        assert gathered.complete
        gathered.clear()


@within(None, 0.05)
def test_an_input_that_was_late_once_is_waited_for_again(gathered: Gathered) -> None:
    gathered.begin(1.0, nan)
    take(gathered, 1.0, PVS[:-1])
    gathered.clear()  # `gather` is over
    take(gathered, 1.0, (LATE,))
    take(gathered, 2.0, PVS[:-1])
    assert not shot(gathered, 2.0)
    take(gathered, 1.0, (LATE,))
    assert not gathered.complete, "it comes again, and is as old"
    take(gathered, 2.0, (LATE,))
    assert gathered.complete


@within(0.05)
def test_an_input_that_rows_were_made_without_is_told_once(gathered: Gathered) -> None:
    gathered.begin(1.0, nan)
    take(gathered, 1.0, PVS[:-1])
    gathered.clear()
    assert take(gathered, 0.5, (LATE,)) == [False], "it is of an earlier shot"
    assert take(gathered, 1.0) == [False, False, False, True]
    assert take(gathered, 1.0) == [False] * 4


@within(None)
def test_rows_that_were_answered_without_an_input_wait_for_none(gathered: Gathered) -> None:
    gathered.begin(1.0, nan)
    gathered.clear()
    assert take(gathered, 1.0) == [False] * 4


@within(None, 0.05)
def test_rows_of_changes_ask_for_no_time(gathered: Gathered) -> None:
    take(gathered, -inf, PVS[:-1])
    assert not gathered.complete
    take(gathered, nan, (LATE,))
    assert gathered.complete
    for _ in range(2):
        gathered.clear()
        assert take(gathered, 1.0, PVS[:-1]) == [False] * 3
    assert take(gathered, 1.0, (LATE,)) == [False], "nobody had asked for it"


@within(None, 0.05)
@pytest.mark.parametrize("lost", [nan, inf])
def test_a_shot_without_a_time_spoils_none_after_it(gathered: Gathered, lost: float) -> None:
    gathered.begin(lost, nan)
    gathered.clear()
    assert not shot(gathered, 1.0)
    take(gathered, 1.0)
    assert gathered.complete
    gathered.clear()
    take(gathered, 2.0)
    assert shot(gathered, 2.0)


@within(None, 0.05)
def test_what_has_no_value_is_not_waited_for(gathered: Gathered) -> None:
    gathered.begin(1.0, nan)
    take(gathered, inf)
    assert gathered.complete


@within(None)
def test_a_shot_is_told_from_the_one_before_it(gathered: Gathered) -> None:
    take(gathered, 3.0)
    gathered.begin(4.0, 3.0)
    assert not gathered.complete
    take(gathered, 3.6)
    assert gathered.complete
