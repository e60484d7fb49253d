"""Example: replace with yours. Tables of signals: one row for each monitor and plane in each acquisition."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

TURNS = 250
KEY = ["acquisition", "device", "plane"]
COLUMNS = [*KEY, "acquired_at", "turns"]


def turns_of(table: pd.DataFrame) -> np.ndarray:
    """The signals of a table, shape (rows, 250), float32, mm."""
    if table.empty:
        return np.empty((0, TURNS), np.float32)
    return np.stack(table["turns"].to_list()).astype(np.float32)


def read(path: Path, columns: list[str] | None = None) -> pd.DataFrame:
    """Read a Parquet table."""
    return pd.read_parquet(path, columns=columns)


def write(table: pd.DataFrame, path: Path) -> None:
    """Write a Parquet table; the same rows always give the same bytes."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.part")
    table.reset_index(drop=True).to_parquet(temporary, index=False, compression="zstd")
    temporary.replace(path)
