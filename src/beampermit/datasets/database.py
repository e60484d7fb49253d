"""Where a database is opened: in memory, alone with its files."""

from __future__ import annotations

from typing import Any


def connect(**settings: Any) -> Any:
    """A duckdb connection that fetches no extensions and never draws progress on stdout, where our JSON goes."""
    import duckdb

    alone = {"autoinstall_known_extensions": False, "autoload_known_extensions": False}
    connection = duckdb.connect(":memory:", config={**alone, **settings})
    connection.execute("SET enable_progress_bar = false")
    return connection
