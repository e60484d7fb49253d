"""What each column of a table is to the model: an output, an input, the time, a group, the key, or left out."""

# ruff: noqa: S608 - names and paths in SQL are quoted
from __future__ import annotations

from typing import Literal

from beampermit.datasets.tables import Table, quoted
from beampermit.errors import BadInput, counted, did_you_mean, more
from beampermit.generation.drafting import listed
from beampermit.generation.from_table.survey import Column, Survey
from beampermit.generation.names import split_unit
from beampermit.record import Record

FEWEST_ROWS = 30
"""Rows to train, validate and test on."""
FEWEST_GROUPS = 3
"""One for each split."""
MOST_CLASSES, MOST_WHOLE = 20, 10
"""Different values of a text, and of whole numbers, that are taken for classes."""
MOST_MISSING = 0.5
ROW = "row"
"""The key of a project's rows."""
EPOCHS: dict[str, tuple[float, float]] = {"s": (1e8, 5e9), "ms": (1e11, 5e12), "us": (1e14, 5e15), "ns": (1e17, 5e18)}
"""Times since 1970 in each unit, of the years 1973 to 2128."""
Role = Literal["output", "group", "time", "ignore"]


class Asked(Record):
    """Names of columns as given on the command line."""

    outputs: tuple[str, ...]
    groups: tuple[str, ...] = ()
    time: str | None = None
    ignored: tuple[str, ...] = ()


class Classes(Record):
    """The different values of a column, the most frequent first, and how many rows have each."""

    values: tuple[str, ...]
    counts: tuple[int, ...]


class Roles(Record):
    """Columns by what they are for.

    `classes` has the outputs that are no quantities and the inputs that are text, by name; `epoch` is the unit of a
    time that is a number; `left_out` says of a column why. `complete` counts the rows with a value in all that is used.
    """

    outputs: tuple[Column, ...]
    inputs: tuple[Column, ...]
    groups: tuple[Column, ...]
    time: Column | None
    epoch: str | None
    key: Column | None
    classes: dict[str, Classes]
    left_out: dict[str, str]
    rows: int
    complete: int

    @property
    def used(self) -> tuple[Column, ...]:
        others = (*self.groups, *filter(None, (self.time, self.key)))
        return (*self.inputs, *self.outputs, *others)


def roles(survey: Survey, table: Table, asked: Asked, file: str) -> Roles:
    """Raises `BadInput` for a table or a column of which no model can be made; errors call the table `file`."""
    if survey.rows < FEWEST_ROWS:
        rows = "no rows" if not survey.rows else "1 row" if survey.rows == 1 else f"{survey.rows} rows"
        raise BadInput(
            f"the table has {rows}; at least {FEWEST_ROWS} are needed to train, validate and test", file=file
        )
    named = _Named(survey, file)
    outputs = tuple(named.take(name, "output") for name in asked.outputs)
    groups = tuple(named.take(name, "group") for name in asked.groups)
    time = named.take(asked.time, "time") if asked.time else None
    for column in (*(one for one in outputs if one.kind == "text"), *groups, *filter(None, (time,))):
        if column.name.casefold() == ROW:
            raise BadInput(
                f"{column.name!r}: a column of this name numbers the rows in a project; rename yours", file=file
            )
    classes = {column.name: found for column in outputs if (found := _classes_of_output(column, table, file))}
    for column in groups:
        _check_group(column, table, file)
    epoch = _epoch(time, table, file) if time else None
    ignored = tuple(named.take(name, "ignore") for name in asked.ignored)
    others = [column for column in survey.columns if column not in (*outputs, *groups, time, *ignored)]
    numbering = [column for column in others if _numbers_rows(column, survey.rows, table)]
    key = next((column for column in numbering if column.nameless), next(iter(numbering), None))
    left_out = {column.name: "--ignore names it" for column in ignored}
    left_out |= {column.name: "it numbers the rows" for column in numbering if column != key}
    left_out |= {
        column.name: why for column in others if column not in numbering and (why := _unusable(column, survey.rows))
    }
    inputs = tuple(column for column in others if column not in numbering and column.name not in left_out)
    if not inputs:
        first, why = next(iter(left_out.items()), ("", "there is no other column"))
        reason = f"{first!r} is left out: {why}{more(len(left_out) - 1)}" if first else why
        raise BadInput(f"the table has no column for an input of the model; {reason}", file=file)
    classes |= {column.name: _classes(column, table) for column in inputs if column.kind == "text"}
    found = Roles(
        outputs=outputs, inputs=inputs, groups=groups, time=time, epoch=epoch, key=key, classes=classes,
        left_out=left_out, rows=survey.rows, complete=survey.rows,
    )  # fmt: skip
    return found.model_copy(update={"complete": _complete_rows(found, table, file)})


class _Named:
    """Finds the columns that are named, each for one role."""

    def __init__(self, survey: Survey, file: str):
        self._survey = survey
        self._file = file
        self._taken: dict[str, str] = {}

    def take(self, name: str, role: Role) -> Column:
        """Raises `BadInput` for a name that no column has, or two, or that has another role."""
        columns = self._survey.columns
        exact = [column for column in columns if name in (column.given, column.name)]
        found = exact or [column for column in columns if split_unit(column.given)[0] == name]
        if len(found) > 1:
            raise BadInput(f"--{role} {name!r}: {len(found)} columns have this name; rename one", file=self._file)
        if not found:
            names = [column.name for column in columns]
            shown = did_you_mean(name, names) or f"; it has {listed(names)}"
            raise BadInput(f"--{role} {name!r}: the table has no such column{shown}", file=self._file)
        if before := self._taken.get(found[0].name):
            raise BadInput(f"--{role} {name!r}: this column is given as --{before} already", file=self._file)
        self._taken[found[0].name] = role
        return found[0]


def _unusable(column: Column, rows: int) -> str:
    """Why a column is not an input; empty where it is one."""
    as_text = column.kind == "text" and column.numbers == column.present
    many = column.kind == "text" and column.distinct > MOST_CLASSES
    reasons = {
        "it has no value": not column.present,
        "it holds lists": column.kind == "list",
        "it holds times": column.kind == "time",
        f"its type is {column.type}": column.kind == "other",
        "its numbers are written as text": as_text,
        mixed(column): column.text is not None,
        "it is constant": column.constant,
        f"{rows - column.present} of {rows} rows have no value": column.present < rows * MOST_MISSING,
        f"it is text of about {column.distinct} different values": many,
    }
    return next((reason for reason, holds in reasons.items() if holds), "")


def mixed(column: Column) -> str:
    """What is wrong with a column of numbers and text."""
    others = column.present - column.numbers
    return (
        f"it holds numbers and {others} other text{'s' * (others > 1)}, {str(column.text)[:40]!r} first, "
        f"in row {(column.text_row or 0) + 1}"
    )


def _classes_of_output(column: Column, table: Table, file: str) -> Classes | None:
    """The classes of an output; None of one that is a quantity. Raises `BadInput`."""
    what = f"--output {column.name!r}"
    if not column.present:
        raise BadInput(f"{what}: this column has no value", file=file)
    if column.kind in ("list", "time", "other"):
        raise BadInput(f"{what}: this column is of type {column.type}, not numbers, text or booleans", file=file)
    if column.text is not None:
        raise BadInput(f"{what}: {mixed(column)}", file=file)
    if column.constant:
        raise BadInput(f"{what}: this column is constant, so there is nothing to learn", file=file)
    if column.kind == "text" and column.numbers == column.present:
        raise BadInput(f"{what}: the numbers of this column are written as text", file=file)
    if column.kind == "text" and column.distinct > 2 * MOST_CLASSES:
        raise BadInput(
            f"{what}: this column is text of about {column.distinct} values, more than {MOST_CLASSES} classes",
            file=file,
        )
    found = _classes(column, table)
    if column.kind in ("text", "boolean"):
        if len(found.values) > MOST_CLASSES:
            raise BadInput(f"{what}: this column is text of more than {MOST_CLASSES} different values", file=file)
        return found
    whole = len(found.values) <= MOST_WHOLE and all(float(value).is_integer() for value in found.values)
    return found if whole else None


def _classes(column: Column, table: Table) -> Classes:
    """The values of a column, at most one more than may be classes."""
    name = quoted(column.name)
    usable = f"{name} IS NOT NULL" + (f" AND isfinite({name}::DOUBLE)" if column.kind == "number" else "")
    rows = table.query(
        f"SELECT CAST({name} AS VARCHAR) AS value, count(*) AS times FROM {table.source} WHERE {usable}"
        f" GROUP BY value ORDER BY times DESC, value LIMIT {MOST_CLASSES + 1}"
    )
    return Classes(values=tuple(value for value, _ in rows), counts=tuple(count for _, count in rows))


def _check_group(column: Column, table: Table, file: str) -> None:
    what = f"--group {column.name!r}"
    if column.kind in ("list", "other"):
        raise BadInput(f"{what}: this column is of type {column.type}", file=file)
    ((count,),) = table.query(f"SELECT count(DISTINCT {quoted(column.name)}) FROM {table.source}")
    _require_one_for_each_split(what, count, file)


def _epoch(column: Column, table: Table, file: str) -> str | None:
    """The unit of a time that is a number; None of one that is a time. Raises `BadInput`."""
    what = f"--time {column.name!r}"
    if column.is_numeric and column.lowest is not None and column.highest is not None:
        for unit, (first, last) in EPOCHS.items():
            if first <= column.lowest and column.highest <= last:
                return unit
        raise BadInput(
            f"{what}: its numbers, from {column.lowest:g} to {column.highest:g}, are no times since 1970 in "
            "s, ms, us or ns",
            file=file,
        )
    name = quoted(column.name)
    if column.kind == "text":
        rows = table.query(
            f"SELECT {name} FROM {table.source} WHERE {name} IS NOT NULL"
            f" AND TRY_CAST(CAST({name} AS VARCHAR) AS TIMESTAMPTZ) IS NULL LIMIT 1"
        )
        if rows:
            raise BadInput(f"{what}: {str(rows[0][0])[:40]!r} is not a time such as 2026-03-01T08:00:00Z", file=file)
    elif column.kind != "time":
        raise BadInput(f"{what}: this column is of type {column.type}", file=file)
    ((count,),) = table.query(f"SELECT count(DISTINCT {name}) FROM {table.source}")
    _require_one_for_each_split(what, count, file)
    return None


def _require_one_for_each_split(what: str, count: int, file: str) -> None:
    if count < FEWEST_GROUPS:
        found = counted(count, "value") if count else "no value"
        needed = f"at least {FEWEST_GROUPS} are needed, one for each split"
        raise BadInput(f"{what}: this column has {found}; {needed}", file=file)


def _numbers_rows(column: Column, rows: int, table: Table) -> bool:
    """Whether a column counts the rows, in any order."""
    if column.kind != "whole" or column.present < rows or column.lowest is None or column.highest is None:
        return False
    if column.highest - column.lowest != rows - 1:
        return False
    ((count,),) = table.query(f"SELECT count(DISTINCT {quoted(column.name)}) FROM {table.source}")
    return count == rows


def _complete_rows(found: Roles, table: Table, file: str) -> int:
    gaps = [column for column in found.used if column.present < found.rows]
    if not gaps:
        return found.rows
    ((count,),) = table.query(f"SELECT count(*) FROM {table.source} WHERE {' AND '.join(map(has_value, gaps))}")
    if count < FEWEST_ROWS:
        worst = min(gaps, key=lambda column: column.present)
        raise BadInput(
            f"{count} of {found.rows} rows have a value in each of {len(found.used)} columns, at least {FEWEST_ROWS}"
            f" are needed; {worst.name!r} lacks {found.rows - worst.present}",
            file=file,
        )
    return count


def has_value(column: Column) -> str:
    """SQL condition that a row has a value of a column, of numbers a finite one."""
    name = quoted(column.name)
    return f"isfinite({name})" if column.type.startswith(("FLOAT", "DOUBLE")) else f"{name} IS NOT NULL"
