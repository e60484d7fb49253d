"""One issue for each alarm, whatever GitHub does, and whatever people do with it."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

from beampermit.monitoring.response.issues import mark_of
from beampermit.monitoring.response.journal import Journal, key_of
from support.github_server import Answering, Asked, Fault, HangUp, lost, reset, says, too_fast, used_up
from support.responses import DAY, HOUR, NOW, Responding, late, result, trip

Respond = Callable[..., Responding]
KEY = key_of(trip())


@pytest.mark.slow
def test_an_alarm_is_one_issue_that_is_closed_when_it_has_been_clear_for_long(responding: Respond) -> None:
    monitor = responding()
    monitor.work(trip())
    (issue,) = monitor.github.issues.values()
    assert issue["title"] == "bpm-faults: An input's distribution differs from the reference of turns.std (MON001)"
    assert "| Reading | 0.42, limit 0.25 |" in issue["body"]
    assert "- Tell the maintainer." in issue["body"]
    monitor.work(after=HOUR)
    monitor.work(trip())
    assert (len(monitor.github.issues), monitor.said) == (1, [])
    monitor.work(trip(cleared=True), after=600)
    monitor.work(after=HOUR - 1)
    assert (monitor.states, monitor.said) == (["open"], [])
    monitor.work(after=1)
    assert monitor.states == ["closed"]
    assert monitor.said[0].startswith("The alarm has cleared: 0.1, limit 0.25")
    monitor.work(after=HOUR)
    assert len(monitor.said) == 1


def test_an_alarm_that_stays_on_is_said_again_once_a_day(responding: Respond) -> None:
    monitor = responding()
    monitor.work(trip())
    for hours, comments in ((23, 0), (1, 1), (12, 1), (12, 2)):
        monitor.work(after=hours * HOUR)
        assert len(monitor.said) == comments


@pytest.mark.slow
def test_an_alarm_that_gets_worse_is_said_at_once(responding: Respond) -> None:
    monitor = responding()
    monitor.work(trip())
    monitor.work(trip(level="MAJOR"), after=60)
    assert monitor.said[0].startswith("MAJOR since 2027-01-15 08:00:00 UTC: 0.42, limit 0.25")
    assert len(monitor.github.issues) == 1


def test_an_alarm_that_comes_back_soon_has_the_same_issue(responding: Respond) -> None:
    monitor = responding()
    monitor.work(trip())
    monitor.work(trip(cleared=True), after=600)
    monitor.work(trip(since=NOW + 900), after=300)
    assert (monitor.states, len(monitor.said)) == (["open"], 1)
    monitor.work(trip(since=NOW + 900, cleared=True), after=600)
    monitor.work(after=HOUR)
    assert monitor.states == ["closed"]
    monitor.work(trip(since=NOW + 3 * HOUR), after=HOUR)
    assert monitor.states == ["open"]
    assert "for the 3. time" in monitor.said[-1]


def test_each_time_that_it_comes_back_is_said_though_one_round_sees_it_end_and_begin(responding: Respond) -> None:
    monitor = responding()
    monitor.work(late(trip(), NOW))
    for number in range(1, 4):
        since = NOW + (number - 1) * DAY
        ended, begun = late(trip(since=since, cleared=True), since + HOUR), late(trip(since=since + DAY), since + DAY)
        monitor.work(ended, begun, after=60)
        assert len(monitor.said) == number


def told(monitor: Responding, after: float, **of: Any) -> int:
    """How many comments there are after a trip whose window ends now."""
    window = trip().window.model_copy(update={"until": monitor.at + after})
    monitor.work(trip(**of).model_copy(update={"window": window}), after=after)
    return len(monitor.said)


def test_what_github_hears_late_of_one_time_keeps_nothing_of_the_next_back(responding: Respond) -> None:
    monitor = responding()
    told(monitor, 0)
    told(monitor, HOUR / 2, cleared=True)
    monitor.github.next(*[says(500)] * 5, of="GET")
    assert told(monitor, 600, since=NOW + 2400) == 0
    monitor.github.faults.clear()
    # It is written down now, an hour later, shortly before the alarm clears and comes back.
    monitor.work(after=HOUR)
    assert len(monitor.said) == 1
    told(monitor, 60, since=NOW + 2400, cleared=True)
    assert told(monitor, 60, since=NOW + 6120) == 2


def test_what_was_said_before_the_clock_was_set_back_keeps_nothing_back(responding: Respond) -> None:
    monitor = responding()
    told(monitor, 0)
    told(monitor, HOUR / 2, cleared=True)
    assert told(monitor, 10 * HOUR, since=NOW + 10 * HOUR) == 1
    told(monitor, -9 * HOUR, since=NOW + 10 * HOUR, cleared=True)
    assert told(monitor, HOUR / 2, since=NOW + 2 * HOUR) == 2


@pytest.mark.slow
def test_an_alarm_that_comes_back_later_has_another_issue(responding: Respond) -> None:
    monitor = responding()
    monitor.work(trip())
    monitor.work(trip(cleared=True))
    monitor.work(after=HOUR)
    assert monitor.work(after=DAY).alarms == ()
    monitor.work(trip(since=NOW + 2 * DAY), after=DAY)
    assert monitor.states == ["closed", "open"]


# What people do


def test_an_issue_that_a_person_closed_is_commented_on_once_and_not_opened_again(responding: Respond) -> None:
    monitor = responding()
    monitor.work(trip())
    (issue,) = monitor.github.issues.values()
    issue["state"] = "closed"
    monitor.work(trip(level="MAJOR"), after=60)
    for _ in range(3):
        monitor.work(after=DAY)
    assert (monitor.states, len(monitor.said)) == (["closed"], 1)
    monitor.work(trip(cleared=True))
    monitor.work(after=HOUR)
    assert (monitor.states, len(monitor.said)) == (["closed"], 1)


def test_a_locked_issue_is_left_alone(responding: Respond) -> None:
    monitor = responding()
    monitor.work(trip())
    next(iter(monitor.github.issues.values()))["locked"] = True
    journal = monitor.work(trip(level="MAJOR"), after=60)
    assert (journal.problem, monitor.github.count("POST /repos/lab/faults/issues/")) == ("", 0)
    assert "is locked and is left alone" in journal.log[-1]
    monitor.work(trip(cleared=True), after=DAY)
    monitor.work(after=HOUR)
    assert (monitor.states, monitor.said) == (["open"], [])


def test_a_deleted_issue_is_not_made_again_until_the_alarm_is_raised_again(responding: Respond) -> None:
    monitor = responding()
    monitor.work(trip())
    monitor.github.issues.clear()
    monitor.work(after=DAY)
    monitor.work(trip(level="MAJOR"), after=60)
    assert monitor.github.issues == {}
    monitor.work(trip(cleared=True))
    monitor.work(trip(since=NOW + 2 * DAY), after=DAY)
    assert monitor.states == ["open"]


def test_an_issue_of_a_lost_state_folder_is_found_again(responding: Respond) -> None:
    monitor = responding()
    monitor.work(trip())
    (monitor.folder / "response.json").unlink()
    monitor.start()
    monitor.work(trip())
    assert len(monitor.github.issues) == 1


def test_a_strangers_copy_of_the_hidden_line_is_not_believed(responding: Respond) -> None:
    monitor = responding()
    forged = monitor.github.issue("Nothing to see", mark_of("alarm", KEY), login="eve")
    monitor.work(trip())
    assert len(monitor.github.issues) == 2
    monitor.work(trip(level="MAJOR"), after=60)
    assert [comment["issue_url"].endswith(f"/{forged['number']}") for comment in monitor.github.comments.values()] == [
        False
    ]


def test_a_strangers_copy_of_a_comments_hidden_line_keeps_no_comment_back(responding: Respond) -> None:
    monitor = responding()
    monitor.work(trip())
    (number,) = monitor.github.issues
    monitor.github.comment(number, f"Nothing to see\n\n{mark_of('news', KEY, 'MAJOR')}", login="eve")
    monitor.github.next(says(500), of="POST")
    monitor.work(trip(level="MAJOR"), after=60)
    assert len(monitor.said) == 1
    monitor.work(after=120)
    assert monitor.said[1:] == [said for said in monitor.said if said.startswith("MAJOR since")]
    assert len(monitor.said) == 2


def test_an_issue_that_was_moved_to_another_repository_is_left_alone(responding: Respond) -> None:
    monitor = responding()
    monitor.work(trip())
    ((number, issue),) = monitor.github.issues.items()
    monitor.github.next(says(200, {**issue, "number": number + 1}), of="GET")  # GitHub sends on to where it is now
    journal = monitor.work(trip(level="MAJOR"), after=60)
    assert f"issue {number} was deleted and is left alone" in journal.log[-1]
    assert (monitor.states, monitor.said) == (["open"], [])


@pytest.mark.slow
@pytest.mark.parametrize("what", ["deleted", "locked"])
def test_what_people_do_with_the_issue_of_many_alarms_stands(responding: Respond, what: str) -> None:
    monitor = responding(issues=1)
    monitor.work(trip(), trip(subject="turns.mean"))
    number, listed = [*monitor.github.issues.items()][-1]
    if what == "deleted":
        del monitor.github.issues[number]
    listed["locked"] = True
    before = listed["body"]
    monitor.work(trip(subject="turns.max"), after=700)
    assert listed["body"] == before
    monitor.work(after=700)
    found = [one["title"] for one in monitor.github.issues.values() if "many alarms" in one["title"]]
    assert found == ["bpm-faults: many alarms of the monitor"]
    every = [trip(subject=name, cleared=True) for name in ("turns.std", "turns.mean", "turns.max")]
    monitor.work(*every)
    monitor.work(after=HOUR)
    assert monitor.journal.gathering is None
    assert listed["state"] == "open"


# What GitHub does


@pytest.mark.parametrize(
    "fault",
    [
        says(500),
        says(403),
        says(401),
        says(422),
        says(429, retry_after="300"),
        too_fast(300),
        used_up(300),
        reset,
        says(200, "no object"),
        says(410),
    ],
)
def test_what_github_refuses_is_told_later_and_the_monitor_goes_on(responding: Respond, fault: Fault) -> None:
    monitor = responding()
    monitor.github.next(*[fault] * 5, of="/issues")
    journal = monitor.work(trip())
    assert monitor.github.issues == {}
    assert journal.problem
    assert NOW < journal.wait_until <= NOW + HOUR
    monitor.github.faults.clear()
    asked = monitor.github.count()
    monitor.work(after=journal.wait_until - NOW - 1)
    assert monitor.github.count() == asked
    journal = monitor.work(after=1)
    assert (len(monitor.github.issues), journal.problem, journal.troubles) == (1, "", 0)


@pytest.mark.slow
@pytest.mark.parametrize("of", ["POST", "PATCH", "GET"])
def test_an_answer_that_is_lost_makes_no_second_issue_and_no_second_comment(responding: Respond, of: str) -> None:
    monitor = responding()
    monitor.github.next(lost, of=of)
    monitor.work(trip())
    monitor.work(after=60)
    monitor.github.faults.clear()
    monitor.github.next(lost, of=of)
    monitor.work(trip(level="MAJOR"), after=60)
    monitor.work(after=120)
    monitor.github.faults.clear()
    monitor.work(trip(cleared=True), after=60)
    monitor.github.next(lost, of=of)
    monitor.work(after=HOUR)
    monitor.work(after=HOUR)
    assert (monitor.states, len(monitor.said)) == (["closed"], 2)


@pytest.mark.parametrize("fault", [too_fast(1800), says(503, retry_after="1800")])
@pytest.mark.parametrize("of", ["GET", "POST"])
def test_github_that_asks_to_wait_for_long_is_not_asked_before(responding: Respond, fault: Fault, of: str) -> None:
    monitor = responding()
    monitor.github.next(fault, fault, of=of)
    journal = monitor.work(trip())
    assert (journal.wait_until, len(monitor.github.faults)) == (NOW + 1800, 1)


@pytest.mark.slow
def test_an_issue_that_github_refuses_does_not_keep_back_the_others(responding: Respond) -> None:
    monitor = responding()
    monitor.github.next(says(422), of="POST")
    monitor.work(trip(), trip(subject="turns.mean"))
    assert len(monitor.github.issues) == 1
    monitor.work(after=60)
    assert len(monitor.github.issues) == 2


@pytest.mark.slow
def test_an_alarm_of_a_night_without_github_is_told_in_the_morning(responding: Respond) -> None:
    monitor = responding()
    for hour in range(6):
        monitor.github.next(*[reset] * 5)
        monitor.work(*([trip()] if hour == 0 else []), after=HOUR)
    monitor.work(trip(cleared=True))
    monitor.github.faults.clear()
    monitor.work(after=HOUR)
    monitor.work(after=HOUR)
    assert (monitor.states, len(monitor.said)) == (["closed"], 1)


def test_a_github_that_hangs_does_not_hold_the_window_that_is_judged(responding: Respond) -> None:
    """`Monitor.judge` hands its trips over and goes on; a thread asks GitHub."""
    monitor, asked, ends = responding(), threading.Event(), threading.Event()

    def hang(_github: Answering, _asked: Asked) -> None:
        asked.set()
        ends.wait(60)
        raise HangUp

    monitor.github.next(hang)
    monitor.responder.start()
    monitor.responder.take([trip()])
    assert asked.wait(30)
    began = time.monotonic()
    for number in range(10):
        monitor.responder.take([trip(subject=f"input-{number}")])
    assert time.monotonic() - began < 30, "GitHub hangs for a minute"
    assert len(monitor.journal.alarms) == 11
    ends.set()
    monitor.responder.close()
    assert time.monotonic() - began < 55


# Many


@pytest.mark.slow
def test_a_flood_has_few_issues_and_one_that_lists_the_others(responding: Respond) -> None:
    monitor = responding(issues=3)
    flood = [trip(subject=f"input-{number}") for number in range(60)]
    monitor.work(*flood)
    assert len(monitor.github.issues) == 4
    listed = [*monitor.github.issues.values()][-1]
    assert listed["title"] == "bpm-faults: many alarms of the monitor"
    assert "`input-3`" in listed["body"]
    monitor.work(trip(subject="input-60"), after=60)
    assert "input-60" not in listed["body"]
    monitor.work(*[one.model_copy(update={"cleared": True}) for one in flood[:40]], after=600)
    assert "`input-60`" in listed["body"]
    rest = (*flood[40:], trip(subject="input-60"))
    monitor.work(*[one.model_copy(update={"cleared": True}) for one in rest])
    monitor.work(after=HOUR)
    monitor.work(after=HOUR)
    assert set(monitor.states) == {"closed"}
    assert len(monitor.github.issues) == 4


@pytest.mark.slow
def test_an_alarm_that_clears_while_many_are_gathered_has_cleared(
    responding: Respond, monkeypatch: pytest.MonkeyPatch
) -> None:
    monitor = responding(issues=1)
    monitor.responder.take([trip(subject=f"input-{number}") for number in range(3)])
    change, told = monitor.kept.change, [trip(subject="input-2", cleared=True)]

    def meanwhile(by: Callable[[Journal], Journal]) -> None:
        if told:  # by the monitor's own thread
            monitor.responder.take([told.pop()])
        change(by)

    monkeypatch.setattr(monitor.kept, "change", meanwhile)
    monitor.responder.work()
    cleared = monitor.journal.find(key_of(trip(subject="input-2")))
    assert cleared is not None
    assert (cleared.on, cleared.gathered) == (False, True)


@pytest.mark.slow
def test_room_for_an_issue_counts_those_that_are_open(responding: Respond) -> None:
    monitor = responding(issues=1)
    monitor.work(trip())
    monitor.work(trip(cleared=True))
    monitor.work(after=HOUR)
    monitor.work(trip(subject="turns.mean", since=NOW + 2 * HOUR))
    assert [*monitor.github.issues.values()][-1]["title"].endswith("of turns.mean (MON001)")


@pytest.mark.slow
@pytest.mark.parametrize("back", [10 * DAY, 2 * HOUR])
def test_an_alarm_after_the_clock_was_set_back_opens_its_issue_again(responding: Respond, back: float) -> None:
    monitor = responding()
    monitor.work(trip())
    monitor.work(trip(cleared=True), after=60)
    monitor.work(after=2 * HOUR)
    assert monitor.states == ["closed"]
    monitor.work(trip(since=NOW - back), after=-back)
    assert monitor.states == ["open"]
    monitor.work(trip(), trip(since=NOW - back), after=60)  # told before, both
    monitor.work(trip(since=NOW - back, cleared=True))
    monitor.work(after=HOUR)
    assert (monitor.states, len(monitor.said)) == (["closed"], 3)


@pytest.mark.slow
def test_a_reminder_has_the_newest_reading_and_there_is_none_while_the_alarm_is_bypassed(responding: Respond) -> None:
    monitor = responding()
    raised = trip().standing
    reading = raised.reading.model_copy(update={"value": 0.77})
    now = raised.model_copy(update={"reading": reading})
    said = {"bypassed_until": NOW + 2 * DAY, "bypassed_by": "Ada", "bypass_reason": "a shutdown"}
    monitor.work(trip(), result=result(NOW, raised))
    for after in (60.0, 60.0, DAY, DAY):  # who waits for it reads at once that somebody bypassed it, and no more
        monitor.work(after=after, result=result(monitor.at + after, now.model_copy(update=said)))
        assert len(monitor.said) == 1
    assert "bypassed until 2027-01-17 08:00:00 UTC by Ada: a shutdown." in monitor.said[0]
    longer = said | {"bypassed_until": NOW + 3 * DAY}
    monitor.work(after=60, result=result(NOW + 2 * DAY, now.model_copy(update=longer)))
    assert "bypassed until 2027-01-18 08:00:00 UTC by Ada" in monitor.said[1]
    monitor.work(after=DAY, result=result(NOW + 2 * DAY + HOUR, now))
    (*_, text) = monitor.said
    assert len(monitor.said) == 3
    assert "MINOR since 2027-01-15 08:00:00 UTC: 0.77, limit 0.25, in the window until 2027-01-17 09:00:00 UTC." in text
    worse = trip(level="MAJOR")
    monitor.work(worse, after=60, result=result(NOW, worse.standing.model_copy(update=said)))
    assert "bypassed until 2027-01-17 08:00:00 UTC by Ada: a shutdown." in monitor.said[-1]
