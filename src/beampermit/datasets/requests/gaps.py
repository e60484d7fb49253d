"""Stretches where a signal is not known, and why."""

from __future__ import annotations

import heapq
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

SHOWN = 100


@dataclass(frozen=True)
class Gap:
    """One PV is not known from `start` until `end` (nanoseconds since 1970)."""

    pv: str
    start: int
    end: int
    why: str

    @property
    def length(self) -> int:
        """Nanoseconds."""
        return self.end - self.start

    def words(self) -> str:
        """For a message."""
        return f"{self.pv} from {moment(self.start)} for {self.length / 1e9:g} s ({self.why})"

    def as_json(self) -> dict[str, Any]:
        """For the sidecar."""
        span = {"start": moment(self.start), "end": moment(self.end), "seconds": self.length / 1e9}
        return {"pv": self.pv, **span, "why": self.why}


@dataclass
class Gaps:
    """All gaps counted, the longest kept."""

    count: int = 0
    nanoseconds: int = 0
    pvs: set[str] = field(default_factory=set)
    _longest: list[tuple[int, str, int, Gap]] = field(default_factory=list)

    def add(self, gaps: Iterable[Gap]) -> None:
        """Count gaps."""
        for gap in gaps:
            self.count += 1
            self.nanoseconds += gap.length
            self.pvs.add(gap.pv)
            keep = heapq.heappush if len(self._longest) < SHOWN else heapq.heappushpop
            keep(self._longest, (gap.length, gap.pv, gap.start, gap))

    @property
    def longest(self) -> list[Gap]:
        """The longest ones, in order of PV and time."""
        return sorted((gap for *_, gap in self._longest), key=lambda gap: (gap.pv, gap.start))

    @property
    def worst(self) -> Gap | None:
        """The longest."""
        return max((gap for *_, gap in self._longest), key=lambda gap: gap.length, default=None)

    def as_json(self) -> dict[str, Any]:
        """For the sidecar."""
        return {
            "count": self.count,
            "seconds": self.nanoseconds / 1e9,
            "pvs": len(self.pvs),
            "longest": [gap.as_json() for gap in self.longest],
        }


def moment(nanoseconds: int) -> str:
    """ISO 8601 in UTC, to the microsecond."""
    seconds, rest = divmod(nanoseconds, 10**9)
    base = datetime.fromtimestamp(seconds, UTC).replace(microsecond=rest // 1000)
    return base.isoformat().replace("+00:00", "Z")


def merged(gaps: Iterable[Gap]) -> Iterable[Gap]:
    """Gaps of one PV in order of time, those that touch made one."""
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
