"""Whether the rows of a split meet the contract."""

from __future__ import annotations

import math
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

from beampermit.contract import Contract, Signal
from beampermit.datasets.tables import Table, quoted
from beampermit.errors import Failed, did_you_mean

FIRST = 3
"""How many violating rows are named."""
SORTED = 50_000_000
"""Up to this many rows, hashes of keys are sorted in memory (400 MB); beyond, by duckdb, which can spill to disk."""


@dataclass
class RowReport:
    """Problems of one split, and statistics of the signals that have some."""

    split: str
    path: str
    rows: int = 0
    problems: list[str] = field(default_factory=list)
    signals: dict[str, dict[str, Any]] = field(default_factory=dict)


def base_signals(contract: Contract, base_contract: Contract) -> tuple[Signal, ...]:
    """The inputs with a column, as the base contract declares them; those that are new, as this contract does."""
    known = {signal.name: signal for signal in base_contract.signals.inputs}
    return tuple(known.get(signal.name, signal) for signal in contract.signals.inputs if signal.source != "constant")


def check_rows(
    table: Table, signals: tuple[Signal, ...], key: tuple[str, ...], target: str, time: str | None = None
) -> RowReport:
    """Check one file: one scan counts the valid rows of each column, a second one explains the invalid ones.

    `time` is the column with the time of each row; DAT005 reports where it is missing, null or of another type.
    """
    report = RowReport(table.split, table.path)
    try:
        report.problems += _missing(table, [*key, target, *(signal.name for signal in signals)])
        if not report.problems:
            _scan(table, report, [_Column(table, signal, key) for signal in signals], key, target)
            report.problems += _odd_times(table, time, key)
    except Failed as error:
        report.problems.append(error.message)
    return report


def _missing(table: Table, required: list[str]) -> Iterator[str]:
    for column in required:
        if column not in table.columns:
            yield f"there is no column {column!r}{did_you_mean(column, table.columns, 'is it')}"


def _odd_times(table: Table, column: str | None, key: tuple[str, ...]) -> Iterator[str]:
    if column not in table.columns or not table.is_time(column):
        return
    struct = ", ".join(f"CAST({quoted(name)} AS VARCHAR)" for name in key)
    odd = f"{quoted(column)} IS NOT NULL AND NOT {table.shown_time(column)}"
    rows, count, shown, first = table.query(
        f"SELECT count(*), count(*) FILTER (WHERE {odd}),"
        f" arg_min(CAST({quoted(column)} AS VARCHAR), file_row_number) FILTER (WHERE {odd}),"
        f" arg_min([{struct}], file_row_number) FILTER (WHERE {odd}) FROM {table.numbered}"
    )[0]
    if count:
        yield (
            f"{column} is no time of the years 1 to 9999 in {count} of {rows} rows"
            f" (first: {str(shown)[:40]}, {_format_key(key, first)}): is its unit right?"
        )


def _scan(table: Table, report: RowReport, columns: list[_Column], key: tuple[str, ...], target: str) -> None:
    report.problems += [problem for column in columns for problem in column.type_problems()]
    columns = [column for column in columns if column.numeric]
    required = list(dict.fromkeys([*key, target]))
    not_null = [f"count({quoted(column)})" for column in required]
    select = ", ".join(["count(*)", *not_null, *(column.valid_count() for column in columns)])
    with ThreadPoolExecutor(1) as pool:  # repeated keys are sorted on one core, the scan has the others
        repeated = pool.submit(_seems_repeated, table, key)
        rows, *counts = table.query(f"SELECT {select} FROM {table.source}")[0]
        report.rows = rows
        if not rows:
            report.problems.append("has no rows")
            return
        present = dict(zip(required, counts, strict=False))
        report.problems += [
            f"{column} is null in {rows - count} of {rows} rows" for column, count in present.items() if count < rows
        ]
        if all(present[column] == rows for column in key) and repeated.result():
            report.problems += _repeated(table, key, rows)
    for column, count in zip(columns, counts[len(required) :], strict=True):
        if count < rows:
            report.problems += column.detail(report) or [f"{column.name} is invalid in {rows - count} of {rows} rows"]


def _seems_repeated(table: Table, key: tuple[str, ...]) -> bool:
    """Whether two keys have one hash. Sorting eight bytes a row is several times faster than grouping."""
    hashed = f"hash({', '.join(quoted(column) for column in key)})"
    (rows,) = table.query(f"SELECT count(*) FROM {table.source}")[0]
    if rows > SORTED:
        return table.query(f"SELECT count(DISTINCT {hashed}) FROM {table.source}")[0][0] < rows
    hashes = table.numbers(f"SELECT {hashed} FROM {table.source}")
    hashes.sort()
    return bool((hashes[1:] == hashes[:-1]).any())


def _repeated(table: Table, key: tuple[str, ...], rows: int) -> Iterator[str]:
    """Compare the keys themselves, since different keys can have equal hashes."""
    keys = ", ".join(quoted(column) for column in key)
    shown = ", ".join(f"CAST({quoted(column)} AS VARCHAR)" for column in key)
    groups = f"SELECT [{shown}] AS shown, count(*) AS times, min(file_row_number) AS row FROM {table.numbered}"
    extra, first = table.query(
        f"SELECT sum(times - 1), arg_min(shown, row) FROM ({groups} GROUP BY {keys} HAVING count(*) > 1)"
    )[0]
    if extra:
        yield f"{extra} of {rows} rows repeat the key of another (first: {_format_key(key, first)})"


class _Column:
    """The column of one input. Values are flattened: a row has as many as the product of the signal's shape."""

    def __init__(self, table: Table, signal: Signal, key: tuple[str, ...]):
        self._table = table
        self._signal = signal
        self._key = key
        self._size = math.prod(signal.shape)
        self._depth = table.dimensions(signal.name)
        values = quoted(signal.name)
        for _ in range((self._depth or 0) - 1):
            values = f"flatten({values})"
        self._values = values

    @property
    def name(self) -> str:
        return self._signal.name

    @property
    def numeric(self) -> bool:
        """Whether the type fits the signal's shape: numbers, or lists of numbers."""
        return self._depth is not None and (self._depth > 0) == bool(self._signal.shape)

    def type_problems(self) -> Iterator[str]:
        """Problems of unit and type, before any row is read."""
        signal = self._signal
        stated = self._table.units.get(signal.name)
        if stated is not None and stated != signal.unit:
            yield f"{signal.name} is in {stated}, the contract says {signal.unit}"
        if not self.numeric:
            yield f"{signal.name} has type {self._table.columns[signal.name]}, not {self._expected_type()}"

    def valid_count(self) -> str:
        """SQL of the number of valid rows. To duckdb, NaN is the greatest number; null is never counted.

        `count_if` takes half the time of `count(*) FILTER`, and is null if every value is.
        """
        low, high, length, count = self._parts()
        bottom, top = self._bounds()
        if self._depth == 0:
            return f"coalesce(count_if({low} BETWEEN {bottom} AND {top}), 0)"
        complete = f"{length} = {self._size} AND {count} = {self._size}"
        return f"coalesce(count_if({complete} AND {low} >= {bottom} AND {high} <= {top}), 0)"

    def _bounds(self) -> tuple[str, str]:
        """The range in the column's own type, so that no value is converted; rounded inwards to single precision."""
        bottom, top = self._signal.range
        if not self._table.columns[self._signal.name].startswith("FLOAT"):
            return f"{bottom!r}::DOUBLE", f"{top!r}::DOUBLE"
        import numpy as np

        low, high = np.float32(bottom), np.float32(top)
        low = np.nextafter(low, np.float32(math.inf)) if float(low) < bottom else low
        high = np.nextafter(high, np.float32(-math.inf)) if float(high) > top else high
        return f"'{low}'::FLOAT", f"'{high}'::FLOAT"

    def _parts(self) -> tuple[str, str, str, str]:
        if self._depth == 0:
            return self._values, self._values, "1", f"(CASE WHEN {self._values} IS NULL THEN 0 ELSE 1 END)"
        return (
            f"list_min({self._values})",
            f"list_max({self._values})",
            f"len({self._values})",
            f"list_count({self._values})",
        )

    def detail(self, report: RowReport) -> list[str]:
        """Each problem with its count and first row, by a second scan; statistics are added to `report`."""
        low, high, length, count = self._parts()
        bottom, top = self._signal.range
        tests = {
            "length": f"present AND length <> {self._size}",
            "null": "NOT present OR given < length",
            "infinite": "isnan(high) OR isinf(high) OR isinf(low)",
            "outside": f"isfinite(low) AND isfinite(high) AND (low < {bottom!r} OR high > {top!r})",
        }
        keys = ", ".join(f"{quoted(column)} AS key{number}" for number, column in enumerate(self._key))
        struct = ", ".join(f"CAST(key{number} AS VARCHAR)" for number in range(len(self._key)))
        select = ", ".join(
            f"count(*) FILTER (WHERE {test}), arg_min([{struct}], row, {FIRST}) FILTER (WHERE {test})"
            for test in tests.values()
        )
        result = self._table.query(
            f"SELECT {select}, min(low) FILTER (WHERE isfinite(low)), max(high) FILTER (WHERE isfinite(high))"
            f" FROM (SELECT file_row_number AS row, {keys},"
            f" CAST({low} AS DOUBLE) AS low, CAST({high} AS DOUBLE) AS high, {length} AS length, {count} AS given,"
            f" {quoted(self._signal.name)} IS NOT NULL AS present"
            f" FROM {self._table.numbered})"
        )[0]
        violations = dict(zip(tests, zip(result[:-2:2], result[1:-2:2], strict=True), strict=True))
        *_, lowest, highest = result
        report.signals[self._signal.name] = {
            "lowest": lowest,
            "highest": highest,
            **{f"rows_{kind}": count for kind, (count, _) in violations.items()},
            "first": {
                kind: [dict(zip(self._key, row, strict=True)) for row in first or ()]
                for kind, (_, first) in violations.items()
            },
        }
        return [
            f"{self._describe(kind, lowest, highest)} in {count} of {report.rows} rows"
            f" (first: {_format_key(self._key, first[0])})"
            for kind, (count, first) in violations.items()
            if count
        ]

    def _describe(self, kind: str, lowest: float, highest: float) -> str:
        signal = self._signal
        if kind == "length":
            return f"{signal.name} does not have {self._size} values"
        if kind == "null":
            return f"{signal.name} is null"
        if kind == "infinite":
            return f"{signal.name} is not finite"
        above, below = highest - signal.range[1], signal.range[0] - lowest
        unit = "" if signal.unit == "1" else f" {signal.unit}"
        return (
            f"{signal.name} reaches {highest if above >= below else lowest:.4g}{unit}, outside {_format_range(signal)},"
        )

    def _expected_type(self) -> str:
        shape = " x ".join(str(length) for length in self._signal.shape)
        return f"lists of {shape} numbers" if shape else "numbers"


def _format_range(signal: Signal) -> str:
    unit = "" if signal.unit == "1" else f" {signal.unit}"
    return f"[{signal.range[0]:g}, {signal.range[1]:g}]{unit}"


def _format_key(columns: tuple[str, ...], values: Any) -> str:
    return ", ".join(f"{column} {str(value)[:60]}" for column, value in zip(columns, values, strict=False))
