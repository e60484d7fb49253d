"""Rows that are due wait for a busy loop as they are: what arrives meanwhile is of the rows after them."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from beampermit.contract.service import Serving
from beampermit.live import latest
from beampermit.live.latest import WAITING, Fault, Latest
from beampermit.live.severity import Severity
from beampermit.live.trigger import Trigger
from beampermit.live.wiring import Wiring, wire
from support.served import DEVICES, served_contract

PVS = ((0, 0), (0, 1), (0, 2), (1, 0))
"""Input and number of each PV."""
LONG = 3600.0


class Inputs:
    """As a loop has them: `tick` is a sample of each PV, `rows` what the loop makes rows of once they are due."""

    def __init__(self, wiring: Wiring, serving: Serving):
        self.wiring, self._serving = wiring, serving
        self._shapes = [wire.signal.shape for wire in wiring.inputs]
        self.begin()

    def begin(self) -> None:
        self.trigger = Trigger(self.wiring, self._serving)
        newest = self.trigger.next_shot_is_untimed if self._serving.snapshot else None
        self.latest = Latest(self.wiring, self.trigger.changed, newest=newest)
        self.trigger.on_due = self.latest.rows_are_due

    def tick(self, number: float, pvs: tuple[tuple[int, int], ...] = PVS, severity: int = 0) -> None:
        for input_, pv in pvs:
            self.latest.put(input_, pv, np.full(self._shapes[input_], number), number, severity)

    def rows(self) -> list[float]:
        assert self.trigger.wait()
        return self.latest.read().lowest.tolist()

    def no_rows(self) -> bool:
        return not self.trigger.wait()


@pytest.fixture
def inputs(tmp_path: Path, contract_text: str, request: pytest.FixtureRequest) -> Inputs:
    """With `serving` of the contract as the test's parameter says."""
    (tmp_path / "devices.csv").write_text("device\n" + "\n".join(DEVICES) + "\n")
    contract = served_contract(contract_text, serving={"gather": LONG, **request.param})
    return Inputs(wire(contract, tmp_path), contract.serving)


class Contended:
    """A lock for which another thread waits: that has it as soon as it is free."""

    def __init__(self, then: Callable[[], object]):
        self._lock, self._then = threading.Lock(), then

    def __enter__(self) -> None:
        self._lock.acquire()

    def __exit__(self, *_: object) -> None:
        self._lock.release()
        then, self._then = self._then, lambda: None
        then()


def serving(**keys: Any) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("inputs", [keys], indirect=True)


@serving()
def test_ticks_that_wait_become_rows_of_their_own_and_nothing_is_dropped(inputs: Inputs) -> None:
    ticks = [float(number) for number in range(1 + WAITING)]
    for tick in ticks:
        inputs.tick(tick)
    assert [inputs.rows() for _ in ticks] == [[tick] * 4 for tick in ticks]
    assert inputs.latest.dropped == 0
    assert inputs.no_rows()


@serving()
def test_a_tick_that_has_begun_is_completed_after_the_rows_before_it(inputs: Inputs) -> None:
    inputs.tick(1.0)
    inputs.tick(2.0, PVS[:2])
    assert inputs.rows() == [1.0] * 4
    assert inputs.no_rows(), "two of the second tick are missing"
    inputs.tick(2.0, PVS[2:])
    assert (inputs.rows(), inputs.latest.dropped) == ([2.0] * 4, 0)


@serving()
def test_of_one_tick_more_the_oldest_is_dropped_as_a_whole(inputs: Inputs) -> None:
    ticks = [float(number) for number in range(2 + WAITING)]
    for tick in ticks[:-1]:
        inputs.tick(tick)
    inputs.tick(ticks[-1], PVS[:1])
    assert inputs.latest.dropped == 4
    inputs.tick(ticks[-1], PVS[1:])
    assert [inputs.rows() for _ in ticks[1:]] == [[tick] * 4 for tick in ticks[1:]]
    assert inputs.latest.dropped == 4


@serving()
def test_of_large_arrays_fewer_rows_wait(inputs: Inputs, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(latest, "ROOM", 1)
    inputs.begin()
    for tick in (1.0, 2.0, 3.0):
        inputs.tick(tick)
    assert (inputs.rows(), inputs.rows(), inputs.latest.dropped) == ([2.0] * 4, [3.0] * 4, 4)


@serving(gather=0.01)
def test_what_waits_is_passed_over_as_soon_as_rows_wait_for_a_pv_that_is_lost(inputs: Inputs) -> None:
    for tick in (1.0, 2.0, 3.0):
        inputs.tick(tick)
    inputs.latest.fail(*PVS[3], Fault.DISCONNECTED)
    inputs.trigger.wait()
    inputs.latest.read()
    inputs.trigger.wait()
    assert inputs.latest.read().lowest.tolist()[:3] == [3.0] * 3, "else each row would be of two ticks before, for ever"


@serving(gather=0.01)
def test_what_is_late_for_the_rows_that_are_due_leaves_what_waits(inputs: Inputs) -> None:
    inputs.tick(1.0, PVS[:3])
    assert inputs.trigger.wait()
    inputs.tick(2.0, PVS[:3])
    inputs.tick(1.0, PVS[3:])
    assert (inputs.latest.read().lowest.tolist(), inputs.latest.dropped) == ([1.0] * 4, 0)


@serving()
def test_what_comes_as_soon_as_rows_were_read_is_of_the_rows_after_them(inputs: Inputs) -> None:
    for tick in (1.0, 2.0, 3.0):
        inputs.tick(tick)
    inputs.trigger.wait()
    inputs.latest._lock = Contended(lambda: inputs.tick(4.0))  # pyright: ignore
    inputs.latest.read()
    assert [inputs.rows() for _ in range(3)] == [[2.0] * 4, [3.0] * 4, [4.0] * 4]
    assert inputs.latest.dropped == 0


@serving()
def test_what_comes_as_rows_that_waited_begin_is_of_the_rows_after_them(inputs: Inputs) -> None:
    inputs.tick(1.0)
    inputs.tick(2.0)
    told = inputs.trigger.changed

    def next_tick(*change: Any) -> None:
        inputs.latest._on_change = told
        inputs.tick(3.0)
        told(*change)

    inputs.latest._on_change = next_tick
    assert [inputs.rows() for _ in range(3)] == [[1.0] * 4, [2.0] * 4, [3.0] * 4]
    assert inputs.latest.dropped == 0


@serving()
def test_of_three_ticks_that_are_not_in_step_the_rows_that_are_due_stay_whole(inputs: Inputs) -> None:
    inputs.tick(1.0)
    inputs.tick(2.0, PVS[:1])
    inputs.tick(3.0, PVS[:1])
    assert inputs.latest.dropped == 1
    assert inputs.rows() == [1.0] * 4
    inputs.tick(3.0, PVS[1:])
    assert (inputs.rows(), inputs.latest.dropped) == ([3.0] * 4, 1)


@serving()
def test_a_look_at_the_inputs_makes_no_rows_of_them(inputs: Inputs) -> None:
    inputs.tick(1.0, PVS[:1])
    inputs.latest.read(due=False)
    inputs.tick(1.0, PVS[1:])
    inputs.tick(2.0, PVS[:2])
    assert inputs.latest.read(due=False).lowest.tolist() == [1.0] * 4
    inputs.tick(2.0, PVS[2:])
    assert (inputs.rows(), inputs.rows(), inputs.latest.dropped) == ([1.0] * 4, [2.0] * 4, 0)


@serving()
def test_the_latency_counts_from_the_arrival_of_what_waited(inputs: Inputs) -> None:
    inputs.tick(1.0)
    inputs.tick(2.0)
    arrived = time.monotonic()
    inputs.rows()
    inputs.rows()
    assert inputs.latest.arrived <= arrived
    assert inputs.trigger.since <= arrived


@serving()
@pytest.mark.parametrize(
    ("value", "severity"),
    [(3.0, Severity.MINOR), (3.0, Severity.INVALID), (np.nan, 0), (np.inf, 0), (1e12, 0), ("a text", 0)],
)
def test_what_is_worse_never_waits(inputs: Inputs, value: Any, severity: int) -> None:
    inputs.tick(1.0)
    inputs.tick(2.0)
    inputs.latest.put(1, 0, value, 3.0, severity)
    inputs.trigger.wait()
    readings = inputs.latest.read()
    assert readings.time[3] == 3.0
    assert (readings.severity[3], readings.fault[3] != Fault.NONE) == (severity, isinstance(value, str))
    assert inputs.latest.dropped == 5, "the first tick, and one sample of the second"


@serving()
def test_what_is_worse_makes_rows_of_the_newest_of_all(inputs: Inputs) -> None:
    for tick in (1.0, 2.0, 3.0, 4.0):
        inputs.tick(tick)
    inputs.tick(5.0, PVS[:1], Severity.MINOR)
    inputs.tick(6.0, PVS[:1], Severity.MINOR)
    assert inputs.rows() == [5.0, 4.0, 4.0, 4.0]


@serving()
def test_what_is_worse_than_what_waits_does_not_wait_behind_it(inputs: Inputs) -> None:
    for tick, severity in ((1.0, Severity.MINOR), (2.0, 0), (3.0, 0), (4.0, Severity.MINOR)):
        inputs.tick(tick, severity=severity)
    assert inputs.rows() == [4.0] * 4


@serving()
def test_a_device_that_is_always_bad_leaves_the_rows_of_the_others_whole(inputs: Inputs) -> None:
    for tick in (1.0, 2.0, 3.0):
        inputs.tick(tick, PVS[:3])
        inputs.latest.put(1, 0, np.nan, tick, 0)
    assert [inputs.rows()[:3] for _ in range(3)] == [[1.0] * 3, [2.0] * 3, [3.0] * 3]
    assert inputs.latest.dropped == 0


@serving()
@pytest.mark.parametrize(
    ("stale_after", "waited", "follows"), [(5.0, 0.4, 2.0), (5.0, 0.6, 4.0), (0.4, 0.15, 2.0), (0.4, 0.25, 4.0)]
)
def test_what_has_waited_for_long_is_passed_over_for_the_newest(
    inputs: Inputs, monkeypatch: pytest.MonkeyPatch, stale_after: float, waited: float, follows: float
) -> None:
    inputs.wiring.layout.stale_after[:] = stale_after
    inputs.begin()
    for tick in (1.0, 2.0, 3.0, 4.0):
        inputs.tick(tick)
    clock = time.monotonic
    monkeypatch.setattr(time, "monotonic", lambda: clock() + waited)
    assert [inputs.rows(), inputs.rows()] == [[1.0] * 4, [follows] * 4]
    assert inputs.latest.dropped == 4 * (follows - 2.0)


@serving()
def test_a_disconnect_never_waits_and_nothing_older_comes_back(inputs: Inputs) -> None:
    inputs.tick(1.0)
    inputs.tick(2.0)
    inputs.latest.fail(*PVS[0], Fault.DISCONNECTED)
    for _ in range(2):
        inputs.trigger.wait()
        assert inputs.latest.read().fault[0] == Fault.DISCONNECTED


@serving(at_most=10.0)
def test_rows_that_may_not_be_made_yet_are_of_the_newest(inputs: Inputs) -> None:
    inputs.tick(1.0)
    assert inputs.rows() == [1.0] * 4
    inputs.tick(2.0)
    inputs.tick(3.0)
    assert inputs.latest.read().lowest.tolist() == [3.0] * 4


@serving(period=0.01)
def test_rows_of_a_period_are_of_the_newest(inputs: Inputs) -> None:
    inputs.tick(1.0)
    inputs.tick(2.0)
    assert inputs.rows() == [2.0] * 4


@serving(event="current")
def test_rows_of_an_event_keep_their_inputs(inputs: Inputs) -> None:
    inputs.tick(1.0)
    inputs.tick(2.0)
    assert (inputs.rows(), inputs.rows()) == ([1.0] * 4, [2.0] * 4)


@serving(snapshot="RING:SHOT")
def test_rows_of_a_snapshot_keep_their_inputs(inputs: Inputs) -> None:
    for shot in (1.0, 2.0):
        inputs.tick(shot)
        inputs.trigger.snap(shot)
    found = [(inputs.rows(), inputs.trigger.shot) for _ in range(2)]
    assert found == [([1.0] * 4, 1.0), ([2.0] * 4, 2.0)]


@serving(snapshot="RING:SHOT")
@pytest.mark.parametrize("timed", [True, False])
def test_of_many_shots_the_rows_of_the_newest_follow_those_that_were_due(inputs: Inputs, timed: bool) -> None:
    for shot in (1.0, 2.0, 3.0, 4.0):
        inputs.tick(shot)
        inputs.trigger.snap(shot if timed else np.nan)
    assert (inputs.rows(), inputs.rows()) == ([1.0] * 4, [4.0] * 4)


@serving(snapshot="RING:SHOT")
def test_a_shot_has_its_own_rows_where_newer_ones_came_before_their_shot(inputs: Inputs) -> None:
    for shot in (1.0, 2.0, 3.0):
        inputs.tick(shot)
        inputs.trigger.snap(shot)
    inputs.tick(4.0)
    assert (inputs.rows(), inputs.rows(), inputs.trigger.shot) == ([1.0] * 4, [3.0] * 4, 3.0)
    inputs.trigger.snap(4.0)
    assert (inputs.rows(), inputs.trigger.shot) == ([4.0] * 4, 4.0)


@serving(gather=0.01)
def test_nothing_older_comes_after_a_disconnect_where_another_input_was_late(inputs: Inputs) -> None:
    inputs.tick(1.0, PVS[:3])
    assert inputs.trigger.wait()
    inputs.tick(2.0, PVS[:3])
    inputs.tick(3.0, PVS[:3])
    inputs.tick(1.0, PVS[3:])
    inputs.latest.fail(*PVS[0], Fault.DISCONNECTED)
    for _ in range(3):
        assert inputs.latest.read().fault[0] == Fault.DISCONNECTED
        inputs.trigger.wait()
