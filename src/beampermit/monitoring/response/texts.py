"""What people read of an alarm: written by `documents/`, which is above this room, and handed in."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from beampermit.monitoring.response.journal import Alarm
from beampermit.verdicts.monitoring import Result, Trip


class Texts(Protocol):
    """Titles are plain; all else is Markdown in which every value is escaped."""

    def title(self, alarm: Alarm) -> str: ...

    def body(self, alarm: Alarm, result: Result | None = None) -> str:
        """`result` is the newest: it says whether the alarm is bypassed."""
        ...

    def still_on(self, alarm: Alarm, at: float, result: Result | None = None) -> str:
        """A comment: it was raised again, got worse, or is still on, as `result` has it."""
        ...

    def cleared(self, alarm: Alarm) -> str: ...

    def gathered_title(self, model: str) -> str: ...

    def gathered(self, alarms: Sequence[Alarm]) -> str:
        """Of those alarms that have no issue of their own."""
        ...

    def heartbeat(self, result: Result) -> str: ...

    def limits(self, trip: Trip, reason: str, issue: int) -> str:
        """Of the pull request with other limits; `reason` says how they were found, `issue` is that of the alarm."""
        ...

    def entry(self, trip: Trip, on: int = 1) -> tuple[str, str]:
        """Title and text of an entry in a logbook, both plain; `on` alarms are on then."""
        ...
