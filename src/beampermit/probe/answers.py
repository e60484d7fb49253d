"""What a saved model was found to take, to give and to cost."""

from __future__ import annotations

import re

from beampermit.contract.judging import Budget
from beampermit.verdict import Record


class Field(Record):
    """An input or output of the signature. `shape` starts with -1 for rows; None for a column of plain values."""

    name: str | None
    type: str
    shape: tuple[int, ...] | None

    @property
    def is_number(self) -> bool:
        """Whether its values, or those of its arrays, are numbers."""
        return bool(re.match(r"(Array\()*(float|double|u?int|integer|long)", self.type))


class Span(Record):
    """What an output held: its rows, whether all were finite, and the lowest and highest finite value."""

    rows: int
    finite: bool
    low: float | None
    high: float | None


class Loaded(Record):
    """A model that loads. `accepted` names wrong inputs that it did not refuse."""

    inputs: tuple[Field, ...]
    outputs: tuple[Field, ...]
    example: dict[str, Span]
    accepted: tuple[str, ...]


class Timing(Record):
    """Seconds for all rows, peak resident memory in MiB, and milliseconds for a row alone.

    Percentiles are over `alone` rows, each the best of its rounds; `worst` is the longest of all.
    """

    seconds: float
    memory: float
    alone: int
    p50: float
    p99: float
    worst: float


class Scored(Timing):
    """A table of scores: one row for each row of the inputs, and what its columns hold."""

    rows: int
    columns: dict[str, Span]

    @property
    def cost(self) -> str:
        """What a prediction took and held, in words."""
        took = f"{self.p99:.3g} ms for a row (99th percentile of {self.alone}, each the best of three)"
        return f"{took} and {self.memory:.0f} MiB"

    def beyond(self, budget: Budget) -> tuple[str, ...]:
        """A line for each part of the budget that it does not keep."""
        latency = budget.latency * 1000
        slow = self.p99 > latency
        large = self.memory > budget.memory
        return (
            *(
                (f"it takes {self.p99:.3g} ms for a row (p50 {self.p50:.3g} ms), {latency:g} ms allowed",)
                if slow
                else ()
            ),
            *((f"it holds {self.memory:.0f} MiB of memory, {budget.memory:g} MiB allowed",) if large else ()),
        )
