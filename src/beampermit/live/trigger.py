"""When rows are made: as inputs change, at each value of one of them, every period, or when a snapshot PV changes."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from math import inf, isinf, isnan, nan
from typing import TYPE_CHECKING, NamedTuple

from beampermit.live.gathered import Gathered

if TYPE_CHECKING:
    from beampermit.contract.service import Serving
    from beampermit.live.wiring import Wiring

WATCH = 0.2
"""Seconds after which inputs are judged again although nothing arrived: that is how silence is seen."""


class _Shot(NamedTuple):
    arrived: float
    """By the monotonic clock."""
    at: float
    """By the clock of its source, s since 1970; NaN where it has no time."""
    before: float
    """The same of the one before it."""


class Trigger:
    """`changed` is told of each sample by any thread; the loop waits for the moment to make rows."""

    def __init__(self, wiring: Wiring, serving: Serving):
        self._serving = serving
        names = [wire.signal.name for wire in wiring.inputs]
        self._event = names.index(serving.event) if serving.event else None
        self._gathered = Gathered(wiring, serving.within)
        self._first = 0.0
        """When the first input changed, or that of the event; 0 where the moment to make rows has not begun."""
        self._last = 0.0
        self._late = False
        """Whether an input has come that rows were made without."""
        self._fired = 0.0
        """When `fire` was called last; 0 where rows were made since."""
        self._shots: list[_Shot] = []
        """Updates of the snapshot PV of which no rows were made, two at most: that of the next rows, and the newest."""
        self.shot = nan
        """The time of the snapshot that rows were made of last, s since 1970; NaN where it has none."""
        self.since = 0.0
        """When the rows that were due last became due, by the monotonic clock."""
        self._condition = threading.Condition()
        self.snapshot = serving.snapshot
        """The PV whose changes make rows; none where something else does."""
        self.lost = ""
        """Why that PV makes no rows now; empty where it does."""
        self.on_due: Callable[[], object] = lambda: None
        """Called when rows are due, by any thread and maybe more than once."""

    def changed(self, wire: int, pv: int, at: float, arrived: float) -> None:
        """`at` is by the clock of the source, s since 1970; `arrived` by the monotonic clock."""
        if self._serving.period is not None:
            return
        with self._condition:
            self._late |= self._gathered.take((wire, pv), at)
            begins = self._event in (None, wire) and not self._first and not self.snapshot
            if begins:
                self._first = arrived
            if self._event == wire:
                before = self._gathered.see(at)
                if begins:
                    self._gathered.begin(at, before)
            complete = self._gathered.complete and bool(self._first or self._shots)
            if begins or complete or self._late:
                self._condition.notify()
            if complete:
                self._look_if_due()

    def snap(self, at: float) -> None:
        """The snapshot PV changed: rows are made once all inputs have changed as well, or after `gather`.

        `at` is by the clock of its source, s since 1970; NaN where it gives none.
        """
        if isnan(at) and self._serving.within is not None:
            self.lose(f"{self.snapshot} has no time")
            return
        self.find()
        with self._condition:
            before = self._gathered.see(at)
            if not self._shots:
                self._gathered.begin(at, before)
            self._shots[1:] = [_Shot(time.monotonic(), at, before)]
            self._condition.notify()
            if self._gathered.complete:
                self._look_if_due()

    def next_shot_is_untimed(self) -> bool:
        """Whether the next shot has none, so that nothing says which inputs are of it."""
        return bool(self._shots) and isnan(self._shots[0].at)

    def fire(self) -> None:
        """Make rows now: a process of the model is there again, or the loop is to end."""
        with self._condition:
            self._fired = time.monotonic()
            self._condition.notify()

    def lose(self, words: str) -> None:
        """The snapshot PV is not there: what was answered before says nothing of now."""
        self.lost = words

    def find(self) -> None:
        self.lost = ""

    def wait(self) -> bool:
        """True when rows are due; False after `WATCH` without, and once an input comes that they had to do without."""
        with self._condition:
            until = time.monotonic() + WATCH
            while (moment := self._moment()) > (now := time.monotonic()):
                if now >= until or (self._late and isinf(moment)):
                    self._late = False
                    return False
                self._condition.wait(min(moment, until) - now)
            self.on_due()
            if self._ready <= now:  # else they are for another reason, and what is gathered goes on
                self._begin_next()
            self._fired, self._late = 0.0, False
            self._last, self.since = now, moment
            return True

    def _begin_next(self) -> None:
        if self._shots:
            self.shot = self._shots.pop(0).at
        self._gathered.clear()
        self._first = 0.0
        if self._shots:
            self._gathered.begin(self._shots[0].at, self._shots[0].before)

    def _look_if_due(self) -> None:
        """The loop may be busy with the rows before: what arrives meanwhile is no part of these."""
        if self._moment() <= time.monotonic():
            self.on_due()

    def _moment(self) -> float:
        """When rows are due, by the monotonic clock; infinite where nothing says so yet."""
        ready, pause = self._fired or self._ready, self._serving.at_most
        return max(ready, self._last + pause) if pause else ready

    @property
    def _ready(self) -> float:
        """The same, but for `fire` and `at_most`."""
        serving = self._serving
        if serving.period is not None:
            return self._last + serving.period
        first = self._shots[0].arrived if self._shots else self._first
        if not first:
            return inf
        return first if self._gathered.complete else first + serving.gather
