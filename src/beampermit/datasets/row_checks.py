"""Whether the rows of the splits keep what the contract promises of them."""

from __future__ import annotations

import math
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

from beampermit.contract import Contract, Signal
from beampermit.datasets.tables import Table, quoted
from beampermit.errors import Failed, meant

FIRST = 3
"""How many offending rows are named."""
SORTED = 50_000_000
"""Rows whose keys are looked through in memory, 400 MB; more of them by duckdb, which can put them on disk."""


@dataclass
class RowReport:
    """What was found in one split's file."""

    split: str
    path: str
    rows: int = 0
    problems: list[str] = field(default_factory=list)
    signals: dict[str, dict[str, Any]] = field(default_factory=dict)


def base_signals(contract: Contract, base_contract: Contract) -> tuple[Signal, ...]:
    """The inputs that tables hold, each as the base contract promises it; one that it does not know, as it is."""
    known = {signal.name: signal for signal in base_contract.signals.inputs}
    return tuple(known.get(signal.name, signal) for signal in contract.signals.inputs if signal.source != "constant")


def check_rows(table: Table, signals: tuple[Signal, ...], key: tuple[str, ...], target: str) -> RowReport:
    """Judge one file: one scan that counts rows which keep every promise, a second one of columns that broke one."""
    report = RowReport(table.split, table.path)
    try:
        report.problems += _missing(table, [*key, target, *(signal.name for signal in signals)])
        if not report.problems:
            _scan(table, report, [_Column(table, signal, key) for signal in signals], key, target)
    except Failed as error:
        report.problems.append(error.message)
    return report


def _missing(table: Table, wanted: list[str]) -> Iterator[str]:
    for column in wanted:
        if column not in table.columns:
            yield f"there is no column {column!r}{meant(column, table.columns, 'is it')}"


def _scan(table: Table, report: RowReport, columns: list[_Column], key: tuple[str, ...], target: str) -> None:
    report.problems += [problem for column in columns for problem in column.form()]
    columns = [column for column in columns if column.numeric]
    whole = list(dict.fromkeys([*key, target]))
    asked = ["count(*)", *(f"count({quoted(column)})" for column in whole), *(column.kept() for column in columns)]
    with ThreadPoolExecutor(1) as beside:  # looking for repeated keys sorts on one core, the scan has the others
        repeated = beside.submit(_seems_repeated, table, key)
        rows, *counts = table.query(f"SELECT {', '.join(asked)} FROM {table.source}")[0]
        report.rows = rows
        if not rows:
            report.problems.append("has no rows")
            return
        given = dict(zip(whole, counts, strict=False))
        report.problems += [
            f"{column} is null in {rows - count} of {rows} rows" for column, count in given.items() if count < rows
        ]
        if all(given[column] == rows for column in key) and repeated.result():
            report.problems += _repeated(table, key, rows)
    for column, count in zip(columns, counts[len(whole) :], strict=True):
        if count < rows:
            report.problems += column.detail(report) or [f"{column.name} breaks its promise in {rows - count} rows"]


def _seems_repeated(table: Table, key: tuple[str, ...]) -> bool:
    """Whether two keys have one hash: eight bytes a row, sorted here, which is several times faster than grouping."""
    hashed = f"hash({', '.join(quoted(column) for column in key)})"
    (rows,) = table.query(f"SELECT count(*) FROM {table.source}")[0]
    if rows > SORTED:
        return table.query(f"SELECT count(DISTINCT {hashed}) FROM {table.source}")[0][0] < rows
    hashes = table.numbers(f"SELECT {hashed} FROM {table.source}")
    hashes.sort()
    return bool((hashes[1:] == hashes[:-1]).any())


def _repeated(table: Table, key: tuple[str, ...], rows: int) -> Iterator[str]:
    """Rows whose keys are equal; equal hashes only gave the suspicion."""
    keys = ", ".join(quoted(column) for column in key)
    shown = ", ".join(f"CAST({quoted(column)} AS VARCHAR)" for column in key)
    groups = f"SELECT [{shown}] AS shown, count(*) AS times, min(file_row_number) AS row FROM {table.numbered}"
    extra, first = table.query(
        f"SELECT sum(times - 1), arg_min(shown, row) FROM ({groups} GROUP BY {keys} HAVING count(*) > 1)"
    )[0]
    if extra:
        yield f"{extra} of {rows} rows repeat the key of another (first: {_format_key(key, first)})"


class _Column:
    """One input's column. Its values are flattened: a row holds as many as the product of the signal's shape."""

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
        """The signal's name."""
        return self._signal.name

    @property
    def numeric(self) -> bool:
        """Whether it holds what the signal's shape says: numbers, or lists of them."""
        return self._depth is not None and (self._depth > 0) == bool(self._signal.shape)

    def form(self) -> Iterator[str]:
        """What unit and type say, before any row is read."""
        signal = self._signal
        stated = self._table.units.get(signal.name)
        if stated is not None and stated != signal.unit:
            yield f"{signal.name} is in {stated}, the contract says {signal.unit}"
        if not self.numeric:
            yield f"{signal.name} is of type {self._table.columns[signal.name]}, not {self._wanted()}"

    def kept(self) -> str:
        """SQL of how many rows keep every promise; NaN is the greatest to duckdb, null is never counted.

        `count_if` takes half the time of `count(*) FILTER`, and gives null where every value is.
        """
        low, high, length, count = self._parts()
        bottom, top = self._bounds()
        if self._depth == 0:
            return f"coalesce(count_if({low} BETWEEN {bottom} AND {top}), 0)"
        whole = f"{length} = {self._size} AND {count} = {self._size}"
        return f"coalesce(count_if({whole} AND {low} >= {bottom} AND {high} <= {top}), 0)"

    def _bounds(self) -> tuple[str, str]:
        """The range as numbers of the column's own type, so that no value is converted; exact for single precision."""
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
        """What is wrong, counted and with the first rows, by a second scan; told to `report` as well."""
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
        asked = ", ".join(
            f"count(*) FILTER (WHERE {test}), arg_min([{struct}], row, {FIRST}) FILTER (WHERE {test})"
            for test in tests.values()
        )
        answer = self._table.query(
            f"SELECT {asked}, min(low) FILTER (WHERE isfinite(low)), max(high) FILTER (WHERE isfinite(high))"
            f" FROM (SELECT file_row_number AS row, {keys},"
            f" CAST({low} AS DOUBLE) AS low, CAST({high} AS DOUBLE) AS high, {length} AS length, {count} AS given,"
            f" {name(self._signal.name)} IS NOT NULL AS present"
            f" FROM {self._table.numbered})"
        )[0]
        found = dict(zip(tests, zip(answer[:-2:2], answer[1:-2:2], strict=True), strict=True))
        *_, lowest, highest = answer
        report.signals[self._signal.name] = {
            "lowest": lowest,
            "highest": highest,
            **{f"rows_{kind}": count for kind, (count, _) in found.items()},
            "first": {
                kind: [dict(zip(self._key, row, strict=True)) for row in first or ()]
                for kind, (_, first) in found.items()
            },
        }
        return [
            f"{self._words(kind, lowest, highest)} in {count} of {report.rows} rows"
            f" (first: {_format_key(self._key, first[0])})"
            for kind, (count, first) in found.items()
            if count
        ]

    def _words(self, kind: str, lowest: float, highest: float) -> str:
        signal = self._signal
        if kind == "length":
            return f"{signal.name} has not {self._size} values"
        if kind == "null":
            return f"{signal.name} is null"
        if kind == "infinite":
            return f"{signal.name} is not finite"
        above, below = highest - signal.range[1], signal.range[0] - lowest
        unit = "" if signal.unit == "1" else f" {signal.unit}"
        return f"{signal.name} reaches {highest if above >= below else lowest:.4g}{unit}, outside {_format_range(signal)},"

    def _wanted(self) -> str:
        shape = " x ".join(str(length) for length in self._signal.shape)
        return f"lists of {shape} numbers" if shape else "numbers"


def _format_range(signal: Signal) -> str:
    unit = "" if signal.unit == "1" else f" {signal.unit}"
    return f"[{signal.range[0]:g}, {signal.range[1]:g}]{unit}"


def _format_key(columns: tuple[str, ...], values: Any) -> str:
    return ", ".join(f"{column} {str(value)[:60]}" for column, value in zip(columns, values, strict=False))
