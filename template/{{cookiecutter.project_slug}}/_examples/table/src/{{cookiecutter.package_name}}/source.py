"""Example: replace with yours. The rows of a table in Parquet, by the names that contract.yaml has for its columns."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
from pydantic import BaseModel, ConfigDict, Field

from .pipeline import contract, tables

ROW = "row"
"""The column that numbers the rows, which is the key."""


class Part(BaseModel):
    """An option that is not known is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Class(Part):
    """A value of a column."""

    column: str
    value: str


class Options(Part):
    """`dataset.request.options` of contract.yaml."""

    path: Path
    """The table, below data/; `dvc add` keeps it."""
    key: str | None = None
    """Its column that numbers the rows; they are counted where there is none."""
    epoch: Literal["s", "ms", "us", "ns"] | None = None
    """Unit of a time that is a number, since 1970."""
    columns: dict[str, str] = {}
    """Signal -> its column, where the two have different names."""
    values: dict[str, tuple[str, ...]] = {}
    """Input -> the texts that it chooses from; it has their places 0, 1, ..."""
    quantities: tuple[str, ...] = ()
    """Targets that are numbers."""
    classes: dict[str, Class] = {}
    """Target -> the value for which it is 1; for others it is 0."""
    rows: int | None = Field(default=None, gt=0)
    """At most so many rows, evenly taken."""


def acquire(source: str, options: Mapping[str, Any]) -> pd.DataFrame:
    """The rows of the table that have a value of everything that is used: key, time, inputs, targets, other columns.

    `source` and `options` are those of `dataset.request` in contract.yaml. Raises `ValueError` for what it cannot answer.
    """
    if source != "table":
        raise ValueError(f"source: {source!r} is not table")
    chosen = Options.model_validate(options)
    if not chosen.path.is_file():
        raise ValueError(f"options.path: there is no {chosen.path}; dvc pull brings it")
    part = contract.of(contract.ForRequest)
    given = tables.read_table(chosen.path).reset_index(drop=True)
    row = given[chosen.key] if chosen.key else np.arange(len(given))
    inputs = [signal.name for signal in part.inputs if signal.value is None]
    used = [*inputs, *chosen.quantities]
    new = {ROW: row, **{name: _column(given, chosen.columns.get(name, name)) for name in used}}
    if part.time:
        new[part.time] = _times(_column(given, part.time), chosen.epoch)
    truths = {name: _column(given, one.column) for name, one in chosen.classes.items()}
    table = _without(given, {*new, *truths}).assign(**new, **truths)
    table = table[_complete(table, [*new, *truths])]
    for name, texts in chosen.values.items():
        table = table.assign(**{name: _places(table[name], texts, name)})
    table = table.assign(**{name: _is(table[name], one.value) for name, one in chosen.classes.items()})
    if chosen.rows and len(table) > chosen.rows:
        table = table.iloc[np.linspace(0, len(table) - 1, chosen.rows).round().astype(int)]
    return table.reset_index(drop=True)


def _without(table: pd.DataFrame, names: set[str]) -> pd.DataFrame:
    """The table without columns of these names: to SQL, `X` and `x` are one."""
    taken = {name.casefold() for name in names}
    return table[[name for name in table.columns if name.casefold() not in taken]]


def _column(table: pd.DataFrame, name: str) -> pd.Series:
    if name not in table.columns:
        raise ValueError(f"the table has no column {name!r}")
    return table[name]


def _times(column: pd.Series, epoch: str | None) -> pd.Series:
    """Times in UTC; what states no zone is taken for UTC."""
    return pd.to_datetime(column, unit=epoch, utc=True) if epoch else pd.to_datetime(column, utc=True)


def _complete(table: pd.DataFrame, needed: list[str]) -> np.ndarray:
    """Which rows have a value in each of these columns, of numbers a finite one."""
    whole = table[needed].notna().all(axis=1).to_numpy()
    for name in needed:
        if pd.api.types.is_float_dtype(table[name]):
            whole = whole & np.isfinite(table[name].to_numpy(np.float64))
    return whole


def _places(column: pd.Series, texts: tuple[str, ...], name: str) -> pd.Series:
    places = column.map({text: place for place, text in enumerate(texts)})
    if places.isna().any():
        raise ValueError(f"options.values.{name} lacks {column[places.isna()].iloc[0]!r}, which the table has")
    return places.astype(np.float64)


def _is(column: pd.Series, value: str) -> pd.Series:
    """1 where the column has this value, else 0."""
    if pd.api.types.is_bool_dtype(column) or column.map(lambda one: isinstance(one, bool)).all():
        return (column.astype(bool) == (value == "true")).astype(np.int8)
    if pd.api.types.is_numeric_dtype(column):
        return (column == float(value)).astype(np.int8)
    return (column.astype(str) == value).astype(np.int8)
