"""Whether the rows of a split meet the contract."""

from __future__ import annotations

import math
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

from beampermit.contract import Contract, Signal
from beampermit.datasets.arrays import flattened, has_shape
from beampermit.datasets.column_rules import ColumnRule
from beampermit.datasets.tables import Table, quoted, sql_text
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
    table: Table,
    signals: tuple[Signal, ...],
    key: tuple[str, ...],
    target: str | None,
    time: str | None = None,
    rules: tuple[ColumnRule, ...] = (),
) -> RowReport:
    """Check one file: one scan counts the valid rows of each column, a second one explains the invalid ones.

    `time` is the column with the time of each row; DAT005 reports where it is missing, null or of another type. `rules`
    are about columns that are no inputs; without one, a `target` of numbers must be finite.
    """
    rules = (*map(ColumnRule.of, signals), *rules)
    report = RowReport(table.split, table.path)
    try:
        required = (*key, target) if target else key
        report.problems += _missing(table, [*required, *(rule.column for rule in rules)])
        if not report.problems:
            if target and all(rule.column != target for rule in rules) and table.dimensions(target) == 0:
                rules = (*rules, ColumnRule(target))
            _scan(table, report, [_column(table, rule, key) for rule in rules], key, required)
            report.problems += _odd_times(table, time, key)
    except Failed as error:
        report.problems.append(error.message)
    return report


def _missing(table: Table, required: list[str]) -> Iterator[str]:
    for column in dict.fromkeys(required):
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
            f"{column} is not a time of the years 1 to 9999 in {count} of {rows} rows"
            f" (first: {str(shown)[:40]}, {_format_key(key, first)}): is its unit right?"
        )


def _scan(
    table: Table, report: RowReport, columns: list[_Numbers | _Text], key: tuple[str, ...], required: tuple[str, ...]
) -> None:
    report.problems += [problem for column in columns for problem in column.type_problems()]
    columns = [column for column in columns if column.readable]
    required = tuple(dict.fromkeys(required))
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


def _column(table: Table, rule: ColumnRule, key: tuple[str, ...]) -> _Numbers | _Text:
    return _Text(table, rule, key) if rule.values else _Numbers(table, rule, key)


class _Text:
    """A column with a list of allowed values: text, or whole numbers and booleans as they are written."""

    def __init__(self, table: Table, rule: ColumnRule, key: tuple[str, ...]):
        self._table = table
        self._rule = rule
        self._key = key
        self._value = f"CAST({quoted(rule.column)} AS VARCHAR)"

    @property
    def name(self) -> str:
        return self._rule.column

    @property
    def readable(self) -> bool:
        kind = self._table.columns[self.name]
        whole = self._table.dimensions(self.name) == 0 and not kind.startswith(("FLOAT", "DOUBLE", "DECIMAL"))
        return whole or kind == "VARCHAR" or kind.startswith("ENUM(")

    def type_problems(self) -> Iterator[str]:
        """A problem of type, before any row is read."""
        if not self.readable:
            yield f"{self.name} has type {self._table.columns[self.name]}, not text with one of its declared values"

    def valid_count(self) -> str:
        """SQL of the number of valid rows."""
        return f"coalesce(count_if({self._value} IN ({', '.join(map(sql_text, self._rule.values))})), 0)"

    def detail(self, report: RowReport) -> list[str]:
        """Nulls, and the first value that is not allowed, with its row."""
        values, column = ", ".join(map(sql_text, self._rule.values)), quoted(self.name)
        keys = ", ".join(f"CAST({quoted(name)} AS VARCHAR)" for name in self._key)
        other = f"{column} IS NOT NULL AND {self._value} NOT IN ({values})"
        nulls, count, first, row = self._table.query(
            f"SELECT count(*) FILTER (WHERE {column} IS NULL), count(*) FILTER (WHERE {other}),"
            f" arg_min({self._value}, file_row_number) FILTER (WHERE {other}),"
            f" arg_min([{keys}], file_row_number) FILTER (WHERE {other}) FROM {self._table.numbered}"
        )[0]
        problems = [f"{self.name} is null in {nulls} of {report.rows} rows"] if nulls else []
        if count:
            close = did_you_mean(first, self._rule.values, "is it") or f"; allowed are {', '.join(self._rule.values)}"
            where = f"{count} of {report.rows} rows (first: {_format_key(self._key, row)})"
            problems.append(f"{self.name} has a value that is not declared, {first[:60]!r}, in {where}{close}")
        return problems


class _Numbers:
    """A column of numbers or arrays, which may be lists of lists in the shape of a row, or flat lists."""

    def __init__(self, table: Table, rule: ColumnRule, key: tuple[str, ...]):
        self._table = table
        self._rule = rule
        self._key = key
        self._size = math.prod(rule.shape)
        self._depth = table.dimensions(rule.column)
        self._column = quoted(rule.column)
        self._values = flattened(self._column, self._depth or 0)
        if table.columns[rule.column] == "BOOLEAN":
            self._values = f"CAST({self._values} AS TINYINT)"

    @property
    def name(self) -> str:
        return self._rule.column

    @property
    def readable(self) -> bool:
        """Whether the type fits the shape of a row: numbers, lists of lists as deep as the shape, or flat lists."""
        depth, dimensions = self._depth, len(self._rule.shape)
        return depth == dimensions or (depth == 1 and dimensions > 1)

    def type_problems(self) -> Iterator[str]:
        """Problems of unit and type, before any row is read."""
        rule = self._rule
        stated = self._table.units.get(rule.column)
        if stated is not None and rule.unit is not None and stated != rule.unit:
            yield f"{rule.column} is in {stated}, the contract says {rule.unit}"
        if not self.readable:
            yield f"{rule.column} has type {self._table.columns[rule.column]}, not {self._expected_type()}"

    def valid_count(self) -> str:
        """SQL of the number of valid rows. To duckdb, NaN is the greatest number; null is never counted.

        `count_if` takes half the time of `count(*) FILTER`, and is null if every value is.
        """
        low, high, _, count = self._parts()
        bottom, top = self._bounds()
        if self._depth == 0:
            whole = f" AND {low} = trunc({low})" if self._rule.words else ""
            return f"coalesce(count_if({low} BETWEEN {bottom} AND {top}{whole}), 0)"
        complete = f"{self._shaped()} AND {count} = {self._size}"
        return f"coalesce(count_if({complete} AND {low} >= {bottom} AND {high} <= {top}), 0)"

    def _shaped(self) -> str:
        return has_shape(self._column, self._depth, self._rule.shape) if self._depth else "true"

    def _bounds(self) -> tuple[str, str]:
        """The range in the column's own type, so that no value is converted; rounded inwards to single precision."""
        bottom, top = self._rule.range
        if not self._table.columns[self.name].startswith("FLOAT"):
            return f"{bottom!r}::DOUBLE", f"{top!r}::DOUBLE"
        import numpy as np

        with np.errstate(over="ignore"):
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
        bottom, top = self._rule.range
        tests = {
            "length": "present AND NOT shaped",
            "null": "NOT present OR given < length",
            "infinite": "isnan(high) OR isinf(high) OR isinf(low)",
            "outside": f"isfinite(low) AND isfinite(high) AND (low < {bottom!r} OR high > {top!r})",
        }
        if self._rule.words:
            tests["no word"] = f"isfinite(low) AND low BETWEEN {bottom!r} AND {top!r} AND low <> trunc(low)"
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
            f" {self._column} IS NOT NULL AS present, coalesce({self._shaped()}, false) AS shaped"
            f" FROM {self._table.numbered})"
        )[0]
        violations = dict(zip(tests, zip(result[:-2:2], result[1:-2:2], strict=True), strict=True))
        *_, lowest, highest = result
        report.signals[self.name] = {
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
        rule, shape = self._rule, " x ".join(map(str, self._rule.shape))
        if kind == "length":
            return f"{rule.column} {f'is not {shape}' if self._depth != 1 else f'does not have {self._size} values'}"
        if kind == "null":
            return f"{rule.column} is null"
        if kind == "infinite":
            return f"{rule.column} is not finite"
        if kind == "no word":
            return f"{rule.column} has numbers that stand for no word ({rule.unit})"
        above, below = highest - rule.range[1], rule.range[0] - lowest
        unit = "" if rule.unit in (None, "1") or rule.words else f" {rule.unit}"
        extreme = highest if above >= below else lowest
        reached = next(text for digits in (4, 8, 17) if not _inside(text := f"{extreme:.{digits}g}", rule.range))
        return f"{rule.column} reaches {reached}{unit}, outside [{rule.range[0]:g}, {rule.range[1]:g}]{unit},"

    def _expected_type(self) -> str:
        if self._rule.words:
            return f"the numbers of its words ({self._rule.unit}), as `beampermit data request` writes them"
        shape = " x ".join(str(length) for length in self._rule.shape)
        return f"lists of {shape} numbers" if shape else "numbers"


def _inside(text: str, span: tuple[float, float]) -> bool:
    return span[0] <= float(text) <= span[1]


def _format_key(columns: tuple[str, ...], values: Any) -> str:
    return ", ".join(f"{column} {str(value)[:60]}" for column, value in zip(columns, values, strict=False))
