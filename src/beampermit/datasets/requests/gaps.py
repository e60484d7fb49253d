"""Times when a PV has no usable value, and why."""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

SHOWN = 100


@dataclass(frozen=True)
class Gap:
    """From `start` to `end` in nanoseconds since 1970."""

    pv: str
    start: int
    end: int
    why: str

    @property
    def length(self) -> int:
        """Nanoseconds."""
        return self.end - self.start

    def describe(self) -> str:
        return f"the gap of {self.pv} from {iso_time(self.start)} for {self.length / 1e9:g} s ({self.why})"

    def as_json(self) -> dict[str, Any]:
        span = {"start": iso_time(self.start), "end": iso_time(self.end), "seconds": self.length / 1e9}
        return {"pv": self.pv, **span, "why": self.why}


@dataclass
class Gaps:
    """All gaps counted; the longest `SHOWN` kept."""

    count: int = 0
    nanoseconds: int = 0
    pvs: set[str] = field(default_factory=set)
    _longest: list[tuple[int, str, int, Gap]] = field(default_factory=list)

    def add(self, gaps: Iterable[Gap]) -> None:
        for gap in gaps:
            self.count += 1
            self.nanoseconds += gap.length
            self.pvs.add(gap.pv)
            push = heapq.heappush if len(self._longest) < SHOWN else heapq.heappushpop
            push(self._longest, (gap.length, gap.pv, gap.start, gap))

    @property
    def longest(self) -> list[Gap]:
        """The longest, ordered by PV and time."""
        return sorted((gap for *_, gap in self._longest), key=lambda gap: (gap.pv, gap.start))

    def as_json(self) -> dict[str, Any]:
        return {
            "count": self.count,
            "seconds": self.nanoseconds / 1e9,
            "pvs": len(self.pvs),
            "longest": [gap.as_json() for gap in self.longest],
        }


def iso_time(nanoseconds: int) -> str:
    """ISO 8601 in UTC, to the microsecond."""
    seconds, rest = divmod(nanoseconds, 10**9)
    time = datetime.fromtimestamp(seconds, UTC).replace(microsecond=rest // 1000)
    return time.isoformat().replace("+00:00", "Z")


def merge(gaps: Iterable[Gap]) -> Iterator[Gap]:
    """Join gaps of one PV that touch; they come in order of time."""
    current: Gap | None = None
    for gap in gaps:
        if current and gap.start <= current.end:
            current = Gap(gap.pv, current.start, max(gap.end, current.end), current.why)
            continue
        if current:
            yield current
        current = gap
    if current:
        yield current
