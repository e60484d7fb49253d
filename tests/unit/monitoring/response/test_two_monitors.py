"""The monitors of two machines see the same alarm: people read of it once, and are asked for one thing."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from beampermit.monitoring.response.candidates import stored
from beampermit.monitoring.response.proposals import NewLimits
from support.github_server import meanwhile
from support.responses import HOUR, NOW, Responding, trip

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
