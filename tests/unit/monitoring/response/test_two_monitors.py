"""The monitors of two machines see the same alarm: people read of it once, and are asked for one thing."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from beampermit.monitoring.response.candidates import stored
from beampermit.monitoring.response.proposals import NewLimits
from support.github_server import meanwhile
from support.responses import DAY, HOUR, NOW, Responding, late, result, trip

Respond = Callable[..., Responding]
LIMITS = {"new_limits": lambda _: NewLimits({"metrics/calibration.json": "{}\n"}, "From 4 weeks.")}


@pytest.mark.slow
@pytest.mark.parametrize("on_trip", ["retrain", "propose-limits"])
def test_an_alarm_has_one_issue_with_one_comment_for_each_news_and_one_proposal(
    responding: Respond, log: Path, on_trip: str
) -> None:
    outlets = {"log": log, **LIMITS}
    both = [responding(on_trip=on_trip, outlets=outlets, folder=name) for name in ("one", "other")]
    window = trip().window.model_copy(update={"since": NOW, "until": NOW + HOUR + 2})
    story = (trip(), trip(level="MAJOR"), trip(level="MAJOR", cleared=True))
    for one in story:
        for monitor in both:
            monitor.work(one.model_copy(update={"window": window}), after=60)
    for monitor in (*both, *both):
        monitor.work(after=HOUR)
    github = both[0].github
    assert (both[0].states, len(both[0].said)) == (["closed"], 2)
    assert len(github.dispatched) == (on_trip == "retrain")
    assert len(github.pulls) == len(github.branches) - 1 == (on_trip == "propose-limits")
    # Each has its folder, and the window has one name.
    first, second = ([one.name for one in stored(monitor.folder / "candidates")] for monitor in both)
    assert first == second == ["2027-01-15T090002Z-v3"]
    assert [monitor.journal.tasks for monitor in both] == [(), ()]


def test_limits_that_both_propose_at_once_are_one_pull_request(responding: Respond) -> None:
    one, other = (responding(on_trip="propose-limits", outlets=LIMITS, folder=name) for name in ("one", "other"))
    one.github.next(meanwhile(lambda: other.work(trip())), of="POST /repos/lab/faults/git/refs")
    one.work(trip())
    for monitor in (one, other):
        monitor.work(after=HOUR)
    assert (len(one.github.pulls), len(one.github.branches), len(one.github.issues)) == (1, 2, 1)
    assert [monitor.journal.tasks for monitor in (one, other)] == [(), ()]


def test_an_alarm_that_stays_on_is_said_again_once_a_day_by_whichever_of_them(responding: Respond) -> None:
    """Their windows end at other times, and each counts its day from its own."""
    one, other = (responding(folder=name) for name in ("one", "other"))
    one.work(trip())
    other.work(trip(since=NOW + 200), after=437)
    for days in range(1, 4):
        for monitor in (one, other):
            monitor.work(after=DAY)
            assert len(one.said) == days
    # The one that spoke is gone; the other one says it.
    other.work(after=DAY)
    assert len(one.said) == 4


@pytest.mark.slow
def test_what_is_new_is_said_once_though_they_count_other_episodes(responding: Respond) -> None:
    """One of them saw the alarm clear for a moment, or was started later."""
    one, other = (responding(folder=name) for name in ("one", "other"))

    def saw(monitor: Responding, after: float, **of: Any) -> int:
        until = monitor.at + after
        window = trip().window.model_copy(update={"since": until - HOUR, "until": until})
        monitor.work(trip(**of).model_copy(update={"window": window}), after=after)
        return len(one.said)

    assert [saw(monitor, 0) for monitor in (one, other)] == [0, 0]
    saw(one, HOUR, cleared=True)
    back = {"since": NOW + 2 * HOUR}
    assert saw(one, HOUR / 2, **back) == 1
    assert saw(one, HOUR, level="MAJOR", **back) == 2
    assert saw(other, 2.5 * HOUR + 500, level="MAJOR") == 2
    assert [monitor.journal.alarms[0].episode for monitor in (one, other)] == [2, 1]
    for days in (1, 2):
        for monitor in (one, other):
            monitor.work(after=DAY)
            assert len(one.said) == 2 + days
    on = trip(level="MAJOR").standing.model_copy(update={"bypassed_until": NOW + 9 * DAY})
    for monitor in (one, other):
        monitor.work(result=result(NOW, on), after=HOUR)
        assert len(one.said) == 5
    # What comes back later is news, also to the one that counts as the other did then.
    for monitor in (one, other):
        monitor.work(result=result(NOW, on.model_copy(update={"bypassed_until": None})))
    saw(other, 3 * HOUR, level="MAJOR", cleared=True)
    assert saw(other, HOUR / 2, level="MAJOR", since=other.at) == 6


@pytest.mark.slow
def test_truth_that_both_judge_late_is_said_once_each_time(responding: Respond) -> None:
    """One round of each sees an alarm end and begin; the windows of these rounds end at other times."""
    one, other = (responding(folder=name) for name in ("one", "other"))
    for monitor in (one, other):
        monitor.work(late(trip(), NOW), after=300)
    for number in range(1, 4):
        since = NOW + (number - 1) * DAY
        ended, begun = late(trip(since=since, cleared=True), since + HOUR), late(trip(since=since + DAY), since + DAY)
        for monitor, after in ((one, 60), (other, 400)):
            window = trip().window.model_copy(update={"until": monitor.at + after})
            monitor.work(*(of.model_copy(update={"window": window}) for of in (ended, begun)), after=after)
            assert len(one.said) == number


def test_what_the_monitor_of_the_other_machine_closed_no_person_closed(responding: Respond) -> None:
    """For one of them the alarm is over, for the other one it is still on, or comes back."""
    one, other = (responding(folder=name) for name in ("one", "other"))
    for monitor in (one, other):
        monitor.work(trip())
    one.work(trip(cleared=True), after=600)
    one.work(after=HOUR)
    assert one.states == ["closed"]
    other.work(trip(level="MAJOR"), after=2 * HOUR)
    assert (one.states, len(one.said)) == (["open"], 2)

    # Both have cleared: the one that comes second finds it closed, and opens it when the alarm is back.
    other.work(trip(level="MAJOR", cleared=True), after=600)
    other.work(after=HOUR)
    assert one.states == ["closed"]
    one.work(trip(since=NOW + 5 * HOUR), after=4 * HOUR)
    assert one.states == ["open"]
    assert not any(alarm.issue and alarm.issue.left_alone for of in (one, other) for alarm in of.journal.alarms)

    # What a person closed after that stays closed, for both.
    next(iter(one.github.issues.values()))["state"] = "closed"
    for monitor in (one, other):
        monitor.work(trip(level="MAJOR", since=NOW + 9 * HOUR), after=4 * HOUR)
    assert one.states == ["closed"]


def test_what_both_monitors_close_is_left_to_neither_as_closed_by_a_person(responding: Respond) -> None:
    one, other = (responding(folder=name) for name in ("one", "other"))
    for monitor in (one, other):
        monitor.work(trip())
        monitor.work(trip(cleared=True), after=600)
    for monitor in (one, other):
        monitor.work(after=HOUR)
    (alarm,) = other.journal.alarms
    assert alarm.issue
    assert (alarm.issue.closed, alarm.issue.left_alone, len(one.said)) == (True, False, 1)
