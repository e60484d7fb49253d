"""The group of each row of the evaluation's inputs, by a column of the inputs or of the device table."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from beampermit.contract import FILE_NAME, Contract
from beampermit.datasets.devices import read_device_table
from beampermit.datasets.tables import connect
from beampermit.errors import BadInput, Failed
from beampermit.project import Project

if TYPE_CHECKING:
    import numpy as np

MOST_GROUPS = 500
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
    return [np.array([str(row[index]) for row in rows], dtype=str) for index in range(len(names))]


def column_names(table: Path) -> list[str]:
    import duckdb

    try:
        with connect() as connection:
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
