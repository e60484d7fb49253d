"""What monitoring says of a model in service: readings of a window, standings, and trips.

The monitor writes them; the service shows them as PVs, documents as pages, and a response acts on a trip.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from beampermit.record import Count, Number, Record

CHECKS = {
    "MON001": "An input's distribution differs from the reference",
    "MON002": "The inputs together differ from the reference",
    "MON003": "Inputs are missing, out of range or in alarm",
    "MON004": "An output's distribution, or its flagged share, differs from the reference",
    "MON005": "Outputs are INVALID or a fallback too often",
    "MON006": "Answers are late",
    "MON007": "Predictions differ from the truth that arrived",
    "MON008": "The monitor cannot judge",
}
CheckId = Annotated[str, Field(pattern=r"^MON\d{3}$")]
Level = Literal["NO_ALARM", "MINOR", "MAJOR", "INVALID"]
"""Severity in EPICS."""
MOST_PARTS = 1e9
"""A reading so many times beyond its limit says no more."""


class Window(Record):
    """A span of the prediction log; times in s since 1970, `until` is excluded."""

    since: Number
    until: Number
    rows: Count
    """That were judged."""
    version: Count
    """Of the model, 0 where none served."""


class Reading(Record):
    """What a check measured in a window. It is in alarm where `value` is beyond `limit`: larger is worse."""

    check: CheckId
    subject: str
    """The signal, or what of it, such as `turns.std`; empty for all together."""
    value: Number
    limit: Number
    usual: Number = 0.0
    """Of sound windows, as the reference gives it: an alarm is cleared on the way from the limit to here."""
    most: Number | None = None
    """The largest that there can be, such as 1 of a share; None without an end."""
    newest: Number | None = None
    """Of what arrives late, the time of the newest: until more has arrived, this is the same reading once more."""
    unit: str = ""
    detail: str = ""
    """One line for the operator."""

    @property
    def exceeded(self) -> bool:
        return self.value > self.limit

    @property
    def part_of_limit(self) -> float:
        """1 is at the limit; a limit of 0 counts as 1e-9."""
        part = self.value / self.limit if self.limit > 0 else max(self.value, 0.0) * MOST_PARTS
        return min(part, MOST_PARTS)

    def threshold(self, times: float) -> float:
        """So many times the limit; of what has an end, at most where one part in so many of the way to it is left."""
        far = self.limit * times
        if self.most is None or self.most <= self.limit:
            return far
        return min(far, self.most - (self.most - self.limit) / times)

    @property
    def key(self) -> str:
        """Such as `MON001 turns.std`, as limits name it."""
        return f"{self.check} {self.subject}".rstrip()


class Standing(Record):
    """A check of a subject after its trip rule (m of n windows, delays): what is shown and alarmed."""

    reading: Reading
    level: Level
    since: Number
    """Since when it is in alarm, or is not, s since 1970: a MINOR alarm that becomes MAJOR keeps it."""
    bypassed_until: Number | None = None
    """Its alarm is bypassed until then, s since 1970."""
    bypassed_by: str = ""
    bypass_reason: str = ""

    @property
    def alarmed(self) -> bool:
        """Whether somebody is to be told."""
        return self.level != "NO_ALARM" and self.bypassed_until is None

    @property
    def key(self) -> str:
        return self.reading.key


class Result(Record):
    """The newest result of a monitor; written whole, by rename, each time a window was judged."""

    model: str
    at: Number
    """When the window was judged, s since 1970."""
    window: Window
    standings: tuple[Standing, ...]
    """Worst first; one for each check and subject that was judged."""
    drift: Number | None
    """Largest drift of any input, as part of its limit; None where it was not judged."""


class Trip(Record):
    """A standing that went into alarm, got worse, or left it: `cleared`, with `since` that of the alarm that ended."""

    model: str
    version: Count
    standing: Standing
    window: Window
    """The window that tripped it."""
    cleared: bool = False

    @property
    def name(self) -> str:
        """The same for one alarm from its raise to its clearing."""
        return f"{self.model} {self.standing.key} {self.standing.since:.0f}"


class Picture(Record):
    """Of a number that is compared: shares of the reference and of the window in bins between `edges`."""

    subject: str
    edges: tuple[Number, ...]
    """One more than bins."""
    reference: tuple[Number, ...]
    window: tuple[Number, ...]
