"""Which group each row of the evaluation belongs to, by a column of its inputs or of the device table, and which rows
depend on each other.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from beampermit.contract import FILE_NAME, Contract
from beampermit.datasets.devices import device_table
from beampermit.datasets.tables import connect
from beampermit.errors import BadInput, Failed
from beampermit.project import Project

if TYPE_CHECKING:
    import numpy as np

MOST = 500
UNKNOWN = "(not in the device table)"


def read_columns(table: Path, names: Sequence[str]) -> list[np.ndarray]:
    """Columns of a Parquet table in the order of its rows, as text, shape (rows,) each. Raises `BadInput`."""
    import duckdb
    import numpy as np

    try:
        with connect() as connection:
            selected = connection.read_parquet(str(table)).select(*(duckdb.ColumnExpression(name) for name in names))
            rows = selected.fetchall()
    except duckdb.Error as error:
        raise BadInput(f"cannot be read: {str(error).splitlines()[0]}", file=table.name) from None
    return [np.array([str(row[place]) for row in rows], dtype=str) for place in range(len(names))]


def column_names(table: Path) -> list[str]:
    """The columns of a Parquet table."""
    import duckdb

    try:
        with connect() as connection:
            return connection.read_parquet(str(table)).columns
    except duckdb.Error as error:
        raise BadInput(f"no Parquet table: {str(error).splitlines()[0]}", file=table.name) from None


def dependent_columns(table: Path, contract: Contract) -> list[str]:
    """Columns that say which rows depend on each other: those that a split must not share, or else the key.

    Raises `Failed` where the table has none of them.
    """
    names = column_names(table)
    by = [name for name in contract.dataset.split.by if name in names]
    found = by or [name for name in contract.dataset.key if name in names]
    if not found:
        what = ", ".join(dict.fromkeys([*contract.dataset.split.by, *contract.dataset.key]))
        raise Failed(f"the evaluation's inputs have none of the columns {what} to resample by", file=FILE_NAME)
    return found


def row_groups(project: Project, contract: Contract, by: str) -> np.ndarray:
    """The group of each row, shape (rows,), text. Raises `Failed` for a column that is nowhere, or no group at all."""
    inputs = project.path(contract.evaluation.inputs)
    found = read_columns(inputs, [by])[0] if by in column_names(inputs) else _of_devices(project, contract, inputs, by)
    number = len(set(found.tolist()))
    if number > MOST:
        raise Failed(f"{by!r} has {number} values, and groups are {MOST} at most", file=FILE_NAME)
    return found


def _of_devices(project: Project, contract: Contract, inputs: Path, by: str) -> np.ndarray:
    import numpy as np

    name = contract.signals.devices
    rows = [row for _, row in device_table(project.root, name)[1]] if name else []
    if not rows or by not in rows[0]:
        where = f"{contract.evaluation.inputs} nor of {name}" if name else contract.evaluation.inputs
        raise Failed(f"{by!r}, which a gate of subgroups names, is no column of {where}", file=FILE_NAME)
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
