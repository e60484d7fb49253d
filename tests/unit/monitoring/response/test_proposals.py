"""A machine proposes; people and interlocks decide. Nothing is loosened, promoted or retired by it alone."""

from __future__ import annotations

import re
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest

from beampermit.errors import BeampermitError, Conflict, Outside
from beampermit.github.client import Refused
from beampermit.monitoring.response.fall_back import fall_back, fell_back
from beampermit.monitoring.response.journal import FallBack
from beampermit.monitoring.response.proposals import NewLimits, Suppressed
from beampermit.registry.event import Event
from beampermit.registry.operations import Session
from beampermit.verdicts.monitoring import Trip
from support.github_server import lost, says, too_fast
from support.registry_project import MODEL, Laboratory
from support.responses import DAY, HOUR, NOW, Responding, trip

Respond = Callable[..., Responding]
ALLOWED = re.compile(
    r"(GET .*|POST /repos/lab/faults/(issues(/\d+/comments)?|git/(trees|commits|refs)|pulls"
    r"|actions/workflows/retrain\.yml/dispatches)|PATCH /repos/lab/faults/issues/\d+)"
)
"""All that the monitor may ask of GitHub: no merge, no push to a branch that is there, no approval, no ledger."""


def new_limits(_: Trip) -> NewLimits:
    return NewLimits({"metrics/calibration.json": '{"format": 1}\n'}, "From 4 weeks of recorded data.")


@pytest.mark.slow
def test_limits_are_proposed_as_a_pull_request_that_changes_them_alone(responding: Respond) -> None:
    monitor = responding(on_trip="propose-limits", outlets={"new_limits": new_limits})
    monitor.work(trip())
    monitor.work(after=HOUR)
    (pull,) = monitor.github.pulls.values()
    assert (pull["base"]["ref"], pull["title"], pull["state"]) == ("main", "Limits of MON001 turns.std", "open")
    assert "From 4 weeks of recorded data." in pull["body"]
    assert "The monitor merges nothing." in pull["body"]
    (tree,) = monitor.github.trees.values()
    assert [entry["path"] for entry in tree["tree"]] == ["metrics/calibration.json"]
    assert monitor.github.branches["main"] == "0" * 40
    assert all(ALLOWED.fullmatch(str(asked)) for asked in monitor.github.asked)


def test_a_retraining_is_started_and_judged_like_any_other(responding: Respond) -> None:
    monitor = responding(on_trip="retrain")
    monitor.work(trip())
    monitor.work(after=HOUR)
    (started,) = monitor.github.dispatched
    assert (started["workflow"], started["ref"]) == ("retrain.yml", "main")
    assert started["inputs"]["reason"] == "bpm-faults MON001 turns.std 1800000000"
    assert monitor.github.pulls == {}
    assert all(ALLOWED.fullmatch(str(asked)) for asked in monitor.github.asked)


@pytest.mark.slow
def test_no_second_proposal_is_made_within_the_cooldown(responding: Respond) -> None:
    monitor = responding(on_trip="retrain", cooldown=2 * DAY)
    monitor.work(trip(), trip(subject="turns.mean"))
    for run in monitor.github.runs.values():
        run["status"] = "completed"
    journal = monitor.work(trip("MON002", ""), after=2 * DAY - 1)
    assert len(monitor.github.dispatched) == 1
    assert "monitoring.response.cooldown is longer" in journal.log[-1] or any("cooldown" in one for one in journal.log)
    monitor.work(trip("MON007", "score"), after=1)
    assert len(monitor.github.dispatched) == 2


@pytest.mark.parametrize("branch", ["beampermit/retrain", "beampermit/limits-0123"])
@pytest.mark.parametrize("on_trip", ["retrain", "propose-limits"])
def test_no_second_proposal_is_made_while_one_is_open(responding: Respond, on_trip: str, branch: str) -> None:
    monitor = responding(on_trip=on_trip, outlets={"new_limits": new_limits})
    monitor.github.pull("1" * 40, branch=branch)
    journal = monitor.work(trip())
    assert (monitor.github.dispatched, len(monitor.github.pulls)) == ([], 1)
    assert any("a proposal is open already: https://git.example/lab/faults/pull/1" in one for one in journal.log)


def test_issues_are_told_before_limits_are_looked_for(responding: Respond) -> None:
    """A backtest of four weeks takes minutes."""
    told: list[int] = []

    def slow(trip: Trip) -> NewLimits:
        told.append(len(monitor.github.issues))
        return new_limits(trip)

    monitor = responding(on_trip="propose-limits", outlets={"new_limits": slow})
    monitor.work(trip())
    assert told == [1]


@pytest.mark.slow
def test_limits_are_not_looked_for_where_a_proposal_is_open(responding: Respond) -> None:
    asked: list[Trip] = []

    def counted(trip: Trip) -> NewLimits:
        asked.append(trip)
        return new_limits(trip)

    monitor = responding(on_trip="propose-limits", outlets={"new_limits": counted})
    monitor.github.pull("1" * 40, branch="beampermit/retrain")
    monitor.work(*[trip(subject=f"x{number}") for number in range(8)])
    assert (asked, len(monitor.github.pulls)) == ([], 1)


def test_a_stranger_cannot_hold_a_proposal_back_with_a_fork(responding: Respond) -> None:
    monitor = responding(on_trip="retrain")
    monitor.github.pull("1" * 40, branch="beampermit/retrain", fork="eve/faults")
    monitor.work(trip())
    assert len(monitor.github.dispatched) == 1


def test_a_retraining_that_runs_is_not_started_again(responding: Respond) -> None:
    monitor = responding(on_trip="retrain")
    monitor.github.run(
        "1" * 40,
        event="workflow_dispatch",
        path=".github/workflows/retrain.yml",
        status="in_progress",
        display_title="x",
    )
    journal = monitor.work(trip())
    assert monitor.github.dispatched == []
    assert any("a retraining runs already" in one for one in journal.log)


@pytest.mark.parametrize("of", ["/dispatches", "/git/refs", "/pulls", "/git/trees"])
@pytest.mark.parametrize("on_trip", ["retrain", "propose-limits"])
def test_an_answer_that_is_lost_proposes_nothing_twice(responding: Respond, on_trip: str, of: str) -> None:
    monitor = responding(on_trip=on_trip, outlets={"new_limits": new_limits})
    monitor.github.next(lost, of=f"POST /repos/lab/faults{of}" if of != "/dispatches" else of)
    monitor.work(trip())
    for _ in range(4):
        monitor.work(after=HOUR)
    assert len(monitor.github.dispatched) == (on_trip == "retrain")
    assert len(monitor.github.pulls) == (on_trip == "propose-limits")
    assert len([name for name in monitor.github.branches if name.startswith("beampermit/")]) == len(
        monitor.github.pulls
    )
    assert monitor.journal.tasks == ()


@pytest.mark.slow
@pytest.mark.parametrize("status", [403, 404, 422, 500])
def test_what_github_refuses_is_tried_again_and_then_given_up(responding: Respond, status: int) -> None:
    monitor = responding(on_trip="retrain")
    monitor.github.next(*[says(status)] * 500, of="/dispatches")
    for hours in (0, 1, 1, 24, 1):
        monitor.work(*([trip()] if not hours else []), after=hours * HOUR)
    assert any("given up" in one for one in monitor.journal.log)
    assert monitor.github.dispatched == []
    assert len(monitor.github.issues) == 1


@pytest.mark.parametrize("status", [403, 429, 503])
@pytest.mark.parametrize(
    ("on_trip", "of"),
    [("retrain", "/dispatches"), ("propose-limits", "/git/refs"), ("propose-limits", "POST /repos/lab/faults/pulls")],
)
def test_a_proposal_waits_as_long_as_github_asks(responding: Respond, on_trip: str, of: str, status: int) -> None:
    monitor = responding(on_trip=on_trip, outlets={"new_limits": new_limits})
    monitor.github.next(too_fast(1800, status), of=of)
    assert [task.due for task in monitor.work(trip()).tasks] == [NOW + 1800]
    assert len(monitor.work(after=1799).tasks) == 1
    assert monitor.work(after=1).tasks == ()
    assert len(monitor.github.dispatched) + len(monitor.github.pulls) == 1


def test_an_alarm_that_cleared_meanwhile_proposes_nothing(responding: Respond) -> None:
    monitor = responding(on_trip="retrain", outlets={"client": None})
    first = trip()
    monitor.responder.take([first])
    monitor.responder.take([trip(cleared=True)])
    journal = monitor.work()
    assert any("the alarm has cleared" in one for one in journal.log)


@pytest.mark.slow
@pytest.mark.parametrize("on_trip", ["retrain", "propose-limits"])
def test_what_was_begun_is_not_done_after_the_alarm_cleared(responding: Respond, on_trip: str) -> None:
    monitor = responding(on_trip=on_trip, outlets={"new_limits": new_limits})
    monitor.github.next(*[says(503)] * 8, of="/dispatches" if on_trip == "retrain" else "/git/trees")
    assert [task.begun for task in monitor.work(trip()).tasks] == [True]
    monitor.work(trip(cleared=True), after=30)
    journal = monitor.work(after=10 * HOUR)
    assert (monitor.github.dispatched, monitor.github.pulls, journal.proposals) == ([], {}, ())
    assert any("not done: the alarm has cleared" in line for line in journal.log)


def test_what_was_begun_is_not_done_for_the_next_raise_of_the_alarm(responding: Respond) -> None:
    monitor = responding(on_trip="retrain", proposes_at="MAJOR")
    monitor.github.next(says(503), of="/dispatches")
    assert [task.begun for task in monitor.work(trip(level="MAJOR")).tasks] == [True]
    monitor.work(trip(cleared=True), trip(since=NOW + 20), after=30)
    monitor.work(after=10 * HOUR)
    assert monitor.github.dispatched == []


@pytest.mark.slow
@pytest.mark.parametrize("on_trip", ["retrain", "propose-limits"])
def test_what_was_done_before_the_alarm_cleared_is_noted_and_starts_the_cooldown(
    responding: Respond, on_trip: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monitor = responding(on_trip=on_trip, outlets={"new_limits": new_limits})
    with monkeypatch.context() as patch:
        patch.setattr(type(monitor.kept), "finish", killed)
        with pytest.raises(KeyboardInterrupt):
            monitor.work(trip())
    monitor.start()
    for one in (*monitor.github.runs.values(), *monitor.github.pulls.values()):
        one.update({"status": "completed", "state": "closed"})
    journal = monitor.work(trip(cleared=True), after=HOUR)
    assert [proposal.kind for proposal in journal.proposals] == [on_trip]
    monitor.work(trip("MON002", ""), after=HOUR)
    assert len(monitor.github.dispatched) + len(monitor.github.pulls) == 1


def killed(*_: object, **__: object) -> None:
    raise KeyboardInterrupt


@pytest.mark.slow
@pytest.mark.parametrize(
    ("check", "level", "on_trip", "starts"),
    [
        ("MON001", "MINOR", "issue", []),
        ("MON001", "MINOR", "retrain", ["retrain"]),
        ("MON003", "MAJOR", "retrain", []),
        ("MON005", "MAJOR", "retrain", []),
        ("MON005", "MAJOR", "propose-limits", []),
        ("MON008", "INVALID", "propose-limits", []),
        ("MON004", "MINOR", "propose-limits", ["propose-limits"]),
    ],
)
def test_only_what_may_help_is_started(
    responding: Respond, check: str, level: Any, on_trip: str, starts: list[str]
) -> None:
    monitor = responding(on_trip=on_trip, outlets={"new_limits": new_limits})
    journal = monitor.work(trip(check, level=level))
    assert [proposal.kind for proposal in journal.proposals] == starts


def test_a_minor_alarm_starts_nothing_where_the_contract_says_major(responding: Respond) -> None:
    monitor = responding(on_trip="retrain", proposes_at="MAJOR")
    assert monitor.work(trip()).proposals == ()
    assert [proposal.kind for proposal in monitor.work(trip(level="MAJOR")).proposals] == ["retrain"]


# Fall back


def recorded(calls: list[Trip]) -> Callable[[Trip, str], Event]:
    def fall(trip: Trip, host: str) -> Event:
        calls.append(trip)
        raise Suppressed("recorded")

    return fall


@pytest.mark.parametrize(
    ("allowed", "check", "level", "times"),
    [
        ("never", "MON007", "MAJOR", 0),
        ("MAJOR", "MON007", "MINOR", 0),
        ("MAJOR", "MON007", "MAJOR", 1),
        ("MINOR", "MON004", "MINOR", 1),
        ("MINOR", "MON001", "MAJOR", 0),
        ("MINOR", "MON003", "MAJOR", 0),
        ("MINOR", "MON008", "INVALID", 0),
    ],
)
def test_the_monitor_goes_back_only_where_the_contract_allows_it(
    responding: Respond, allowed: str, check: str, level: Any, times: int
) -> None:
    calls: list[Trip] = []
    monitor = responding(fall_back=allowed, outlets={"fall_back": recorded(calls)})
    monitor.work(trip(check, "score", level=level))
    assert len(calls) == times


@pytest.mark.slow
def test_the_monitor_does_not_go_back_after_the_alarm_cleared(responding: Respond) -> None:
    calls: list[Trip] = []
    looks: list[Trip] = []

    def down(trip: Trip, host: str) -> Event:
        calls.append(trip)
        raise Outside("the registry does not answer")

    def look(trip: Trip, host: str) -> None:
        looks.append(trip)

    monitor = responding(fall_back="MAJOR", outlets={"fall_back": down, "fell_back": look})
    monitor.work(trip("MON004", "score", level="MAJOR"))
    monitor.work(trip("MON004", "score", cleared=True), after=30)
    journal = monitor.work(after=10 * HOUR)
    assert (len(calls), len(looks), journal.tasks, journal.proposals) == (1, 1, (), ())


def test_after_a_fall_back_the_releases_say_what_is_in_service(responding: Respond) -> None:
    """GitHub may be down, or the token may be one for issues alone."""
    asked: list[str] = []
    answers: list[BeampermitError | None] = [Outside("GitHub does not answer"), None]

    def show(model: str) -> None:
        asked.append(model)
        if answer := answers.pop(0):
            raise answer

    went = SimpleNamespace(summary="rollback bpm-faults version 1")
    outlets = {"fall_back": lambda *_: went, "show_in_service": show}
    monitor = responding(fall_back="MAJOR", cooldown=60.0, outlets=outlets)
    journal = monitor.work(trip("MON004", "score", level="MAJOR"))
    assert (asked, journal.releases) == (["bpm-faults"], "bpm-faults")
    monitor.start()  # by the next run
    journal = monitor.work(after=HOUR)
    assert (len(asked), journal.releases, journal.troubles) == (2, "", 0)
    answers.append(Refused("Resource not accessible by integration", 403))
    journal = monitor.work(trip("MON007", "score", level="MAJOR"), after=DAY)
    assert (len(asked), journal.releases, journal.problem) == (3, "", "")
    assert journal.log[-1].endswith("accessible by integration; beampermit publish --in-service")


def test_what_became_of_an_earlier_raise_is_not_said_of_the_next(responding: Respond) -> None:
    def down(trip: Trip, host: str) -> Event:
        raise Outside("the registry does not answer")

    monitor = responding(fall_back="MAJOR", outlets={"fall_back": down})
    first, again = (trip("MON004", "score", level="MAJOR", since=NOW + seconds) for seconds in (0, 20))
    monitor.work(first)
    monitor.work(trip("MON004", "score", cleared=True), again, after=30)
    journal = monitor.work(after=35)
    assert [one.trip for one in journal.tasks] == [again], "the first one's is not done: its alarm has cleared"
    (alarm,) = journal.alarms
    assert alarm.fall_back == FallBack(state="failed", text="the registry does not answer")


def test_rights_that_never_come_are_waited_for_a_day_and_then_it_is_said_to_be_left(responding: Respond) -> None:
    calls: list[Trip] = []

    def refused(trip: Trip, host: str) -> Event:
        calls.append(trip)
        raise Outside("origin refused the push")

    monitor = responding(fall_back="MAJOR", outlets={"fall_back": refused})
    for after in (0, HOUR, HOUR, DAY, HOUR):
        journal = monitor.work(trip("MON004", "score", level="MAJOR"), after=after)
    assert (len(calls), journal.tasks) == (3, ())
    assert journal.alarms[0].fall_back == FallBack(state="left", text="given up after a day: origin refused the push")


@pytest.fixture
def twice(prepared: Callable[..., Laboratory]) -> Laboratory:
    """Two versions promoted, the second in service."""
    return prepared("twice")


def session(lab: Laboratory) -> Session:
    return Session(lab.project.git, lab.ledger, lab.registry, MODEL, lab.said.append)


@pytest.mark.slow
def test_a_fall_back_is_in_the_ledger_by_the_monitors_own_name_once_and_people_can_undo_it(twice: Laboratory) -> None:
    tripped = trip("MON007", "score", version=2)
    for _ in range(2):  # killed after the event, before it was noted
        event = fall_back(session(twice), tripped, "ioc-7")
        assert (event.event, event.version, event.expected, event.by) == (
            "rollback",
            1,
            2,
            "beampermit monitor on ioc-7",
        )
    assert fell_back(session(twice), tripped, "ioc-7") == event
    assert fell_back(session(twice), tripped, "ioc-8") is None
    assert event.reason.startswith("bpm-faults MON007 score 1800000000")
    assert twice.events() == [("promote", 1), ("promote", 2), ("rollback", 1)]
    assert twice.champion() == 1
    with pytest.raises(Suppressed, match="version 1 is in service by a rollback; only people go back further"):
        fall_back(session(twice), trip("MON007", "score", version=1), "ioc-7")
    with pytest.raises(Suppressed, match="version 1 is in service by now, and version 2 tripped"):
        fall_back(session(twice), trip("MON005", "", version=2), "ioc-7")
    twice.rollback(to=2, reason="the archiver was at fault")
    assert twice.champion() == 2


@pytest.mark.slow
def test_a_fall_back_never_takes_back_a_version_that_was_promoted_meanwhile(
    twice: Laboratory, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = Session.read_state
    reads: list[int] = []

    def read(self: Session) -> Any:
        if reads:
            twice.change(3)
            twice.promote()
        reads.append(1)
        monkeypatch.setattr(Session, "read_state", real) if len(reads) == 2 else None
        return real(self)

    monkeypatch.setattr(Session, "read_state", read)
    with pytest.raises(Conflict, match="version 2 of bpm-faults is not in service any more"):
        fall_back(session(twice), trip("MON007", "score", version=2), "ioc-7")
    assert twice.champion() == 3


@pytest.mark.slow
def test_the_only_version_stays(prepared: Callable[..., Laboratory]) -> None:
    lab = prepared("once")
    with pytest.raises(Suppressed, match="there is no former champion to go back to"):
        fall_back(session(lab), trip("MON007", "score", version=1), "ioc-7")
    assert lab.champion() == 1
