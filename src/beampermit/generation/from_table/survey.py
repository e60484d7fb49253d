"""What a table says of its columns: types, missing values, ranges and steps, in one pass of duckdb over the file."""

# ruff: noqa: S608 - names and paths in SQL are quoted
from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from beampermit.datasets.tables import Table, quoted
from beampermit.generation.from_table.reading import Header, open_file
from beampermit.progress import Progress, silent
from beampermit.record import Record

if TYPE_CHECKING:
    import numpy as np

Kind = Literal["number", "whole", "boolean", "text", "time", "list", "other"]
SAMPLE = 20_000
"""Rows at the beginning of the table in which a step is looked for; the pass over all says whether they are on it."""
AT_ONCE = 200
"""Columns that are asked about in one query."""
FEWEST_STEPS = 20
"""Different values that show a step; of fewer, the numbers may be a choice of settings."""
MOST_DIGITS = 12
OFF = 0.01
"""How far a value may be from a whole number of steps."""
WHOLE = (
    "TINYINT",
    "SMALLINT",
    "INTEGER",
    "BIGINT",
    "HUGEINT",
    "UTINYINT",
    "USMALLINT",
    "UINTEGER",
    "UBIGINT",
    "UHUGEINT",
)


class Column(Record):
    """One column of the copy.

    `present` counts the rows with a value, of numbers a finite one; `lowest` and `highest` are over those. `step` is
    the distance between neighbouring values of numbers that are all on one grid. `numbers` counts the texts that are
    numbers, `text` is the first one that is none, in row `text_row` (from 0).
    """

    given: str
    name: str
    nameless: bool
    unit: str | None
    type: str
    kind: Kind
    present: int
    lowest: float | None = None
    highest: float | None = None
    step: float | None = None
    distinct: int = 0
    numbers: int = 0
    text: str | None = None
    text_row: int | None = None

    @property
    def is_numeric(self) -> bool:
        return self.kind in ("number", "whole", "boolean")

    @property
    def constant(self) -> bool:
        """Whether all its values are one; also where it has none."""
        if self.kind == "text":
            return self.distinct <= 1
        return self.is_numeric and self.lowest == self.highest


class Survey(Record):
    """A table: its rows, and its columns in their order."""

    rows: int
    columns: tuple[Column, ...]

    def __getitem__(self, name: str) -> Column:
        return next(column for column in self.columns if column.name == name)


def survey(file: Path, headers: Sequence[Header], progress: Progress = silent) -> Survey:
    """Look at the Parquet file `file`, whose columns are `headers`. Raises `Failed` if it cannot be read."""
    table = open_file(file)
    kinds: dict[str, Kind] = {header.name: _kind(table, header.name) for header in headers}
    steps = dict(_steps(table, kinds))
    known: dict[str, dict[str, Any]] = {}
    rows = 0
    for first in range(0, len(headers), AT_ONCE):  # a column is read once; of thousands, one query would take a minute
        progress("looking at columns", first, len(headers))
        names = [header.name for header in headers[first : first + AT_ONCE]]
        asked = {name: _questions(table, name, kinds[name], steps.get(name)) for name in names}
        flat = [question for questions in asked.values() for question in questions.values()]
        rows, *answers = table.query(f"SELECT {', '.join(['count(*)', *flat])} FROM {table.source}")[0]
        given = iter(answers)
        known |= {name: {key: next(given) for key in questions} for name, questions in asked.items()}
    _finite_only(table, known)
    _other_texts(table, known)
    columns = (_column(header, table, kinds[header.name], known[header.name], steps, rows) for header in headers)
    return Survey(rows=rows, columns=tuple(columns))


def _kind(table: Table, name: str) -> Kind:
    kind = table.columns[name]
    if table.is_time(name):
        return "time"
    if kind == "BOOLEAN":
        return "boolean"
    if kind in WHOLE:
        return "whole"
    if kind.startswith(("FLOAT", "DOUBLE", "DECIMAL")) and not kind.endswith("]"):
        return "number"
    if kind == "VARCHAR" or kind.startswith("ENUM("):
        return "text"
    return "list" if kind.endswith("]") else "other"


def _questions(table: Table, name: str, kind: Kind, step: tuple[float, float] | None) -> dict[str, str]:
    """What is asked of a column, by the answer's name, as SQL over all rows."""
    column = quoted(name)
    if kind == "text":
        as_text = f"CAST({column} AS VARCHAR)"
        return {
            "present": f"count({column})",
            "distinct": f"approx_count_distinct({column})",
            "numbers": f"count(TRY_CAST({as_text} AS DOUBLE))",
        }
    if kind == "boolean":
        return {
            "present": f"count({column})",
            "lowest": f"min({column}::TINYINT)",
            "highest": f"max({column}::TINYINT)",
        }
    if kind in ("number", "whole"):
        floating = table.columns[name].startswith(("FLOAT", "DOUBLE"))
        known = {
            "present": f"coalesce(count_if(isfinite({column})), 0)" if floating else f"count({column})",
            "lowest": f"min({column})",
            "highest": f"max({column})",
        }
        if step:
            first, size = step
            places = f"(({column}::DOUBLE - {first!r}) / {size!r})"
            known["off"] = f"count_if(isfinite({column}::DOUBLE) AND abs({places} - round({places})) > {OFF})"
        return known
    if kind == "time":
        return {"present": f"count({column})", "distinct": f"approx_count_distinct({column})"}
    return {"present": f"count({column})"}


def _finite_only(table: Table, known: dict[str, dict[str, Any]]) -> None:
    """To duckdb, NaN is the greatest number: ask those columns again that have some, or infinities."""
    odd = [
        name
        for name, answers in known.items()
        if any(isinstance(answers.get(end), float) and not math.isfinite(answers[end]) for end in ("lowest", "highest"))
    ]
    if not odd:
        return
    finite = [f"CASE WHEN isfinite({quoted(name)}) THEN {quoted(name)} END" for name in odd]
    ends = ", ".join(f"min({value}), max({value})" for value in finite)
    (answers,) = table.query(f"SELECT {ends} FROM {table.source}")
    for number, name in enumerate(odd):
        known[name]["lowest"], known[name]["highest"] = answers[2 * number : 2 * number + 2]


def _other_texts(table: Table, known: dict[str, dict[str, Any]]) -> None:
    """Of columns with numbers and other texts, the first text that is not a number, and its row."""
    mixed = [name for name, answers in known.items() if 0 < answers.get("numbers", 0) < answers["present"]]
    for name in mixed:
        column = f"CAST({quoted(name)} AS VARCHAR)"
        other = f"{quoted(name)} IS NOT NULL AND TRY_CAST({column} AS DOUBLE) IS NULL"
        known[name]["text"], known[name]["text_row"] = table.query(
            f"SELECT {column}, file_row_number FROM {table.numbered} WHERE {other} ORDER BY file_row_number LIMIT 1"
        )[0]


def _column(
    header: Header, table: Table, kind: Kind, known: dict[str, Any], steps: dict[str, tuple[float, float]], rows: int
) -> Column:
    step = steps.get(header.name)
    on_grid = step is not None and known.pop("off", None) == 0
    known.pop("off", None)
    ends = {end: None if known.get(end) is None else float(known[end]) for end in ("lowest", "highest")}
    return Column(
        given=header.given,
        name=header.name,
        nameless=header.nameless,
        unit=header.unit,
        type=table.columns[header.name],
        kind=kind,
        step=step[1] if step and on_grid else None,
        **{**known, **ends, "distinct": min(known.get("distinct", 0), rows)},
    )


def _steps(table: Table, kinds: dict[str, Kind]) -> Iterator[tuple[str, tuple[float, float]]]:
    """Columns of numbers with the first value and the step of their grid in the first rows."""
    import numpy as np

    names = [name for name, kind in kinds.items() if kind in ("number", "whole")]
    for name, values in _sampled(table, names):
        exact = np.finfo(np.float32).eps if table.columns[name].startswith("FLOAT") else np.finfo(np.float64).eps
        finite = np.unique(values[np.isfinite(values)])
        if len(finite) >= FEWEST_STEPS and (step := grid(finite, float(exact))):
            yield name, (float(finite[0]), step)


def _sampled(table: Table, names: list[str]) -> Iterator[tuple[str, np.ndarray]]:
    """Each column with its numbers in the first rows."""
    import numpy as np

    for first in range(0, len(names), AT_ONCE):
        some = names[first : first + AT_ONCE]
        columns = ", ".join(f"CAST({quoted(name)} AS DOUBLE) AS c{number}" for number, name in enumerate(some))
        arrays = table.arrays(f"SELECT {columns} FROM {table.source} LIMIT {SAMPLE}")
        for name, values in zip(some, arrays, strict=True):
            yield name, np.ma.filled(values, np.nan)


def grid(values: np.ndarray, exact: float) -> float | None:
    """The largest step of which all differences of `values` are multiples, if that is a decimal number; else None.

    `values` are sorted, each once, and known to the relative precision `exact`: of numbers with as many digits as that
    allows, nothing says that they are on a grid.
    """
    import numpy as np

    largest = float(np.abs(values).max())
    for digits in range(MOST_DIGITS + 1):
        scaled = values * 10.0**digits
        error = 4 * exact * largest * 10.0**digits
        if error > OFF:
            return None
        whole = np.round(scaled)
        if np.abs(scaled - whole).max() <= max(error, 1e-9):
            step = int(np.gcd.reduce(np.diff(whole).astype(np.int64)))
            return round(step * 10.0**-digits, digits) if step else None
    return None
