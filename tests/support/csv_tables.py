"""Small tables, column by column, as CSV."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path
from typing import Any

ROWS = 40


def write_csv(file: Path, header: Sequence[str], *columns: Sequence[Any]) -> Path:
    """A table with these columns; names may be empty, or there twice."""
    with file.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream)
        writer.writerow(header)
        writer.writerows(zip(*columns, strict=True))
    return file


def numbers(seed: int = 0, rows: int = ROWS) -> list[float]:
    """Numbers from -3 to 3 or so, with all their digits."""
    import numpy as np

    return np.random.default_rng(seed).normal(size=rows).tolist()
