"""What is asked of the data stream: `dataset.request` of the contract."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import BeforeValidator, Field, model_validator

from beampermit.contract import conditions
from beampermit.contract.direction import Absent, Loosens
from beampermit.contract.part import Name, Part, Seconds, Span, Text

if TYPE_CHECKING:
    from beampermit.contract.signals import Signal


def _instant(value: Any) -> Any:
    if isinstance(value, str):
        try:
            value = datetime.fromisoformat(value.strip())
        except ValueError:
            raise ValueError(f"{value!r} is no time; write it such as 2026-03-01T08:00:00+01:00") from None
    if isinstance(value, datetime):
        if value.utcoffset() is None:
            raise ValueError(
                f"{value.isoformat()} has no time zone; add Z or an offset such as +01:00 (a local time alone"
                " happens twice when clocks are put back)"
            )
        return value.astimezone(UTC)
    day = f"{value.isoformat()} is a day; " if isinstance(value, date) else ""
    raise ValueError(f"{day}a time has hours and a zone, such as 2026-03-01T08:00:00+01:00")


Instant = Annotated[datetime, BeforeValidator(_instant)]
"""A moment, whatever the clocks on the wall said: kept in UTC."""


class Range(Part):
    """From `start` up to, and without, `end`."""

    start: Annotated[Instant, Loosens.NEVER]
    """With its time zone: `2026-03-01T08:00:00+01:00`."""
    end: Annotated[Instant, Loosens.NEVER]
    """With its time zone; not in this range any more."""

    @model_validator(mode="after")
    def _forward(self) -> Range:
        if self.end <= self.start:
            what = "empty" if self.end == self.start else "reversed"
            raise ValueError(f"the range is {what}: {self.start.isoformat()} to {self.end.isoformat()}")
        return self


class RequestedSignal(Part):
    """A signal to bring. An input of the contract is asked for by its name alone."""

    name: Name
    pv: Annotated[Text | None, Loosens.NEVER] = None
    """The PV's name; columns of the device table may stand in it. Of an input, the contract's."""
    unit: Annotated[Text | None, Loosens.NEVER] = None
    """EGU. Of an input, the contract's."""
    range: Annotated[Span | None, Loosens.WHEN_WIDER] = None
    """DRVL and DRVH. Of an input, the contract's."""
    shape: Annotated[tuple[Annotated[int, Field(gt=0)], ...], Loosens.NEVER] = ()
    """Of one value; empty for a scalar. Of an input, the contract's."""
    max_age: Annotated[Seconds | None, Loosens.WHEN_LARGER, Absent("gaps.max_age")] = None
    """How old this signal's value may be, where `gaps.max_age` is not right for it."""

    @model_validator(mode="before")
    @classmethod
    def _by_name(cls, value: Any) -> Any:
        return {"name": value} if isinstance(value, str) else value

    @model_validator(mode="after")
    def _not_reversed(self) -> RequestedSignal:
        if self.range and self.range[0] >= self.range[1]:
            raise ValueError(f"signal {self.name!r}: range [{self.range[0]:g}, {self.range[1]:g}] is empty or reversed")
        return self


class Sampling(Part):
    """When there is a row: each `period`, or at each value of the signal `event`."""

    period: Annotated[Seconds | None, Loosens.NEVER] = None
    """One row each period, counted in UTC from the start of a range."""
    event: Annotated[Name | None, Loosens.NEVER] = None
    """One row for each value of this signal."""

    @model_validator(mode="after")
    def _one(self) -> Sampling:
        if (self.period is None) == (self.event is None):
            raise ValueError("sampling has either a period or an event")
        if self.period is not None and self.period < 1e-6:
            raise ValueError("sampling.period is a microsecond at least: no table keeps finer times")
        return self


class Gaps(Part):
    """What is done where a signal is not known."""

    max_age: Annotated[Seconds, Loosens.WHEN_LARGER]
    """The last value of a signal that is kept on change counts for this long."""
    worst: Annotated[Literal["NO_ALARM", "MINOR", "MAJOR", "INVALID"], Loosens.WHEN_LATER_CHOICE] = "MAJOR"
    """The worst severity whose value is used; a value of a worse one is missing."""
    rows: Annotated[Literal["drop", "keep"], Loosens.WHEN_LATER_CHOICE] = "drop"
    """Rows with a missing signal are dropped, or kept with nothing in its place."""
    longest: Annotated[Seconds | None, Loosens.WHEN_LARGER] = None
    """A longer gap in any signal refuses the data."""


def _or_a_name(schema: dict[str, Any]) -> None:
    """Editors learn that the name of an input is enough."""
    schema["items"] = {"anyOf": [{"type": "string"}, schema["items"]]}


class Request(Part):
    """What is asked of the data stream. One that names no signals is answered by the project's own function."""

    source: Name
    """`simulator`, `files`, `archiver`, or a source that a laboratory adds."""
    version: Annotated[int, Field(ge=1), Loosens.NEVER] = 1
    """Raised when the request is asked differently."""
    options: Annotated[dict[str, Any], Loosens.NEVER] = Field(default_factory=dict)
    """What this source needs to know."""
    signals: tuple[RequestedSignal, ...] = Field(default=(), json_schema_extra=_or_a_name)
    """Names of inputs, or signals of their own with PV and unit."""
    ranges: tuple[Range, ...] = ()
    """Times that are asked for; they do not overlap."""
    conditions: Annotated[tuple[Text, ...], Loosens.NEVER] = ()
    """Rows are kept where all of these hold, such as `current > 10 and mode in [3, 4]`; see docs/requests.md."""
    sampling: Sampling | None = None
    gaps: Gaps | None = None

    @model_validator(mode="after")
    def _whole(self) -> Request:
        if not self.signals:
            if self.ranges or self.conditions or self.sampling or self.gaps:
                raise ValueError("ranges, conditions, sampling and gaps need signals to be about")
            return self
        missing = [key for key in ("ranges", "sampling", "gaps") if not getattr(self, key)]
        if missing:
            raise ValueError(f"a request of signals has {', '.join(missing)} as well")
        names = [signal.name for signal in self.signals]
        self._named(names)
        in_order = sorted(self.ranges, key=lambda span: span.start)
        for one, other in itertools.pairwise(in_order):
            if other.start < one.end:
                raise ValueError(f"two ranges overlap at {other.start.isoformat()}")
        return self

    def _named(self, names: list[str]) -> None:
        spelt = [conditions.spelt(name) for name in names]
        twice = sorted({name for name, word in zip(names, spelt, strict=True) if spelt.count(word) > 1})
        if twice:
            raise ValueError(f"two signals of the request are called {twice[0]!r}, or differ in a dash only")
        if self.sampling and self.sampling.event and self.sampling.event not in names:
            raise ValueError(f"sampling.event {self.sampling.event!r} is no signal of the request")
        for condition in self.conditions:
            if strange := conditions.unknown(condition, names):
                raise ValueError(
                    f"condition {condition!r} names {strange[0]!r}, which is no signal of the request"
                    " (a dash in a name is written _)"
                )

    def resolved(self, inputs: Sequence[Signal]) -> tuple[RequestedSignal, ...]:
        """The signals with everything said about them. Raises `ValueError` where something is missing or said twice."""
        known = {signal.name: signal for signal in inputs}
        found = tuple(_resolve(signal, known.get(signal.name)) for signal in self.signals)
        shaped = {conditions.spelt(signal.name) for signal in found if signal.shape}
        for condition in self.conditions:
            if wrong := sorted(conditions.names_in(condition) & shaped):
                raise ValueError(f"condition {condition!r} compares {wrong[0]!r}, which is not one number")
        return found


def _resolve(asked: RequestedSignal, known: Signal | None) -> RequestedSignal:
    if known is None:
        if asked.pv is None or asked.unit is None:
            raise ValueError(f"request.signals: {asked.name!r} is no input, so it has a pv and a unit of its own")
        return asked
    said = [key for key in ("pv", "unit", "range", "shape") if getattr(asked, key)]
    if said:
        raise ValueError(f"request.signals: {asked.name!r} is an input; its {said[0]} stands in signals.inputs")
    if known.pv is None:
        raise ValueError(f"request.signals: {asked.name!r} is an input without a PV; nothing can be asked for it")
    update = {"pv": known.pv, "unit": known.unit, "range": known.range, "shape": known.shape}
    return asked.model_copy(update=update)
