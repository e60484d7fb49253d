"""When a service would have made rows of samples: as `beampermit.live.trigger` does, by the samples' own times."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator

from beampermit.contract.service import Serving
from beampermit.live.gathered import Gathered
from beampermit.live.replay.moments import Moment, Sample
from beampermit.live.trigger import WATCH
from beampermit.live.wiring import Wiring

Arrival = tuple[float, Sample]
"""When a sample arrived, s since 1970, and the sample."""


class RowTimes:
    """Arrivals of several spans of time, one span after the other."""

    def __init__(self, wiring: Wiring, serving: Serving):
        self._serving = serving
        names = [wire.signal.name for wire in wiring.inputs]
        self._event = names.index(serving.event) if serving.event else None
        self._gathered = Gathered(wiring, serving.within)
        self._waiting: list[Sample] = []
        self._since = math.inf
        """Since when they wait to be judged."""
        self._ready = math.inf
        """When rows are due by what has changed."""
        self._last = -math.inf
        self._start = 0.0
        self._periods = 0
        """Of the span so far."""

    def moments(self, arrivals: Iterable[Arrival], start: float, end: float) -> Iterator[Moment]:
        """Of a span, and its end. What arrived is judged after `WATCH` at the latest, whether rows are due or not.

        Rows that would have been due after the end are not made: what waits is judged there.
        """
        self._start, self._periods = start, 0
        self._waiting, self._since, self._ready = [], math.inf, math.inf
        self._gathered.clear()
        for at, sample in arrivals:
            yield from self._before(at)
            self._take(at, sample)
        yield from self._before(end)
        yield Moment(end, tuple(self._waiting), due=False)

    def _before(self, at: float) -> Iterator[Moment]:
        while (moment := min(self._due(), self._since + WATCH)) < at:
            yield self._moment(moment)

    def _moment(self, at: float) -> Moment:
        due = self._due() <= at
        moment = Moment(at, tuple(self._waiting), due)
        self._waiting, self._since = [], math.inf
        if due:
            self._gathered.clear()
            self._ready, self._last = math.inf, at
            self._periods += 1
        return moment

    def _take(self, at: float, sample: Sample) -> None:
        self._waiting.append(sample)
        time = math.inf if sample.lost else sample.time
        late = self._gathered.take((sample.wire, sample.pv), time)
        self._since = min(self._since, at - WATCH if late else at)
        if self._event in (None, sample.wire):
            if self._event is not None:
                before = self._gathered.see(time)
                if math.isinf(self._ready):
                    self._gathered.begin(time, before)
            self._ready = min(self._ready, at + self._serving.gather)
        if self._gathered.complete:
            self._ready = min(self._ready, at)

    def _due(self) -> float:
        if self._serving.period is not None:
            return self._start + self._periods * self._serving.period
        return max(self._ready, self._last + (self._serving.at_most or 0.0))
