"""The model in service: monitoring, fallback, and the operator's alarms."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from beampermit.contract.direction import Absent, Loosens
from beampermit.contract.part import InsidePath, Lines, Name, Part, Prose, Seconds, Text
from beampermit.contract.response import Response
from beampermit.contract.signals import Severity

REPORTED = 1800.0
"""Seconds that the monitor may wait before it reports to GitHub again."""


class Monitoring(Part):
    """Drift monitoring of a model in service."""

    limits: InsidePath = "metrics/limits.json"
    """Monitoring limits; written by the pipeline from the reference split."""
    calibration: InsidePath = "calibration.json"
    """Limits that `beampermit backtest` found in recorded data, which replace those of the same check and subject; none
    where this file is not there."""
    recorded: Annotated[InsidePath | None, Loosens.WHEN_REMOVED] = None
    """Recorded good operation, which DVC tracks: a table of `beampermit replay`, or a prediction log. Where a pull
    request changes limits, OPS001 counts on its last month the alarms that they would have raised."""
    reference: Name = "validation"
    """The split that limits are computed from."""
    window: Annotated[Seconds, Loosens.NEVER] = 3600.0
    """Time span of the live data that are compared."""
    every: Annotated[Seconds, Loosens.WHEN_LARGER] = 600.0
    """How often they are compared."""
    invalid: Annotated[float, Field(gt=0, lt=1), Loosens.WHEN_LARGER] = 0.05
    """Limit of the share of a window in which an output is INVALID (MON005)."""
    fallback: Annotated[float, Field(gt=0, lt=1), Loosens.WHEN_LARGER] = 0.05
    """The same of a held value or a default (MON005)."""
    alarmed: Annotated[float, Field(gt=0, lt=1), Loosens.WHEN_LARGER] = 0.05
    """Limit of the share of rows with an input in MAJOR alarm (MON003)."""
    late: Annotated[Seconds | None, Loosens.WHEN_LARGER, Absent(2.0)] = None
    """Limit of the time that the model takes for the rows of a cycle, 99th percentile of a window (MON006). Where
    absent, `budget.latency` for each row of a cycle, but no more than `serving.timeout`."""
    truth: Annotated[InsidePath | None, Loosens.WHEN_REMOVED] = None
    """A table of what outputs should have been, which arrives later (MON007): Parquet or CSV with the `target` of
    outputs, `time`, and the columns of the device table that tell rows apart; or the project's labels, whose time is
    that of the labelled row. Outputs with a `target_pv` need none."""
    truth_within: Annotated[Seconds, Loosens.WHEN_LARGER] = 1.0
    """A truth is that of a row whose time is no further away."""
    truth_lag: Annotated[Seconds | None, Loosens.WHEN_CHANGED, Absent(0.0)] = None
    """So much later than the inputs that it is about is the time stamp of a `target_pv`."""
    truth_after: Annotated[Seconds, Loosens.WHEN_LARGER] = 86400.0
    """Limit of the age of the newest truth (MON007)."""
    raise_after: Annotated[int, Field(ge=1, le=100), Loosens.WHEN_LARGER] = 2
    """An alarm is raised where so many of the last windows (`of`) are beyond the limit."""
    of: Annotated[int, Field(ge=1, le=100), Loosens.WHEN_SMALLER] = 3
    """How many last windows `raise_after` counts in."""
    delay_on: Annotated[Seconds | None, Loosens.WHEN_LARGER, Absent(0.0)] = None
    """It must have been so for this long, by the ends of the windows."""
    clear_below: Annotated[float, Field(gt=0, le=1), Loosens.WHEN_LARGER] = 0.8
    """A window is good again at this part of the way from what is usual to the limit, or below."""
    clear_after: Annotated[int, Field(ge=1, le=100), Loosens.WHEN_SMALLER] = 3
    """An alarm is cleared after so many good windows in a row."""
    delay_off: Annotated[Seconds | None, Loosens.WHEN_SMALLER, Absent(0.0)] = None
    """They must have been good for this long."""
    major: Annotated[float, Field(ge=1), Loosens.WHEN_LARGER] = 2.0
    """An alarm is MINOR beyond its limit, and MAJOR beyond so many times the limit. What has an end, as a
    share has 1, is MAJOR also where one part in so many is left of the way from the limit to there: beyond 0.8, of a
    limit of 0.6."""
    on_trip: Annotated[Literal["issue", "propose-limits", "retrain"], Loosens.NEVER] = "issue"
    """What an alarm starts: its issue alone; a pull request with new limits; or a retraining, whose pull request the
    interlocks judge."""
    response: Response = Response()
    """Bounds of what an alarm starts."""
    bypass_at_most: Annotated[Seconds, Loosens.WHEN_LARGER] = 604800.0
    """A bypass of an alarm (`beampermit bypass`) lasts no longer than this."""

    @model_validator(mode="after")
    def _can_be_raised(self) -> Monitoring:
        if self.raise_after > self.of:
            raise ValueError(f"raise_after: {self.raise_after} of {self.of} windows can never be; raise `of` as well")
        return self

    @model_validator(mode="after")
    def _reports_in_time(self) -> Monitoring:
        """Its newest report may be as old as the time to the next one, about a window that was as old then."""
        silent_after, oldest = self.response.silent_after, self.every + REPORTED
        if silent_after < oldest:
            raise ValueError(
                f"response.silent_after: {silent_after:g} s is less than `every` and {REPORTED:g} s together: a "
                f"monitor that lives would be taken for dead; {oldest:g} s is the least"
            )
        return self


class Serving(Part):
    """How `beampermit serve` reads inputs and answers. Without a trigger, a row is made when an input changes."""

    prefix: Annotated[Text | None, Loosens.NEVER] = None
    """Status PVs are `PREFIX:VERSION` and so on; the model's name in capitals where absent."""
    period: Annotated[Seconds | None, Loosens.NEVER] = None
    """A row every so often."""
    event: Annotated[Name | None, Loosens.NEVER] = None
    """A row at each new value of this input."""
    snapshot: Annotated[Text | None, Loosens.NEVER] = None
    """A row each time this PV changes, such as one that counts shots."""
    at_most: Annotated[Seconds | None, Loosens.NEVER] = None
    """Rows are at least this far apart; what arrives in between is in the next one."""
    gather: Annotated[Seconds, Loosens.NEVER] = 0.01
    """After the first change, or after the snapshot, so long is waited for the other inputs of a row."""
    within: Annotated[Seconds | None, Loosens.WHEN_LARGER] = None
    """The inputs of a row whose times are further apart make it INVALID; so does one that is so much older than the
    snapshot."""
    worst: Annotated[Literal["NO_ALARM", "MINOR", "MAJOR"], Loosens.WHEN_LATER_CHOICE] = "MAJOR"
    """The worst severity whose values are used; an input with a worse one makes its rows INVALID."""
    ahead: Annotated[Seconds, Loosens.WHEN_LARGER] = 10.0
    """An input whose time is further in the future is INVALID: a clock is wrong."""
    timeout: Annotated[Seconds, Loosens.WHEN_LARGER] = 2.0
    """The model has so long for an answer; then its process is ended and started again."""
    shadow: Annotated[int, Field(ge=0), Loosens.WHEN_SMALLER] = 20
    """Cycles that a new champion runs beside the old one before it takes over."""
    deployment: Annotated[InsidePath | None, Loosens.WHEN_REMOVED] = None
    """Folder of the files of `beampermit deployment`, which must say what the contract says (OPS002); none where the
    model is not served, or a laboratory has its own."""

    @model_validator(mode="after")
    def _one_trigger(self) -> Serving:
        triggers = [key for key in ("period", "event", "snapshot") if getattr(self, key) is not None]
        if len(triggers) > 1:
            raise ValueError(f"rows are made by {triggers[0]} or by {triggers[1]}, not by both")
        return self


class Fallback(Part):
    """What is served when the model cannot answer."""

    on_invalid: Annotated[Literal["invalid", "default", "hold"], Loosens.WHEN_LATER_CHOICE] = "invalid"
    """Served first."""
    hold_for: Annotated[Seconds | None, Loosens.WHEN_LARGER, Absent(0.0)] = None
    """How long the last good value is held."""
    then: Annotated[Literal["invalid", "default"], Loosens.WHEN_LATER_CHOICE] = "invalid"
    """Served after that."""

    @model_validator(mode="after")
    def _bounded(self) -> Fallback:
        if self.on_invalid == "hold" and self.hold_for is None:
            raise ValueError("on_invalid: hold needs hold_for, for a value must not be held forever")
        return self


class Alarm(Part):
    """An alarm, and what the operator does."""

    condition: Prose
    """When the alarm is on."""
    raised_by: Lines = ()
    """Its causes: `OUTPUT.lolo`, `.low`, `.high`, `.hihi` or `.invalid`, `INPUT.stale`, `drift`; or patterns, such as
    `"*.stale"` for every input's (DOC003). Of monitoring also `inputs`, `outputs`, `fallback`, `latency`, `quality` and
    `monitor`, which have an action of the runbook where no alarm names them."""
    severity: Annotated[Severity, Loosens.INFORMS]
    """EPICS severity."""
    meaning: Prose
    """What it means for the machine."""
    action: Lines = Field(min_length=1)
    """What the operator does, in order."""


class Operations(Part):
    """For the operator at 3 A.M."""

    on_call: Prose
    """Whom to call."""
    logbook: Prose
    """Where to make an entry."""
    time_zone: Annotated[str | None, Field(pattern=r"^[A-Za-z0-9_+-]+(/[A-Za-z0-9_+-]+){0,2}$"), Loosens.INFORMS] = None
    """Of the control room, such as `Europe/Berlin`: documents show its time beside UTC."""
    category: Annotated[Text | None, Loosens.INFORMS] = None
    """Alarm category in JAWS; the model's name where absent."""
    locations: Lines = ()
    """Locations in JAWS."""
    alarms: tuple[Alarm, ...] = Field(min_length=1)
    """Every alarm that the model can raise."""
