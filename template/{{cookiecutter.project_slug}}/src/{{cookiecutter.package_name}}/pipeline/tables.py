"""Parquet in and out: the same rows always give the same bytes. Arrays have their shape from the contract."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from .contract import Output, Signal

Arrays = dict[str, np.ndarray]
"""Name of a signal -> shape (rows, *shape of the contract): float64 of scalars, float32 of arrays."""


@dataclass(frozen=True)
class Rows:
    """Rows of a split: every column that is no array, and as arrays the inputs and the targets.

    `targets` has for each output that names a target its values, by the name of the output; numbers, or text.
    """

    table: pd.DataFrame
    inputs: Arrays
    targets: Arrays

    def __len__(self) -> int:
        """Number of rows."""
        return len(self.table)

    def take(self, rows: np.ndarray) -> Rows:
        """The rows with these numbers, in this order, as often as they are given."""
        inputs, targets = ({name: values[rows] for name, values in one.items()} for one in (self.inputs, self.targets))
        return Rows(self.table.iloc[rows].reset_index(drop=True), inputs, targets)


def kind_of(shape: tuple[int, ...]) -> np.dtype:
    """The type of numbers of a signal; scalars, such as a frequency in Hz, need more digits than samples do."""
    return np.dtype(np.float32 if shape else np.float64)


def read_rows(path: str | Path, inputs: Iterable[Signal] = (), outputs: Iterable[Output] = ()) -> Rows:
    """Read a split with these inputs, and the targets of these outputs."""
    table = pq.read_table(path)
    plain = [field.name for field in table.schema if not pa.types.is_nested(field.type)]
    return Rows(
        table=table.select(plain).to_pandas(),
        inputs={signal.name: _array(table, signal.name, signal.shape, path) for signal in inputs},
        targets={output.name: _target(table, output.target, output.shape, path) for output in outputs if output.target},
    )


def read_arrays(path: str | Path, signals: Iterable[Signal | Output]) -> Arrays:
    """A table of arrays, such as scores."""
    table = pq.read_table(path)
    return {signal.name: _array(table, signal.name, signal.shape, path) for signal in signals}


def read_table(path: str | Path, columns: list[str] | None = None) -> pd.DataFrame:
    """Read a table as it is; arrays are objects."""
    return pd.read_parquet(path, columns=columns)


def ends(times: pd.Series) -> tuple[str, str]:
    """The first and the last time, after ISO 8601."""
    try:
        return times.min().isoformat(), times.max().isoformat()
    except (AttributeError, TypeError):
        raise SystemExit(
            f"{times.name!r} is dataset.split.time in contract.yaml, and holds no times: make some of them, as "
            "pd.to_datetime does"
        ) from None


def write_table(table: pd.DataFrame, path: str | Path) -> None:
    """Write a table; a column may hold arrays of one shape, also of several dimensions."""
    deep = {name: _stacked(table[name], str(name)) for name in table.columns if _is_deep(table[name])}
    arrow = pa.Table.from_pandas(table.drop(columns=list(deep)).reset_index(drop=True), preserve_index=False)
    for name, values in deep.items():
        arrow = arrow.append_column(name, _nested(values))
    _write(arrow.select(list(table.columns)), Path(path))


def write_arrays(arrays: Arrays, path: str | Path) -> None:
    """Write a table with a column for each array."""
    _write(pa.table({name: _nested(values) for name, values in arrays.items()}), Path(path))


def _write(table: pa.Table, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.part")
    pq.write_table(table, temporary, compression="zstd")
    temporary.replace(path)


def _target(table: pa.Table, name: str, shape: tuple[int, ...], path: str | Path) -> np.ndarray:
    if name in table.column_names and not shape and pa.types.is_string(table.schema.field(name).type):
        return table.column(name).to_numpy().astype(str)
    return _array(table, name, shape, path)


def _array(table: pa.Table, name: str, shape: tuple[int, ...], path: str | Path) -> np.ndarray:
    if name not in table.column_names:
        raise SystemExit(f"{path}: there is no column {name!r}, which contract.yaml names")
    column = table.column(name).combine_chunks()
    while pa.types.is_nested(column.type):
        column = column.flatten()
    if len(column) != table.num_rows * math.prod(shape):
        raise SystemExit(f"{path}: {name!r} does not have the shape {list(shape)} of contract.yaml in each row")
    try:
        values = column.to_numpy(zero_copy_only=False).astype(kind_of(shape))
    except (TypeError, ValueError):
        raise SystemExit(f"{path}: {name!r} is not a number in each row") from None
    return values.reshape(table.num_rows, *shape)


def _is_deep(column: pd.Series) -> bool:
    return column.dtype == object and len(column) > 0 and np.ndim(column.iloc[0]) > 1


def _stacked(column: pd.Series, name: str) -> np.ndarray:
    try:
        return np.stack([np.asarray(value) for value in column])
    except ValueError:
        raise SystemExit(f"arrays of {name!r} have several shapes") from None


def _nested(values: np.ndarray) -> pa.Array:
    """Shape (rows, *shape) as numbers, lists, or lists of lists."""
    column = pa.array(np.ascontiguousarray(values).reshape(-1))
    for length in reversed(values.shape[1:]):
        column = pa.FixedSizeListArray.from_arrays(column, length)
    return column
