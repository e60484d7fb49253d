"""The data request: `dataset.request` of the contract."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import BeforeValidator, Field, model_validator

from beampermit.contract import conditions
from beampermit.contract.direction import Absent, Loosens
from beampermit.contract.part import Name, Part, Seconds, Span, Text
from beampermit.contract.words import LONGEST, MOST, Word, unit_of, with_unit_and_range

if TYPE_CHECKING:
    from beampermit.contract.signals import Signal


def _instant(value: Any) -> Any:
    if isinstance(value, str):
        try:
            value = datetime.fromisoformat(value.strip())
        except ValueError:
            raise ValueError(f"{value!r} is not a time; write it like 2026-03-01T08:00:00+01:00") from None
    if isinstance(value, datetime):
        if value.utcoffset() is None:
            raise ValueError(
                f"{value.isoformat()} has no time zone; add Z or an offset such as +01:00 (a local time"
                " occurs twice when clocks are set back)"
            )
        return value.astimezone(UTC)
    day = f"{value.isoformat()} is a date; " if isinstance(value, date) else ""
    raise ValueError(f"{day}a time needs hours and a time zone, such as 2026-03-01T08:00:00+01:00")


Instant = Annotated[datetime, BeforeValidator(_instant)]
"""A point in time, kept in UTC."""


class Range(Part):
    """From `start` to `end`, `end` excluded."""

    start: Annotated[Instant, Loosens.NEVER]
    """With its time zone: `2026-03-01T08:00:00+01:00`."""
    end: Annotated[Instant, Loosens.NEVER]
    """With its time zone; not part of the range."""

    @model_validator(mode="after")
    def _forward(self) -> Range:
        if self.end <= self.start:
            what = "empty" if self.end == self.start else "reversed"
            raise ValueError(f"the range is {what}: {self.start.isoformat()} to {self.end.isoformat()}")
        return self


class RequestedSignal(Part):
    """A signal to fetch. For an input of the contract, its name is enough."""

    name: Name
    pv: Annotated[Text | None, Loosens.NEVER] = None
    """PV name; may contain columns of the device table. Not given for an input."""
    unit: Annotated[Text | None, Loosens.NEVER] = None
    """EGU. Not given for an input."""
    range: Annotated[Span | None, Loosens.WHEN_WIDER] = None
    """DRVL and DRVH. Not given for an input."""
    shape: Annotated[tuple[Annotated[int, Field(gt=0)], ...], Loosens.NEVER] = ()
    """Shape of one value; empty for a scalar. Not given for an input."""
    words: Annotated[tuple[Word, ...], Field(max_length=MOST), Loosens.WHEN_CHANGED] = ()
    """What a text or an enum may say; rows have the place of the word, from 0. Not given for an input."""
    states: Annotated[
        tuple[Annotated[str, Field(max_length=LONGEST)], ...], Field(max_length=MOST), Loosens.WHEN_CHANGED
    ] = ()
    """Of a signal with words: the labels that the numbers of the source stand for, from 0, where it has numbers of an
    enum. An archiver has no labels, so nobody but you knows which they were."""
    max_age: Annotated[Seconds | None, Loosens.WHEN_LARGER, Absent("gaps.max_age")] = None
    """Overrides `gaps.max_age` for this signal."""

    @model_validator(mode="before")
    @classmethod
    def _by_name(cls, value: Any) -> Any:
        return {"name": value} if isinstance(value, str) else with_unit_and_range(value)

    @model_validator(mode="after")
    def _sound_words(self) -> RequestedSignal:
        if len(set(self.words)) != len(self.words) or len(self.words) == 1:
            raise ValueError(f"signal {self.name!r}: words are several, each once")
        if self.words and self.shape:
            raise ValueError(f"signal {self.name!r} has words, which only a scalar has")
        if self.words and (self.unit, self.range) != (unit_of(self.words), (0, len(self.words) - 1)):
            raise ValueError(f"signal {self.name!r} has words, so unit and range follow from them: leave both out")
        return self

    @model_validator(mode="after")
    def _not_reversed(self) -> RequestedSignal:
        if self.range and self.range[0] >= self.range[1]:
            raise ValueError(f"signal {self.name!r}: range [{self.range[0]:g}, {self.range[1]:g}] is empty or reversed")
        return self


class Sampling(Part):
    """When there is a row: every `period`, or at each value of the signal `event`."""

    period: Annotated[Seconds | None, Loosens.NEVER] = None
    """One row every period, from the start of a range, in UTC."""
    event: Annotated[Name | None, Loosens.NEVER] = None
    """One row for each value of this signal."""

    @model_validator(mode="after")
    def _one(self) -> Sampling:
        if (self.period is None) == (self.event is None):
            raise ValueError("sampling needs either period or event")
        if self.period is not None and self.period < 1e-6:
            raise ValueError("sampling.period must be at least a microsecond, the resolution of tables")
        return self


class Gaps(Part):
    """How missing values are handled."""

    max_age: Annotated[Seconds, Loosens.WHEN_LARGER]
    """How long the last value of a signal counts."""
    worst: Annotated[Literal["NO_ALARM", "MINOR", "MAJOR", "INVALID"], Loosens.WHEN_LATER_CHOICE] = "MAJOR"
    """The worst severity whose values are used; values of a worse one are missing."""
    rows: Annotated[Literal["drop", "keep"], Loosens.WHEN_LATER_CHOICE] = "drop"
    """Rows with a missing value are dropped, or kept with a null."""
    longest: Annotated[Seconds | None, Loosens.WHEN_LARGER] = None
    """A longer gap in any signal is an error."""


def _or_a_name(schema: dict[str, Any]) -> None:
    """For editors: the name of an input is enough."""
    schema["items"] = {"anyOf": [{"type": "string"}, schema["items"]]}


class Request(Part):
    """What to fetch from a source. Without signals, the project's own function answers."""

    source: Name
    """`simulator`, `files`, `archiver`, `predictions`, or a source of the laboratory's own."""
    version: Annotated[int, Field(ge=1), Loosens.WHEN_CHANGED] = 1
    """Increased when the request changes. Only then may test rows of the base branch change or be missing (PRF001)."""
    options: Annotated[dict[str, Any], Loosens.NEVER] = Field(default_factory=dict)
    """Options of the source."""
    signals: tuple[RequestedSignal, ...] = Field(default=(), json_schema_extra=_or_a_name)
    """Names of inputs, or further signals with PV and unit."""
    ranges: tuple[Range, ...] = ()
    """Time ranges; they must not overlap."""
    conditions: Annotated[tuple[Text, ...], Loosens.NEVER] = ()
    """Rows are kept where all of these hold, such as `current > 10 and mode in [3, 4]`; see docs/requests.md."""
    sampling: Sampling | None = None
    gaps: Gaps | None = None

    @model_validator(mode="after")
    def _whole(self) -> Request:
        if not self.signals:
            if self.ranges or self.conditions or self.sampling or self.gaps:
                raise ValueError("ranges, conditions, sampling and gaps need signals")
            return self
        missing = [key for key in ("ranges", "sampling", "gaps") if not getattr(self, key)]
        if missing:
            raise ValueError(f"a request with signals needs {', '.join(missing)}")
        names = [signal.name for signal in self.signals]
        self._named(names)
        in_order = sorted(self.ranges, key=lambda span: span.start)
        for earlier, later in itertools.pairwise(in_order):
            if later.start < earlier.end:
                raise ValueError(f"two ranges overlap at {later.start.isoformat()}")
        return self

    def _named(self, names: list[str]) -> None:
        spelt = [conditions.spelt(name) for name in names]
        twice = sorted({name for name, word in zip(names, spelt, strict=True) if spelt.count(word) > 1})
        if twice:
            raise ValueError(f"two signals of the request are called {twice[0]!r}, or differ only in - and _")
        if self.sampling and self.sampling.event and self.sampling.event not in names:
            raise ValueError(f"sampling.event {self.sampling.event!r} is not a signal of the request")
        for condition in self.conditions:
            if strange := conditions.unknown(condition, names):
                raise ValueError(
                    f"condition {condition!r} names {strange[0]!r}, which is not a signal of the request"
                    " (a dash in a name is written _)"
                )

    def resolved(self, inputs: Sequence[Signal]) -> tuple[RequestedSignal, ...]:
        """The signals, those of inputs completed from `inputs`. Raises `ValueError` for a missing or repeated key."""
        inputs_by_name = {signal.name: signal for signal in inputs}
        signals = tuple(_resolve(signal, inputs_by_name.get(signal.name)) for signal in self.signals)
        shaped = {conditions.spelt(signal.name) for signal in signals if signal.shape}
        for condition in self.conditions:
            if wrong := sorted(conditions.names_in(condition) & shaped):
                raise ValueError(f"condition {condition!r} compares {wrong[0]!r}, which is not a scalar")
        return signals


OF_INPUTS = ("words", "pv", "unit", "range", "shape")
"""Keys of a signal that are taken from the input of its name."""


def _resolve(requested: RequestedSignal, declared: Signal | None) -> RequestedSignal:
    if requested.states and not (requested.words or (declared and declared.words)):
        raise ValueError(f"request.signals: {requested.name!r} has states, and no words that they could be")
    if declared is None:
        if requested.pv is None or requested.unit is None:
            raise ValueError(f"request.signals: {requested.name!r} is not an input, so it needs a pv and a unit")
        return requested
    given = [key for key in OF_INPUTS if getattr(requested, key)]
    if given:
        raise ValueError(f"request.signals: {requested.name!r} is an input; its {given[0]} is set in signals.inputs")
    if declared.pv is None:
        raise ValueError(f"request.signals: {requested.name!r} is an input without a PV, so it cannot be fetched")
    update = {key: getattr(declared, key) for key in OF_INPUTS}
    return requested.model_copy(update=update)
