"""The model in service: when it has left what it knows, what is served then, and what the operator does."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from beampermit.contract.part import InsidePath, Name, Part, Seconds, Text
from beampermit.contract.signals import Severity


class Monitoring(Part):
    """When a model in service has left what it knows."""

    limits: InsidePath = "metrics/limits.json"
    """Made by the pipeline from the reference split."""
    reference: Name = "validation"
    """The split that limits are made from."""
    window: Seconds = 3600.0
    """Length of the live data that are compared."""
    every: Seconds = 600.0
    """How often they are compared."""
    on_trip: Literal["issue", "propose-limits", "retrain"] = "issue"
    """What a trip starts."""


class Fallback(Part):
    """What is served when the model cannot answer."""

    on_invalid: Literal["hold", "default", "invalid"] = "invalid"
    """Served at once."""
    hold_for: Seconds | None = None
    """How long the last good value is held; then it is not true any more."""
    then: Literal["default", "invalid"] = "invalid"
    """Served after that."""

    @model_validator(mode="after")
    def _bounded(self) -> Fallback:
        if self.on_invalid == "hold" and self.hold_for is None:
            raise ValueError("on_invalid hold needs hold_for: a value held for ever is not true")
        return self


class Alarm(Part):
    """An alarm, and what the operator does."""

    condition: Text
    """When the alarm is on."""
    raised_by: tuple[Text, ...] = ()
    """What raises it: `OUTPUT.lolo`, `.low`, `.high`, `.hihi` or `.invalid`, `INPUT.stale`, `drift` (DOC003)."""
    severity: Severity
    """EPICS severity."""
    meaning: Text
    """What it says about the machine."""
    action: tuple[Text, ...] = Field(min_length=1)
    """What the operator does, in order."""


class Operations(Part):
    """For the operator at 3 A.M."""

    on_call: Text
    """Whom to call."""
    logbook: Text
    """Where it is written down."""
    category: Text | None = None
    """The laboratory's category of these alarms, for JAWS; the model's name where absent."""
    locations: tuple[Text, ...] = ()
    """The laboratory's names of where they belong, for JAWS."""
    alarms: tuple[Alarm, ...] = Field(min_length=1)
    """Every alarm that the model can raise."""
