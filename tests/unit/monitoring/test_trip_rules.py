"""Readings become alarms after m of n windows, and are cleared with hysteresis; each trip is told once."""

from __future__ import annotations

import math

import pytest
from pydantic import ValidationError

from beampermit.contract.service import Monitoring
from beampermit.monitoring.trip_rules import NOT_A_NUMBER, Bypassed, Outcome, RuleState, TripRules
from beampermit.verdicts.monitoring import Reading, Trip, Window

EVERY = 600.0
PLAIN = Monitoring(raise_after=2, of=3, clear_after=2, clear_below=0.8, major=2.0)


def drift(value: float, subject: str = "turns", limit: float = 1.0, check: str = "MON001") -> Reading:
    return Reading(check=check, subject=subject, value=value, limit=limit)


def window(until: float, version: int = 3) -> Window:
    return Window(since=until - 3600, until=until, rows=60, version=version)


class Played:
    """Windows one after another."""

    def __init__(self, rule: Monitoring = PLAIN):
        self.bypassed: Bypassed | None = None
        self.rules = TripRules("toy", rule, lambda _: self.bypassed)
        self.state, self.at, self.version = RuleState(), 1e6, 3
        self.trips: list[Trip] = []

    def window(self, *readings: Reading, after: float = EVERY) -> Outcome:
        self.at += after
        outcome = self.rules.judge(self.state, readings, window(self.at, self.version))
        self.state = RuleState.model_validate_json(outcome.state.model_dump_json())
        self.trips += outcome.trips
        return outcome

    def values(self, *values: float, after: float = EVERY) -> list[str]:
        return [self.window(drift(value), after=after).standings[0].level for value in values]


@pytest.mark.parametrize(
    ("values", "levels"),
    [
        ((1.0, 1.0, 1.0), ["NO_ALARM"] * 3),  # at the limit is not beyond it
        ((1.1, 0.5, 0.5, 1.1), ["NO_ALARM"] * 4),  # one of three
        ((1.1, 0.5, 1.1), ["NO_ALARM", "NO_ALARM", "MINOR"]),  # two of three
        ((2.0, 2.0), ["NO_ALARM", "MINOR"]),  # at `major` is not beyond it
        ((2.1, 1.1, 2.1), ["NO_ALARM", "MINOR", "MAJOR"]),
    ],
)
def test_an_alarm_is_raised_after_m_of_n_windows(values: tuple[float, ...], levels: list[str]) -> None:
    assert Played().values(*values) == levels


@pytest.mark.parametrize(
    ("limit", "minor", "major"),
    [
        (0.1, 0.2, 0.201),  # far from the end: twice the limit
        (0.5, 0.75, 0.751),  # twice would be all rows
        (0.6, 0.8, 0.801),
        (0.9, 0.95, 0.951),
    ],
)
def test_a_share_can_be_major_whatever_its_limit(limit: float, minor: float, major: float) -> None:
    def levels(value: float) -> list[str]:
        played, share = Played(), Reading(check="MON003", subject="turns.missing", value=value, limit=limit, most=1.0)
        return [played.window(share).standings[0].level for _ in range(2)]

    assert levels(minor) == ["NO_ALARM", "MINOR"]
    assert levels(major) == ["NO_ALARM", "MAJOR"]


def test_what_has_no_end_is_major_at_times_its_limit_alone() -> None:
    assert drift(9.0, limit=0.9).threshold(2.0) == 1.8
    assert drift(9.0, limit=0.9).model_copy(update={"most": 0.8}).threshold(2.0) == 1.8, "a limit beyond the end"


def test_an_alarm_is_cleared_only_below_a_part_of_the_limit_and_after_windows_in_a_row() -> None:
    played = Played()
    played.values(1.1, 1.1)
    # Between 0.8 and 1 is not good; a window in between begins the count anew.
    assert played.values(0.9, 0.9, 0.9, 0.8, 0.9, 0.8, 0.8) == ["MINOR"] * 6 + ["NO_ALARM"]
    assert [trip.cleared for trip in played.trips] == [False, True]


def test_an_alarm_is_cleared_on_the_way_from_its_limit_to_what_is_usual() -> None:
    """Distances of MON002 and shares of sound windows lie far from 0, and their limits near to them."""
    played = Played()

    def levels(*values: float, usual: float = 1.001, limit: float = 1.134) -> list[str]:
        made = [Reading(check="MON002", subject="", value=value, limit=limit, usual=usual) for value in values]
        return [played.window(one).standings[0].level for one in made]

    assert levels(2.5, 2.5) == ["NO_ALARM", "MAJOR"]
    assert levels(1.108, 1.107, 1.108, 1.107, 1.107) == ["MAJOR", *["MINOR"] * 3, "NO_ALARM"]  # good from 1.1074 on
    # A limit of recorded data below what was usual in the reference.
    assert levels(1.0, 1.0, 0.91, 0.9, 0.9, limit=0.9) == ["NO_ALARM", "MINOR", "MINOR", "MINOR", "NO_ALARM"]


def test_windows_before_an_alarm_was_cleared_do_not_raise_it_again() -> None:
    played = Played(PLAIN.model_copy(update={"clear_after": 1}))
    assert played.values(1.1, 1.1, 0.1, 1.1, 1.1) == ["NO_ALARM", "MINOR", "NO_ALARM", "NO_ALARM", "MINOR"]


def test_the_worst_a_trip_told_of_is_told_once_and_under_one_name() -> None:
    played = Played()
    played.values(1.1, 1.1, 2.1, 2.1, 2.1, 1.5, 1.5, 2.1, 2.1, 0.1, 0.1)
    told = [(trip.standing.level, trip.cleared) for trip in played.trips]
    assert told == [("MINOR", False), ("MAJOR", False), ("NO_ALARM", True)]
    assert len({trip.name for trip in played.trips}) == 1


def test_delays_wait_by_the_ends_of_windows() -> None:
    played = Played(PLAIN.model_copy(update={"delay_on": 1200.0, "delay_off": 600.0}))
    assert played.values(1.1, 1.1, 1.1, 1.1) == ["NO_ALARM"] * 3 + ["MINOR"]
    assert played.values(0.1, 0.1, 0.1) == ["MINOR", "MINOR", "NO_ALARM"]


@pytest.mark.parametrize("number", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("key", ["value", "limit"])
def test_what_is_no_number_is_an_alarm_of_its_own(key: str, number: float) -> None:
    with pytest.raises(ValidationError):
        Reading.model_validate({"check": "MON001", "subject": "turns", "value": 0.0, "limit": 1.0, key: number})
    broken = drift(0.0).model_copy(update={key: number})
    played = Played()
    levels = [played.window(broken).standings[0].level for _ in range(3)]
    assert levels == ["NO_ALARM", "INVALID", "INVALID"]
    assert played.trips[0].standing.reading.detail == NOT_A_NUMBER
    assert played.values(0.1, 0.1) == ["INVALID", "NO_ALARM"]


def test_a_negative_limit_is_none() -> None:
    played = Played()
    played.window(drift(0.0, limit=-1.0))
    assert played.window(drift(0.0, limit=-1.0)).standings[0].level == "INVALID"


def test_a_limit_of_zero_is_crossed_by_anything_and_clears_at_zero() -> None:
    played = Played()
    levels = [played.window(drift(value, limit=0.0)).standings[0].level for value in (0.01, 0.01, 0.0, 0.0)]
    assert levels == ["NO_ALARM", "MAJOR", "MAJOR", "NO_ALARM"]


def test_a_monitor_that_cannot_judge_is_invalid_and_leaves_other_alarms_as_they_are() -> None:
    played, blind = Played(), drift(1.0, subject="", limit=0.0, check="MON008")
    played.values(1.1, 1.1)
    outcome = [played.window(blind) for _ in range(3)][-1]
    assert [(one.key, one.level) for one in outcome.standings] == [("MON008", "INVALID"), ("MON001 turns", "MINOR")]


def test_what_arrives_late_counts_when_more_of_it_has_arrived() -> None:
    """Of truth once a day, the same hour is judged in each window until there is more."""
    played = Played()

    def level(newest: float, value: float = 1.5, after: float = EVERY) -> str:
        reading = Reading(check="MON007", subject="score", value=value, limit=1.0, newest=newest)
        return played.window(reading, after=after).standings[0].level

    day = 86400.0
    assert [level(0.0) for _ in range(9)] == ["NO_ALARM"] * 9
    assert level(day, after=day) == "MINOR", "a day without more does not end the counting"
    assert [level(day, 0.1) for _ in range(9)] == ["MINOR"] * 9
    assert level(2 * day, 0.1, after=60.0) == "MINOR"  # this window does not count, and the next one does
    assert [level(2 * day, 0.1), level(3 * day, 0.1)] == ["MINOR", "NO_ALARM"]


def test_windows_whose_truth_arrives_together_count_one_after_the_other() -> None:
    played = Played()

    def arrived(*values: float, first: float) -> Outcome:
        of = {"check": "MON007", "subject": "score", "limit": 1.0}
        return played.window(*(Reading(**of, value=value, newest=first + at) for at, value in enumerate(values)))

    # Two bad hours of a day, good ones after them: raised and cleared, and told so.
    done = arrived(0.1, 1.5, 1.5, 0.1, 0.1, 0.1, first=100.0)
    assert [one.level for one in done.standings] == ["NO_ALARM"]
    assert [(trip.standing.level, trip.cleared) for trip in played.trips] == [("MINOR", False), ("NO_ALARM", True)]
    assert {trip.standing.since for trip in played.trips} == {102.0}, "since the second hour, not since the truth came"
    assert arrived(1.5, first=105.0).standings[0].level == "NO_ALARM"  # the last of them again
    arrived(1.5, 1.5, 0.1, 0.1, 1.5, 1.5, first=106.0)
    names = [trip.name for trip in played.trips if not trip.cleared]
    assert len({*names}) == len(names) == 3, "another alarm has another name"
    assert [one.level for one in arrived(1.5, 0.1, first=111.0).standings] == ["MINOR"]


def test_windows_that_are_asked_for_often_count_once() -> None:
    played = Played()
    assert played.values(1.1) == ["NO_ALARM"]
    assert played.values(1.1, 1.1, 1.1, after=60.0) == ["NO_ALARM"] * 3
    assert played.values(1.1, after=300.0) == ["MINOR"]


def test_windows_before_a_long_gap_do_not_count_and_what_is_in_alarm_stays() -> None:
    played = Played()
    played.values(1.1)
    assert played.values(1.1, after=86400.0) == ["NO_ALARM"]
    played.values(1.1)
    assert played.values(0.1, 0.1, after=86400.0) == ["MINOR", "MINOR"]
    assert played.values(0.1) == ["NO_ALARM"]


def test_a_clock_that_is_set_back_goes_on_counting_and_no_alarm_begins_in_the_future() -> None:
    played = Played()
    played.values(1.1)
    assert played.values(1.1, after=-7200.0) == ["MINOR"]
    played.window(drift(1.1), after=-7200.0)
    outcome = played.window(drift(1.1), after=EVERY)
    assert outcome.standings[0].since <= played.at - EVERY
    assert len(played.trips) == 1


def test_another_version_begins_anew_and_ends_the_alarms_of_the_one_before() -> None:
    played = Played()
    played.values(1.1, 1.1)
    played.version = 4
    assert played.values(1.1) == ["NO_ALARM"]
    assert [(trip.version, trip.cleared) for trip in played.trips] == [(3, False), (3, True)]
    assert played.trips[0].name == played.trips[1].name
    played.version = 3
    assert played.values(1.1, 1.1) == ["NO_ALARM", "MINOR"]


def test_a_bypassed_alarm_is_shown_and_not_told_until_the_bypass_ends() -> None:
    played = Played()
    played.bypassed = Bypassed(2e6, "Ada", "water is off")
    outcome = [played.window(drift(1.1)) for _ in range(3)][-1]
    standing = outcome.standings[0]
    assert (standing.level, standing.bypassed_by, standing.alarmed) == ("MINOR", "Ada", False)
    assert not played.trips
    played.bypassed = None
    assert played.window(drift(1.1)).standings[0].alarmed
    assert [trip.cleared for trip in played.trips] == [False]
    # A bypass of what was told: its end is told, too.
    played.bypassed = Bypassed(2e6, "Ada", "water is off")
    played.values(0.1, 0.1)
    assert [trip.cleared for trip in played.trips] == [False, True]


def test_the_worst_is_first() -> None:
    played = Played()
    readings = (drift(0.5, "a"), drift(1.2, "b"), drift(0.7, "c"), drift(3.0, "d"))
    played.window(*readings)
    assert subjects(played.window(*readings)) == ["d", "b", "c", "a"]


@pytest.mark.parametrize(
    ("value", "limit", "part"),
    [(0.5, 2.0, 0.25), (1.0, 1e-320, 1e9), (0.0, 0.0, 0.0), (-1.0, 0.0, 0.0), (0.3, 0.0, 3e8), (7.0, 0.0, 1e9)],
)
def test_a_part_of_a_limit_is_a_number_however_small_the_limit_is(value: float, limit: float, part: float) -> None:
    assert drift(value, limit=limit).part_of_limit == part


def subjects(outcome: Outcome) -> list[str]:
    return [one.reading.subject for one in outcome.standings]
