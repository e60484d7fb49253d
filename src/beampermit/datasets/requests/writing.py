"""The table that a request makes: the same rows give the same bytes."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from beampermit.datasets import database
from beampermit.datasets.tables import text

MEMORY = "1GB"
"""What the database may hold; beyond it, it uses the folder of the request."""


def connect(folder: Path) -> Any:
    """A database in memory that spills into `folder`, knows UTC alone, and reaches nothing but files."""
    connection = database.connect(
        memory_limit=MEMORY, temp_directory=str(folder / "spill"), preserve_insertion_order=True
    )
    connection.execute("SET TimeZone = 'UTC'")
    return connection


def copy(connection: Any, sql: str, file: Path, units: Mapping[str, str]) -> None:
    """Write the rows of `sql` in their order, by one thread, with the units of columns in it, which DAT004 reads."""
    stated = json.dumps(units, ensure_ascii=False, sort_keys=True)
    connection.execute("SET threads = 1")
    connection.execute(
        f"COPY ({sql}) TO {text(str(file))}"
        f" (FORMAT parquet, COMPRESSION zstd, ROW_GROUP_SIZE 122880, KV_METADATA {{units: {text(stated)}}})"
    )
    connection.execute("RESET threads")
