"""How long DAT005 looks for rows of scalars that stand in two splits, and with how much memory.

The full size is 10 million rows of 8 inputs, 80 % of them in the first split; `DATA_ROWS` asks for another. Beside it
stands what duckdb takes to hash the same rows once.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

pytestmark = pytest.mark.bench
ROWS = int(os.environ.get("DATA_ROWS", "10000000"))
INPUTS = 8
SHARES = {"train": 0.8, "validation": 0.1, "test": 0.1}
TABLES: dict[str, tuple[str, float | None]] = {
    "equal or not": ("random() * 1000", None),
    "with resolutions": ("random() * 1000", 1.0),
    "of 100 levels": ("floor(random() * 100)", 0.5),
    "of switches": ("floor(random() * 2)", None),
}
OURS = """\
import resource, time
from pathlib import Path
import duckdb, numpy
from beampermit.contract import Signal
from beampermit.datasets.equal_rows import equal_rows
signals = [
    Signal(name=f"x{n}", pv="X", unit="mm", range=(-1, 1001), resolution=RESOLUTION) for n in range(INPUTS)
]
start = time.perf_counter()
found = equal_rows(Path.cwd(), {split: f"{split}.parquet" for split in SPLITS}, signals, ("row",), ("session",))
print(time.perf_counter() - start, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
assert found.overlaps == (), found
"""
HASHED = """\
import resource, time
import duckdb
connection = duckdb.connect()
connection.execute("SET enable_progress_bar = false")
start = time.perf_counter()
for split in SPLITS:
    columns = ", ".join(f"x{n}" for n in range(INPUTS))
    connection.execute(f"SELECT bit_xor(hash({columns})) FROM '{split}.parquet'").fetchall()
print(time.perf_counter() - start, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
"""


@pytest.mark.parametrize("kind", TABLES)
def test_do_rows_stand_in_two_splits(tmp_path: Path, say: Callable[[str], None], kind: str) -> None:
    import duckdb

    value, resolution = TABLES[kind]
    columns = ", ".join(f"{value} AS x{number}" for number in range(INPUTS))
    for split, share in SHARES.items():
        rows = f"SELECT range AS row, '{split} ' || range // 1000 AS session, {columns} FROM range({int(ROWS * share)})"
        duckdb.sql(f"COPY ({rows}) TO '{tmp_path}/{split}.parquet' (FORMAT parquet)")
    seconds, memory = _measured(OURS, tmp_path, resolution)
    once, _ = _measured(HASHED, tmp_path, resolution)
    say(f"{ROWS:,} rows of {INPUTS} inputs, {kind}: {seconds:.1f} s, {memory:.0f} MiB")
    say(f"    hashed once {once:.1f} s: ratio {seconds / once:.0f}")


def _measured(code: str, cwd: Path, resolution: float | None) -> tuple[float, float]:
    """Seconds and peak memory (MiB) that a program of its own measured."""
    head = f"RESOLUTION, INPUTS, SPLITS = {resolution}, {INPUTS}, {list(SHARES)}\n"
    finished = subprocess.run([sys.executable, "-c", head + code], cwd=cwd, capture_output=True, text=True, check=False)
    assert finished.returncode == 0, finished.stderr[-2000:]
    seconds, memory = map(float, finished.stdout.split())
    return seconds, memory
