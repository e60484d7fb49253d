"""Cycles of a loop at recorded times: two runs give the same, whatever the speed."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable, Iterator

import numpy as np

from beampermit.live.latest import Fault
from beampermit.live.loop import Loop
from beampermit.live.replay.moments import Moment
from beampermit.live.trigger import WATCH
from beampermit.live.update import Update

JUST_BEFORE = 0.001


def replay(
    loop: Loop, moments: Iterable[Moment], *, speed: float | None = None, stop: threading.Event | None = None
) -> Iterator[Update]:
    """The updates of a service that gets these samples. `speed` 1 is real time; without, as fast as possible.

    Rows are made at each moment that is due, and the model is asked. Between two moments, outputs become stale, and
    held ones expire, as they would have while nothing arrived.
    """
    silence, clock = _Silence(loop), _Clock(speed, stop or threading.Event())
    last: float | None = None
    for moment in moments:
        quiet = silence.between(last, moment.at) if last is not None else []
        for at in quiet:
            if not clock.wait(at):
                return
            yield loop.cycle(at, due=False)
        if not clock.wait(moment.at):
            return
        loop.latest.clock = moment.clock
        for sample in moment.samples:
            if sample.lost:
                loop.latest.fail(sample.wire, sample.pv, Fault.DISCONNECTED)
            else:
                loop.latest.put(sample.wire, sample.pv, sample.value, sample.time, sample.severity)
        silence.heard(moment)
        yield loop.cycle(moment.at, due=moment.due)
        last = moment.at


class _Silence:
    """When something changes although nothing arrives."""

    def __init__(self, loop: Loop):
        layout = loop.wiring.layout
        self._first, self._stale_after = layout.first, layout.stale_after
        self._times, self._heard = np.full(len(layout.pvs), np.nan), np.full(len(layout.pvs), np.nan)
        self._hold_for = loop.contract.fallback.hold_for or 0.0

    def heard(self, moment: Moment) -> None:
        for sample in moment.samples:
            if sample.lost:
                continue
            place = self._first[sample.wire] + sample.pv
            if sample.time != self._times[place]:  # as the service: what is as old again is nothing new
                self._times[place], self._heard[place] = sample.time, min(sample.time, moment.at)

    def between(self, earlier: float, later: float) -> list[float]:
        """Times at which the service would look and see an input that is stale now, or a value held long enough."""
        stale, hold = self._heard + self._stale_after, self._hold_for
        at = [stale + WATCH]
        if hold:
            # A value is held from when it was last seen to be good: just before it is not.
            at += [stale - JUST_BEFORE, np.array([later - JUST_BEFORE]), stale + hold + WATCH]
            at.append(np.array([earlier + hold + WATCH]))
        times = np.unique(np.concatenate(at))
        return times[(times > earlier) & (times < later)].tolist()


class _Clock:
    def __init__(self, speed: float | None, stop: threading.Event):
        self._speed, self._stop = speed, stop
        self._began: tuple[float, float] | None = None

    def wait(self, at: float) -> bool:
        """Until it is time; False where the replay is to end."""
        if self._speed is None:
            return not self._stop.is_set()
        began, first = self._began = self._began or (time.monotonic(), at)
        return not self._stop.wait(max(0.0, began + (at - first) / self._speed - time.monotonic()))
