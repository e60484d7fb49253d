"""A table of scores by our own look, and not by its writer's word."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from beampermit.errors import Tripped
from beampermit.probe.answers import Span


def spans(scores: Path) -> dict[str, Span]:
    """What the columns of a table of scores hold, by our own look and not its writer's word. Raises `Tripped`."""
    import duckdb

    from beampermit.datasets.database import connect

    try:
        with connect() as connection:
            table = connection.read_parquet(str(scores))
            return {name: _measure(table, name) for name in table.columns}
    except duckdb.Error as error:
        raise Tripped(f"the model's scores are no table of numbers: {str(error).splitlines()[0]}") from None


def rows(table: Path) -> int:
    """How many rows a Parquet table has. Raises `Tripped`."""
    import duckdb

    from beampermit.datasets.database import connect

    try:
        with connect() as connection:
            return connection.read_parquet(str(table)).aggregate("count(*)").fetchall()[0][0]
    except duckdb.Error as error:
        raise Tripped(f"{table.name} is no Parquet table: {str(error).splitlines()[0]}") from None


def _measure(table: Any, name: str) -> Span:
    column = '"' + name.replace('"', '""') + '"::double'
    good = f"filter (isfinite({column}))"
    measures = ("count(*)", f"count({column}) {good}", f"min({column}) {good}", f"max({column}) {good}")
    rows, finite, low, high = table.aggregate(", ".join(measures)).fetchall()[0]
    return Span(rows=rows, finite=rows == finite, low=low, high=high)
