"""The group of each row of the evaluation's inputs, and resamples that draw whole groups with their intervals."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from beampermit.contract import FILE_NAME, Contract
from beampermit.datasets.devices import read_device_table
from beampermit.datasets.tables import connect_to_read
from beampermit.errors import BadInput, Failed
from beampermit.project import Project
from beampermit.verdicts.evidence import Interval

if TYPE_CHECKING:
    import numpy as np

MOST_GROUPS = 500
UNKNOWN = "(not in the device table)"
SEED = 0
TIMES = 1000
FEWEST_TIMES = 200
MOST_COUNTS = 200_000_000
"""Limit of resamples x rows, at two bytes each: with many rows fewer resamples are drawn."""
TAIL = 0.05
"""Fraction of resamples below, and above, the interval: a one-sided test at 95 %, an interval of 90 %."""
DEFINED = 0.9
"""A metric that is defined in a smaller fraction of the resamples has no interval."""


def read_columns(table: Path, names: Sequence[str]) -> list[np.ndarray]:
    """Columns of a Parquet table in the order of its rows, as text, shape (rows,) each. Raises `BadInput`."""
    import duckdb
    import numpy as np

    try:
        with connect_to_read() as connection:
            selected = connection.read_parquet(str(table)).select(*(duckdb.ColumnExpression(name) for name in names))
            rows = selected.fetchall()
    except duckdb.Error as error:
        raise BadInput(f"cannot be read: {str(error).splitlines()[0]}", file=table.name) from None
    return [np.array([str(row[index]) for row in rows], dtype=str) for index in range(len(names))]


def column_names(table: Path) -> list[str]:
    import duckdb

    try:
        with connect_to_read() as connection:
            return connection.read_parquet(str(table)).columns
    except duckdb.Error as error:
        raise BadInput(f"not a Parquet table: {str(error).splitlines()[0]}", file=table.name) from None


def dependent_columns(table: Path, contract: Contract) -> list[str]:
    """Rows with equal values in these columns depend on each other: the columns of `dataset.split.by`, or else the key.

    Raises `Failed` where the table has none of them.
    """
    names = column_names(table)
    by = [name for name in contract.dataset.split.by if name in names]
    columns = by or [name for name in contract.dataset.key if name in names]
    if not columns:
        expected = ", ".join(dict.fromkeys([*contract.dataset.split.by, *contract.dataset.key]))
        raise Failed(f"the evaluation's inputs have none of the columns {expected} to resample by", file=FILE_NAME)
    return columns


def row_groups(project: Project, contract: Contract, inputs: Path, by: str) -> np.ndarray:
    """The group of each row of `inputs`, shape (rows,), text.

    Raises `Failed` for a missing column or too many values.
    """
    group = read_columns(inputs, [by])[0] if by in column_names(inputs) else _of_devices(project, contract, inputs, by)
    number = len(set(group.tolist()))
    if number > MOST_GROUPS:
        raise Failed(f"{by!r} has {number} values, and at most {MOST_GROUPS} groups are allowed", file=FILE_NAME)
    return group


def _of_devices(project: Project, contract: Contract, inputs: Path, by: str) -> np.ndarray:
    import numpy as np

    name = contract.signals.devices
    rows = [row for _, row in read_device_table(project.root, name)[1]] if name else []
    if not rows or by not in rows[0]:
        where = f"{contract.evaluation.inputs} or {name}" if name else contract.evaluation.inputs
        raise Failed(f"{by!r}, by which a gate groups rows, is not a column of {where}", file=FILE_NAME)
    shared = [column for column in column_names(inputs) if column in rows[0]]
    if not shared:
        raise Failed(f"{name} shares no column with {contract.evaluation.inputs}", file=name)
    group_of: dict[tuple[str, ...], str] = {}
    for row in rows:
        key = tuple(row[column] for column in shared)
        if group_of.setdefault(key, row[by]) != row[by]:
            raise Failed(f"{' '.join(key)} has two values of {by!r}", file=name)
    keys = zip(*(column.tolist() for column in read_columns(inputs, shared)), strict=True)
    return np.array([group_of.get(key, UNKNOWN) for key in keys], dtype=str)


def draw_counts(groups: Sequence[np.ndarray], times: int | None = None, seed: int = SEED) -> np.ndarray:
    """How often each row counts, shape (times + 1, rows), uint16; the first time each row counts once.

    `groups` are one or several crossing columns with the group of each row, shape (rows,) each. Of each column, whole
    groups are drawn with replacement, and a row counts the product: the pigeonhole bootstrap (A. B. Owen, Annals of
    Applied Statistics 1, 386, 2007), which errs towards wide intervals. With one column it is the cluster bootstrap;
    where every row is its own group, the plain one.
    """
    import numpy as np

    rows = len(groups[0])
    drawn = times or max(FEWEST_TIMES, min(TIMES, MOST_COUNTS // max(rows, 1)))
    rng = np.random.default_rng(seed)
    counts = np.ones((drawn + 1, rows), np.uint16)
    for column in groups:
        names, group_of_row = np.unique(column, return_inverse=True)
        number = len(names)
        drawn_groups = rng.multinomial(number, np.full(number, 1 / number), size=drawn).astype(np.uint16)
        counts[1:] *= drawn_groups[:, group_of_row]
    return counts


def interval(better: np.ndarray) -> Interval | None:
    """The interval of differences, shape (times + 1,), the first of all rows; None where too many are undefined."""
    found = quantile_range(better)
    return found and Interval(better=float(better[0]) + 0.0, low=found[0], high=found[1])


def quantile_range(values: np.ndarray) -> tuple[float, float] | None:
    """The quantiles `TAIL` and `1 - TAIL`; arguments and None as for `interval`."""
    import numpy as np

    resampled = values[1:][np.isfinite(values[1:])]
    if not np.isfinite(values[0]) or not len(resampled) or len(resampled) < DEFINED * (len(values) - 1):
        return None
    low, high = np.quantile(resampled, [TAIL, 1 - TAIL]) + 0.0  # no -0
    return float(low), float(high)
