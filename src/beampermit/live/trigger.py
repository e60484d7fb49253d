"""When rows are made: as inputs change, at each value of one of them, every period, or when a snapshot PV changes."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from beampermit.contract.service import Serving
    from beampermit.live.wiring import Wiring

WATCH = 0.2
"""Seconds after which inputs are judged again although nothing arrived: that is how silence is seen."""


class Trigger:
    """`changed` is told of each sample by any thread; the loop waits for the moment to make rows."""

    def __init__(self, wiring: Wiring, serving: Serving):
        self._serving = serving
        names = [wire.signal.name for wire in wiring.inputs]
        self._event = names.index(serving.event) if serving.event else None
        self._all = sum(len(wire.pvs) for wire in wiring.inputs)
        self._changed: set[tuple[int, int]] = set()
        self._first = 0.0
        """When the first of those changed; 0 where the moment to make rows has not begun."""
        self._last = 0.0
        self._fired = 0.0
        """When `fire` was called last; 0 where rows were made since."""
        self.since = 0.0
        """When the rows that were due last became due, by the monotonic clock."""
        self._condition = threading.Condition()
        self.snapshot = serving.snapshot
        """The PV whose changes make rows; none where something else does."""
        self.lost = ""
        """Why that PV makes no rows now; empty where it does."""

    def changed(self, wire: int, pv: int) -> None:
        serving = self._serving
        if serving.period is not None or serving.snapshot is not None:
            return
        with self._condition:
            self._changed.add((wire, pv))
            if self._event in (None, wire) and not self._first:
                self._first = time.monotonic()
                self._condition.notify()
            elif len(self._changed) == self._all and self._first:
                self._condition.notify()

    def fire(self) -> None:
        """Make rows now: the snapshot PV changed, or a process of the model is there again."""
        with self._condition:
            self._fired = time.monotonic()
            self._condition.notify()

    def lose(self, words: str) -> None:
        """The snapshot PV is not there: what was answered before says nothing of now."""
        self.lost = words

    def find(self) -> None:
        self.lost = ""

    def wait(self) -> bool:
        """True when rows are due; False after `WATCH` without."""
        with self._condition:
            until = time.monotonic() + WATCH
            while (moment := self._moment()) > (now := time.monotonic()):
                if now >= until:
                    return False
                self._condition.wait(min(moment, until) - now)
            self._changed.clear()
            self._first = self._fired = 0.0
            self._last, self.since = now, moment
            return True

    def _moment(self) -> float:
        """When rows are due, by the monotonic clock; infinite where nothing says so yet."""
        serving, earliest = self._serving, self._last + (self._serving.at_most or 0.0)
        if self._fired:
            return max(self._fired, earliest)
        if serving.period is not None:
            return max(self._last + serving.period, earliest)
        if not self._first:
            return float("inf")
        ready = self._first if len(self._changed) == self._all else self._first + serving.gather
        return max(ready, earliest)
