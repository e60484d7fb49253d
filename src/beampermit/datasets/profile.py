"""Statistics of a table: rows, times and gaps, label balance, ranges, small histograms."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, field
from datetime import timedelta
from typing import Any

from beampermit.contract import Contract
from beampermit.datasets.overlap import EPOCH
from beampermit.datasets.tables import Table, quoted

BINS = 24
SAMPLE = 2_000_000
"""Values of a signal that histograms and quantiles are computed from; extremes and means are of all values."""
GAP = 10
"""A step in time longer than this many median steps is a gap."""
VALUES = 40
"""Most values of a target that are listed."""
CLASSES = 12
"""A target of whole numbers with more values than this is a measured quantity, and no class."""
Span = tuple[float, float]


@dataclass(frozen=True)
class ColumnRoles:
    """The roles of columns; empty if unknown."""

    key: tuple[str, ...] = ()
    targets: tuple[str, ...] = ()
    time: str | None = None
    groups: tuple[str, ...] = ()
    signals: tuple[str, ...] = ()
    units: dict[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, contract: Contract) -> ColumnRoles:
        dataset = contract.dataset
        inputs = tuple(signal for signal in contract.signals.inputs if signal.source != "constant")
        outputs = {signal.target: signal for signal in contract.signals.outputs if signal.target}
        return cls(
            dataset.key,
            tuple(dict.fromkeys(name for name in (dataset.target, *outputs) if name)),
            dataset.split.time,
            dataset.split.by,
            tuple(signal.name for signal in inputs),
            {signal.name: signal.unit for signal in inputs} | {name: signal.unit for name, signal in outputs.items()},
        )

    @classmethod
    def guess(cls, tables: list[Table]) -> ColumnRoles:
        """For tables without a contract: each column of numbers or lists of numbers is a signal."""
        names = dict.fromkeys(column for table in tables for column in table.columns)
        return cls(signals=tuple(n for n in names if all(_numeric(table, n) for table in tables if n in table.columns)))


@dataclass(frozen=True)
class SignalProfile:
    """Statistics of one column; `quantiles`: 5, 50 and 95 %; `bins`: a histogram over `span`."""

    values: int
    missing: int
    lowest: float | None
    highest: float | None
    mean: float | None
    deviation: float | None
    quantiles: tuple[float, ...] = ()
    span: Span | None = None
    bins: tuple[int, ...] = ()


@dataclass(frozen=True)
class TimeProfile:
    """First and last time, ISO 8601 in UTC; median and longest step, seconds; number of gaps."""

    first: str
    last: str
    step: float | None
    longest: float | None
    gaps: int


@dataclass(frozen=True)
class TableProfile:
    """`balance`: target -> value -> rows, the most frequent first. A target that is a quantity is among `signals`."""

    name: str
    rows: int
    columns: dict[str, str]
    groups: dict[str, int]
    balance: dict[str, dict[str, int]]
    times: TimeProfile | None
    signals: dict[str, SignalProfile]

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


def profile(table: Table, roles: ColumnRoles, spans: dict[str, Span] | None = None) -> TableProfile:
    """The profile of a table. Histograms are over `spans`, by default over its own 0.5 to 99.5 % quantiles.

    Columns that it does not have are left out. Raises `Failed` if it cannot be read.
    """
    (rows,) = table.query(f"SELECT count(*) FROM {table.source}")[0]
    columns = table.columns
    groups = [column for column in roles.groups if column in columns]
    counted = ", ".join(f"count(DISTINCT {quoted(column)})" for column in groups)
    values = table.query(f"SELECT {counted} FROM {table.source}")[0] if groups else ()
    targets = [column for column in roles.targets if column in columns]
    measured = [
        column
        for column in targets
        if _numeric(table, column) and (column in (spans or {}) or _is_measured(table, column))
    ]
    signals = [column for column in roles.signals if column in columns and _numeric(table, column)]
    return TableProfile(
        table.split,
        rows,
        dict(columns),
        dict(zip(groups, values, strict=True)),
        {column: _balance(table, column) for column in targets if column not in measured},
        _time_profile(table, roles.time) if roles.time in columns and rows else None,
        {
            column: _signal_profile(table, column, rows, (spans or {}).get(column))
            for column in dict.fromkeys([*signals, *measured])
        },
    )


def _numeric(table: Table, column: str) -> bool:
    return table.dimensions(column) is not None and table.columns[column] != "BOOLEAN"


def _is_measured(table: Table, column: str) -> bool:
    """Whether a target of numbers is a quantity, of which a histogram tells more than a list of its values."""
    if table.dimensions(column):
        return True
    value = f"CAST({quoted(column)} AS DOUBLE)"
    different, fractional = table.query(
        f"SELECT count(DISTINCT {value}), count(*) FILTER (WHERE isfinite({value}) AND {value} <> floor({value}))"
        f" FROM {table.source}"
    )[0]
    return different > CLASSES or fractional > 0


def _balance(table: Table, target: str) -> dict[str, int]:
    counts = table.query(
        f"SELECT coalesce(CAST({quoted(target)} AS VARCHAR), 'null'), count(*) AS count FROM {table.source}"
        f" GROUP BY 1 ORDER BY count DESC, 1 LIMIT {VALUES}"
    )
    return dict(counts)


def _time_profile(table: Table, column: str | None) -> TimeProfile | None:
    if column is None or not table.is_time(column):
        return None
    time = table.microseconds(column)
    first, last, step, longest = table.query(
        f"SELECT min(moment), max(moment), median(step), max(step) FROM"
        f" (SELECT moment, moment - lag(moment) OVER (ORDER BY moment) AS step FROM"
        f" (SELECT DISTINCT {time} AS moment FROM {table.source} WHERE {time} IS NOT NULL))"
    )[0]
    if first is None:
        return None
    gaps = 0
    if step:
        each = f"SELECT DISTINCT {time} AS moment FROM {table.source}"
        (gaps,) = table.query(
            f"SELECT count(*) FILTER (WHERE step > {GAP * float(step)})"
            f" FROM (SELECT moment - lag(moment) OVER (ORDER BY moment) AS step FROM ({each}))"
        )[0]
    return TimeProfile(_iso_time(first), _iso_time(last), _seconds(step), _seconds(longest), gaps)


def _iso_time(microseconds: int) -> str:
    return (EPOCH + timedelta(microseconds=microseconds)).isoformat().replace("+00:00", "Z")


def _seconds(microseconds: float | None) -> float | None:
    return None if microseconds is None else float(microseconds) / 1e6


def _signal_profile(table: Table, column: str, rows: int, span: Span | None) -> SignalProfile:
    depth = table.dimensions(column) or 0
    values = quoted(column)
    for _ in range(depth - 1):
        values = f"flatten({values})"
    whole = f"SELECT {f'unnest({values})' if depth else values} AS value FROM {table.source}"
    count, missing, low, high, mean, deviation = table.query(
        "SELECT count(*), count(*) FILTER (WHERE v IS NULL OR NOT isfinite(v)),"
        " min(v) FILTER (WHERE isfinite(v)), max(v) FILTER (WHERE isfinite(v)),"
        " avg(v) FILTER (WHERE isfinite(v)), stddev_pop(v) FILTER (WHERE isfinite(v))"
        f" FROM (SELECT CAST(value AS DOUBLE) AS v FROM ({whole}))"
    )[0]
    if low is None:
        return SignalProfile(count, missing, None, None, None, None)
    every = max(1, math.ceil(count / SAMPLE)) if rows else 1
    element = f"unnest({values})" if depth else values
    some = f"SELECT {element} AS value FROM {table.numbered} WHERE file_row_number % {every} = 0"
    sample = f"(SELECT CAST(value AS DOUBLE) AS v FROM ({some}) WHERE isfinite(CAST(value AS DOUBLE)))"
    quantiles = table.query(f"SELECT quantile_cont(v, [0.005, 0.05, 0.5, 0.95, 0.995]) FROM {sample}")[0][0]
    if not quantiles:
        return SignalProfile(count, missing, low, high, mean, deviation)
    start, end = span or (quantiles[0], quantiles[-1])
    if end <= start:
        start, end = start - 0.5, start + 0.5
    bin_number = f"least(greatest(floor((v - {start!r}) / {end / BINS - start / BINS!r}), 0), {BINS - 1})"
    counts = dict(table.query(f"SELECT CAST({bin_number} AS INTEGER) AS bin, count(*) FROM {sample} GROUP BY bin"))
    bins = tuple(counts.get(number, 0) for number in range(BINS))
    return SignalProfile(count, missing, low, high, mean, deviation, tuple(quantiles[1:4]), (start, end), bins)
