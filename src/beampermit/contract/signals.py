"""The model's inputs and outputs, with ranges and alarm limits."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field, model_validator

from beampermit.contract.direction import Absent, Loosens
from beampermit.contract.part import InsidePath, Name, Part, Seconds, Span, Text
from beampermit.contract.tolerance import NEAR, Tolerance
from beampermit.contract.words import MOST, Word, unit_of, with_unit_and_range

PROTOCOL = re.compile("(?:pva|ca)://")
"""What may stand before a PV name; the PV has the same data without it."""
Severity = Literal["MINOR", "MAJOR", "INVALID"]
"""Alarm severity in EPICS."""
OF_NUMBERS = ("value", "resolution", "expected", "low", "high", "lolo", "hihi", "default")
"""Keys that say nothing of a word."""


def _words_or_unit(schema: dict[str, Any]) -> None:
    """For editors: with `words`, unit and range follow."""
    following = ["unit", "range"]
    schema["required"] = [key for key in schema["required"] if key not in following]
    schema |= {"if": {"required": ["words"]}, "else": {"required": following}}


class Signal(Part):
    """One input or output of the model."""

    model_config = ConfigDict(json_schema_extra=_words_or_unit)

    name: Name
    source: Annotated[Literal["pv", "derived", "constant"], Loosens.NEVER] = "pv"
    """Read from a PV, derived from other signals, or constant."""
    pv: Annotated[Text | None, Loosens.NEVER] = None
    """PV name; may contain columns of the device table, such as `{device}`. Of an input, `pva://` or `ca://` before it
    says by which protocol the service reads it (both are asked if none is given), `#COLUMN` after it which column of a
    table."""
    value: Annotated[float | None, Loosens.NEVER] = None
    """The value of a `constant`."""
    shape: Annotated[tuple[Annotated[int, Field(gt=0)], ...], Loosens.NEVER] = ()
    """Shape of one row; empty for a scalar."""
    unit: Annotated[Text, Loosens.NEVER]
    """EGU; `1` if dimensionless. Needed without `words`."""
    description: Annotated[str, Loosens.INFORMS] = ""
    range: Annotated[Span, Loosens.WHEN_WIDER]
    """DRVL and DRVH: values outside are not physical. Needed without `words`."""
    words: Annotated[tuple[Word, ...], Field(max_length=MOST), Loosens.WHEN_CHANGED] = ()
    """Of an input that is a text or an enum: what it may say, such as `[OUT, MOVING, IN]`. The model gets the place of
    the word, from 0, and tables hold that number. A word that is not here makes the row INVALID. Of an enum the label
    counts, never the IOC's number. `unit` and `range` follow, and are left out."""
    resolution: Annotated[float | None, Field(gt=0), Loosens.WHEN_CHANGED] = None
    """Two values of a scalar that differ by no more are the same: the step or the noise of what measures it. DAT005
    takes rows that are the same in all inputs for copies; without a resolution, only equal values are the same."""
    expected: Annotated[Span | None, Loosens.WHEN_WIDER] = None
    """LOW and HIGH: outside, a MINOR alarm."""
    stale_after: Annotated[Seconds | None, Loosens.WHEN_LARGER] = None
    """An input older than this is INVALID."""
    low: Annotated[float | None, Loosens.WHEN_SMALLER, Absent("expected")] = None
    """LOW: below, a MINOR alarm."""
    high: Annotated[float | None, Loosens.WHEN_LARGER, Absent("expected")] = None
    """HIGH: above, a MINOR alarm."""
    lolo: Annotated[float | None, Loosens.WHEN_SMALLER] = None
    """LOLO: below, a MAJOR alarm."""
    hihi: Annotated[float | None, Loosens.WHEN_LARGER] = None
    """HIHI: above, a MAJOR alarm."""
    default: Annotated[float | None, Loosens.NEVER] = None
    """Served by the fallback `default`."""
    tolerance: Annotated[Tolerance | None, Loosens.WHEN_LARGER, Absent(NEAR)] = None
    """Of an output: how far its predictions may differ after the same training (REP001). A number in its unit such as
    `0.02`, or `2%` of its span on `evaluation.inputs`, from the lowest to the highest; `0.01%` where absent."""
    score_tolerance: Annotated[Tolerance | None, Loosens.WHEN_LARGER, Absent(NEAR)] = None
    """Of an output: how far two scores of a row by the same model may differ, in training and in service, in a batch
    and alone (MDL005). Given as `tolerance`."""
    target: Annotated[Text | None, Loosens.WHEN_CHANGED] = None
    """Column of the splits that an output is compared with by a metric's `measure`; none where nothing is the truth."""
    target_pv: Annotated[Text | None, Loosens.WHEN_CHANGED] = None
    """Of an output: the PV that gets its `target` later, as `pv` is written. `beampermit monitor` compares predictions
    with it (MON007), by device and time. Its time stamp is that of the inputs it is about, or `monitoring.truth_lag`
    later."""

    @model_validator(mode="before")
    @classmethod
    def _of_words(cls, value: Any) -> Any:
        return with_unit_and_range(value)

    @model_validator(mode="after")
    def _only_words(self) -> Signal:
        if not self.words:
            return self
        if len(self.words) == 1:
            raise ValueError(f"signal {self.name!r} has one word, which says nothing: name all that it may have")
        if twice := next((word for word in self.words if self.words.count(word) > 1), None):
            raise ValueError(f"signal {self.name!r}: the word {twice!r} is there twice")
        if self.source != "pv" or self.shape:
            raise ValueError(f"signal {self.name!r} has words, which only a scalar with a PV has")
        if given := [key for key in OF_NUMBERS if getattr(self, key) is not None]:
            raise ValueError(f"signal {self.name!r} has words, of which {given[0]} says nothing")
        if self.unit != unit_of(self.words) or self.range != (0, len(self.words) - 1):
            raise ValueError(f"signal {self.name!r} has words, so unit and range follow from them: leave both out")
        return self

    @model_validator(mode="after")
    def _consistent(self) -> Signal:
        if self.source == "pv" and not self.pv:
            raise ValueError(f"signal {self.name!r} has source pv, but no pv")
        if self.source == "constant" and self.value is None:
            raise ValueError(f"signal {self.name!r} is constant, but has no value")
        for key, span in (("range", self.range), ("expected", self.expected)):
            if span and span[0] >= span[1]:
                raise ValueError(f"signal {self.name!r}: {key} [{span[0]:g}, {span[1]:g}] is empty or reversed")
        lowest, highest = self.range
        if self.resolution is not None and self.resolution >= highest - lowest:
            raise ValueError(f"signal {self.name!r}: resolution {self.resolution:g} is not finer than its range")
        for key in ("default", "value", "low", "high", "lolo", "hihi"):
            number = getattr(self, key)
            if number is not None and not lowest <= number <= highest:
                where = f"outside its range [{lowest:g}, {highest:g}]"
                raise ValueError(f"signal {self.name!r}: {key} {number:g} is {where}")
        limits = [limit for limit in (self.lolo, self.low, self.high, self.hihi) if limit is not None]
        if limits != sorted(limits):
            raise ValueError(f"signal {self.name!r}: alarm limits must rise: lolo, low, high, hihi")
        return self


class Signals(Part):
    """Inputs and outputs."""

    inputs: tuple[Signal, ...] = Field(min_length=1)
    """In the order of the model's signature."""
    outputs: tuple[Signal, ...] = Field(min_length=1)
    """In the order of the model's signature."""
    devices: Annotated[InsidePath | None, Loosens.NEVER] = None
    """A CSV table; its columns fill placeholders in PV names."""

    @model_validator(mode="after")
    def _different(self) -> Signals:
        if compared := [signal.name for signal in self.inputs if signal.target]:
            raise ValueError(f"input {compared[0]!r} has a target; only outputs are compared with one")
        if said := [signal.name for signal in self.outputs if signal.words]:
            raise ValueError(f"output {said[0]!r} has words; only inputs have them")
        if told := [signal.name for signal in self.inputs if signal.target_pv]:
            raise ValueError(f"input {told[0]!r} has a target_pv; only outputs are compared with one")
        for signal in self.outputs:
            if signal.target_pv and not signal.target:
                raise ValueError(f"output {signal.name!r} has a target_pv, but no target to make its limit from")
            served = {output.pv for output in self.outputs}
            if signal.target_pv and PROTOCOL.sub("", signal.target_pv, count=1) in served:
                raise ValueError(f"output {signal.name!r}: target_pv {signal.target_pv} is served by the model itself")
        for key in ("tolerance", "score_tolerance"):
            if given := [signal.name for signal in self.inputs if getattr(signal, key) is not None]:
                raise ValueError(f"input {given[0]!r} has a {key}; only outputs have one")
        names = [signal.name for signal in (*self.inputs, *self.outputs)]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(f"two signals are called {twice[0]!r}")
        return self


def tolerance_of(outputs: Iterable[Signal], column: str, key: Literal["tolerance", "score_tolerance"]) -> float | str:
    """The tolerance of the output that a column of scores holds; `NEAR` for any other column."""
    tolerance = next((getattr(signal, key) for signal in outputs if signal.name == column), None)
    return NEAR if tolerance is None else tolerance
