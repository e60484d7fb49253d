"""What tests of requests ask about, and how they look at answers."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from beampermit.datasets.requests.request import RequestResult

Ask = Callable[..., RequestResult]
START, END = "2026-03-01T08:00:00+01:00", "2026-03-01T08:00:10+01:00"
AT = 1772348400.0
"""`START`, in seconds since 1970."""


def rows(root: Path, columns: str = "*", rest: str = "", table: str = "data/raw.parquet") -> list[Any]:
    """Rows of the answer; times cast to text are in UTC."""
    import duckdb

    with duckdb.connect() as connection:
        connection.execute("SET TimeZone = 'UTC'")
        return connection.execute(f"SELECT {columns} FROM read_parquet('{root / table}') {rest}").fetchall()
