"""When rows are made: lower bounds of time, which no load can break, and that silence is looked at."""

from __future__ import annotations

import math
import time
from pathlib import Path
from typing import Any

import pytest

from beampermit.live.trigger import WATCH, Trigger
from beampermit.live.wiring import wire
from support.served import DEVICES, served_contract

FIRST_TURNS, LAST_TURNS, CURRENT = (0, 0), (0, 2), (1, 0)
ALL = (FIRST_TURNS, (0, 1), LAST_TURNS, CURRENT)
LONG = 3600.0


@pytest.fixture
def trigger(tmp_path: Path, contract_text: str, request: pytest.FixtureRequest) -> Trigger:
    """With `serving` of the contract as the test's parameter says."""
    (tmp_path / "devices.csv").write_text("device\n" + "\n".join(DEVICES) + "\n")
    contract = served_contract(contract_text, serving=request.param)
    return Trigger(wire(contract, tmp_path), contract.serving)


def serving(**keys: Any) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("trigger", [keys], indirect=True)


@serving(gather=LONG)
def test_rows_are_made_as_soon_as_all_inputs_have_changed(trigger: Trigger) -> None:
    for pv in ALL[:-1]:
        trigger.changed(*pv, 1.0, time.monotonic())
    assert not trigger.wait(), "one is missing, and is waited for"
    trigger.changed(*CURRENT, 1.0, time.monotonic())
    assert trigger.wait()
    assert not trigger.wait(), "nothing has changed since"


@serving(gather=0.05)
def test_others_are_waited_for_no_longer_than_the_contract_says(trigger: Trigger) -> None:
    began = time.monotonic()
    trigger.changed(*FIRST_TURNS, 1.0, time.monotonic())
    assert trigger.wait()
    assert time.monotonic() - began >= 0.05


@serving(event="current", gather=0.001)
def test_an_event_makes_rows_and_no_other_input_does(trigger: Trigger) -> None:
    trigger.changed(*FIRST_TURNS, 1.0, time.monotonic())
    assert not trigger.wait()
    trigger.changed(*CURRENT, 1.0, time.monotonic())
    assert trigger.wait()


@serving(period=0.05)
def test_a_period_makes_rows_whatever_arrives(trigger: Trigger) -> None:
    assert trigger.wait()
    began = time.monotonic()
    trigger.changed(*FIRST_TURNS, 1.0, time.monotonic())
    assert trigger.wait()
    assert time.monotonic() - began >= 0.04


@serving(snapshot="RING:SHOT")
def test_a_snapshot_makes_rows_and_no_input_does(trigger: Trigger) -> None:
    for pv in ALL:
        trigger.changed(*pv, 1.0, time.monotonic())
    assert not trigger.wait()
    trigger.snap(1.0)
    assert trigger.wait()
    assert not trigger.wait()


@serving(snapshot="RING:SHOT", gather=LONG)
def test_a_snapshot_that_overtakes_an_input_waits_for_it(trigger: Trigger) -> None:
    trigger.snap(1.0)
    for pv in ALL[:-1]:
        trigger.changed(*pv, 1.0, time.monotonic())
    assert not trigger.wait(), "one has not changed since the rows before"
    trigger.fire()
    assert trigger.wait()
    assert math.isnan(trigger.shot), "rows for another reason are not those of the snapshot"
    for pv in ALL:
        trigger.changed(*pv, 1.0, time.monotonic())
    assert trigger.wait()
    assert trigger.shot == 1.0


@serving(snapshot="RING:SHOT", gather=0.05)
def test_of_snapshots_that_come_faster_than_rows_the_newest_has_its_own(trigger: Trigger) -> None:
    began = time.monotonic()
    for shot in (1.0, 2.0, 3.0):
        trigger.snap(shot)
    assert (trigger.wait(), trigger.shot) == (True, 1.0)
    assert time.monotonic() - began >= 0.05
    assert (trigger.wait(), trigger.shot) == (True, 3.0)
    assert not trigger.wait()


@serving(snapshot="RING:SHOT", within=1.0)
def test_a_snapshot_without_a_time_makes_no_rows_where_times_are_compared(trigger: Trigger) -> None:
    trigger.snap(math.nan)
    assert (trigger.wait(), trigger.lost) == (False, "RING:SHOT has no time")
    trigger.snap(1.0)
    assert (trigger.wait(), trigger.lost) == (True, "")


@pytest.mark.parametrize(
    "trigger",
    [{"at_most": 0.15, "gather": 0.001}, {"at_most": 0.15, "snapshot": "RING:SHOT"}, {"at_most": 0.15, "period": 0.01}],
    indirect=True,
    ids=["changes", "snapshot", "period"],
)
def test_rows_are_never_closer_than_at_most_says(trigger: Trigger) -> None:
    def due() -> float:
        for pv in ALL:
            trigger.changed(*pv, 1.0, time.monotonic())
        if trigger.snapshot:
            trigger.snap(1.0)
        while not trigger.wait():
            pass
        return time.monotonic()

    first = due()
    assert due() - first >= 0.15 - 0.01


@serving()
def test_silence_is_looked_at(trigger: Trigger) -> None:
    began = time.monotonic()
    assert not trigger.wait()
    assert time.monotonic() - began >= WATCH - 0.01


@serving(period=0.2)
def test_rows_are_due_since_their_moment_and_not_since_the_loop_looked(trigger: Trigger) -> None:
    assert trigger.wait()
    before = time.monotonic()
    trigger.fire()
    fired = time.monotonic()
    time.sleep(0.05)
    assert trigger.wait()
    assert before <= trigger.since <= fired
    time.sleep(0.25)
    before = time.monotonic()
    assert trigger.wait()
    assert fired < trigger.since <= before - 0.04, "the period was over before the loop came to wait"


@serving(snapshot="RING:SHOT", within=0.05, gather=0.001)
def test_an_input_that_rows_were_made_without_has_the_loop_look_at_once(trigger: Trigger) -> None:
    for pv in ALL[:-1]:
        trigger.changed(*pv, 1.0, time.monotonic())
    trigger.snap(1.0)
    assert trigger.wait(), "the last one was waited for long enough"
    trigger.changed(*CURRENT, 1.0, time.monotonic())
    began = time.monotonic()
    assert not trigger.wait()
    assert time.monotonic() - began < WATCH
    assert trigger.shot == 1.0


@serving(snapshot="RING:SHOT", within=0.05, gather=LONG)
def test_inputs_of_the_shot_before_make_no_rows_of_this_one(trigger: Trigger) -> None:
    for shot in (1.0, 2.0):
        trigger.snap(shot)
        assert not trigger.wait()
        for pv in ALL:
            trigger.changed(*pv, shot, time.monotonic())
        assert (trigger.wait(), trigger.shot) == (True, shot)
        for pv in ALL:
            trigger.changed(*pv, shot, time.monotonic())


@serving(event="current", gather=LONG)
def test_an_event_that_overtakes_its_inputs_waits_for_them(trigger: Trigger) -> None:
    for event in (1.0, 2.0, 3.0):
        trigger.changed(*CURRENT, event, time.monotonic())
        assert not trigger.wait()
        for pv in ALL[:-1]:
            trigger.changed(*pv, event, time.monotonic())
        assert trigger.wait()
        trigger.changed(*FIRST_TURNS, event, time.monotonic())


@serving(snapshot="RING:SHOT", gather=LONG)
def test_inputs_of_a_shot_that_was_passed_over_are_not_those_of_the_newest(trigger: Trigger) -> None:
    for shot in (1.0, 2.0, 3.0, 4.0):
        trigger.snap(shot)
    for shot, is_due in ((1.0, True), (3.0, False), (4.0, True)):
        for pv in ALL:
            trigger.changed(*pv, shot, time.monotonic())
        assert trigger.wait() is is_due
    assert trigger.shot == 4.0


@serving(event="current", gather=LONG)
def test_rows_for_another_reason_are_not_those_of_an_event(trigger: Trigger) -> None:
    trigger.changed(*CURRENT, 1.0, time.monotonic())
    trigger.fire()
    assert trigger.wait()
    for pv in ALL[:-1]:
        trigger.changed(*pv, 1.0, time.monotonic())
    assert trigger.wait(), "those of the event are still to be made"
