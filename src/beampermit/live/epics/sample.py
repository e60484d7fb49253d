"""What one update of a PV says, whichever protocol brought it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from beampermit.live.severity import Severity

EPICS_EPOCH = 631_152_000
"""1990-01-01, s since 1970: the time of a record that was never processed."""
NO_TIME = float("nan")
UNDEFINED = 4
"""Severity of PVA that says nothing."""
LONGEST = 20
"""Characters of a text that are shown."""


class Unreadable(NamedTuple):
    """In place of a value that no input can take; `words` follow "NAME has"."""

    words: str


class Table(NamedTuple):
    """The columns of an NTTable."""

    columns: Mapping[str, object]


class Choice(NamedTuple):
    """The state of an enum; its IOC may give the label another index one day."""

    state: int
    label: str | None
    """None where the state has none."""


class Sample(NamedTuple):
    value: object
    """A number, a text, a `Choice`, an array, a `Table`, or `Unreadable`."""
    at: float
    """s since 1970, by the clock of the source; NaN where it has none."""
    severity: int
    message: str
    """Of the source, beside its severity."""


def make_sample(value: object, at: float, severity: int, message: str) -> Sample:
    """A sample without a time is INVALID, whatever its severity: nobody can say how old it is."""
    if at <= EPICS_EPOCH:
        words = f"{message}, " if message else ""
        return Sample(value, NO_TIME, Severity.INVALID, f"{words}it was never processed, or its source sets no time")
    return Sample(value, at, severity if 0 <= severity < UNDEFINED else Severity.INVALID, message)


def word_of(value: object) -> object:
    """The value of an input that has words: of an enum, its label."""
    if not isinstance(value, Choice):
        return value
    return Unreadable(f"state {value.state}, which has no label") if value.label is None else value.label


def reading_of(value: object, column: str) -> object:
    """The value of an input of numbers, which may read `column` of a table: of an enum, its index."""
    if isinstance(value, Choice):
        value = value.state
    elif isinstance(value, str):
        value = text(value)
    return column_of(value, column)


def text(value: str) -> Unreadable:
    """A text is no number; it is shown, for whoever looks for the wrong PV."""
    shown = value if len(value) <= LONGEST else f"{value[:LONGEST]}..."
    return Unreadable(f"text {shown!a} instead of a number")


def column_of(value: object, column: str) -> object:
    """The value of an input that reads `column` of a table; the value itself where it reads none."""
    if not column:
        return value if not isinstance(value, Table) else _needs_column(value)
    if not isinstance(value, Table):
        return value if isinstance(value, Unreadable) else Unreadable(f"no column {column}: it is no table")
    found = value.columns.get(column)
    if found is None:
        return Unreadable(f"no column {column}, but {_names(value)}")
    return Unreadable(f"text in column {column} instead of numbers") if isinstance(found, list) else found


def _needs_column(table: Table) -> Unreadable:
    return Unreadable(f"a table instead of numbers: write NAME#COLUMN for one of {_names(table)}")


def _names(table: Table) -> str:
    return ", ".join(list(table.columns)[:5])
