"""The model in service: when it has left what it knows, what is served then, and what the operator does."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from beampermit.contract.direction import Absent, Loosens
from beampermit.contract.part import InsidePath, Lines, Name, Part, Prose, Seconds, Text
from beampermit.contract.signals import Severity


class Monitoring(Part):
    """When a model in service has left what it knows."""

    limits: InsidePath = "metrics/limits.json"
    """Made by the pipeline from the reference split."""
    reference: Name = "validation"
    """The split that limits are made from."""
    window: Annotated[Seconds, Loosens.NEVER] = 3600.0
    """Length of the live data that are compared."""
    every: Annotated[Seconds, Loosens.WHEN_LARGER] = 600.0
    """How often they are compared."""
    on_trip: Annotated[Literal["issue", "propose-limits", "retrain"], Loosens.NEVER] = "issue"
    """What a trip starts."""


class Fallback(Part):
    """What is served when the model cannot answer."""

    on_invalid: Annotated[Literal["invalid", "default", "hold"], Loosens.WHEN_LATER_CHOICE] = "invalid"
    """Served at once."""
    hold_for: Annotated[Seconds | None, Loosens.WHEN_LARGER, Absent(0.0)] = None
    """How long the last good value is held; then it is not true any more."""
    then: Annotated[Literal["invalid", "default"], Loosens.WHEN_LATER_CHOICE] = "invalid"
    """Served after that."""

    @model_validator(mode="after")
    def _bounded(self) -> Fallback:
        if self.on_invalid == "hold" and self.hold_for is None:
            raise ValueError("on_invalid hold needs hold_for: a value held for ever is not true")
        return self


class Alarm(Part):
    """An alarm, and what the operator does."""

    condition: Prose
    """When the alarm is on."""
    raised_by: Lines = ()
    """What raises it: `OUTPUT.lolo`, `.low`, `.high`, `.hihi` or `.invalid`, `INPUT.stale`, `drift` (DOC003)."""
    severity: Annotated[Severity, Loosens.INFORMS]
    """EPICS severity."""
    meaning: Prose
    """What it says about the machine."""
    action: Lines = Field(min_length=1)
    """What the operator does, in order."""


class Operations(Part):
    """For the operator at 3 A.M."""

    on_call: Prose
    """Whom to call."""
    logbook: Prose
    """Where it is written down."""
    category: Annotated[Text | None, Loosens.INFORMS] = None
    """The laboratory's category of these alarms, for JAWS; the model's name where absent."""
    locations: Lines = ()
    """The laboratory's names of where they belong, for JAWS."""
    alarms: tuple[Alarm, ...] = Field(min_length=1)
    """Every alarm that the model can raise."""
