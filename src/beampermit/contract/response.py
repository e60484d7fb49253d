"""What an alarm of the monitor starts, and what bounds it."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from beampermit.contract.direction import Loosens
from beampermit.contract.part import Part, Seconds


class Response(Part):
    """Bounds of what an alarm of the monitor starts. Nothing is loosened, promoted or retired by it."""

    fall_back: Annotated[Literal["never", "MAJOR", "MINOR"], Loosens.WHEN_LATER_CHOICE] = "never"
    """From which severity of an alarm about outputs or quality (MON004 to MON007) the monitor itself goes back to the
    former champion, with an event in the ledger."""
    proposes_at: Annotated[Literal["MINOR", "MAJOR"], Loosens.NEVER] = "MINOR"
    """From which severity an alarm starts what `on_trip` says, beside its issue."""
    cooldown: Annotated[Seconds, Loosens.WHEN_SMALLER] = 7 * 86400.0
    """So long after a proposal no other is made, and no other fall-back."""
    close_after: Annotated[Seconds, Loosens.WHEN_SMALLER] = 3600.0
    """The issue of an alarm is closed when it has been clear for so long."""
    remind_every: Annotated[Seconds, Loosens.WHEN_LARGER] = 86400.0
    """While an alarm is on, its issue gets a comment so often."""
    issues: Annotated[int, Field(ge=1, le=100), Loosens.NEVER] = 5
    """So many alarms have an issue of their own at a time; one more issue lists the others."""
    silent_after: Annotated[Seconds, Loosens.WHEN_LARGER] = 2 * 3600.0
    """The workflow `monitor.yml` fails when the monitor has not reported for so long."""
