"""`beampermit new --from-table`: the look at 1 million rows of 100 columns, beside duckdb's SUMMARIZE of the file."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import duckdb
import pytest

from beampermit.generation.from_table.project import prepare
from beampermit.generation.from_table.roles import Asked

pytestmark = pytest.mark.bench

ROWS, COLUMNS = 1_000_000, 100
KINDS = ("random() * 10 - 5", "round(random() * 100, 2)", "(random() * 1000)::INT", "random()::FLOAT")


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Numbers with all digits and on a grid, whole ones, and a text of 20 groups."""
    file = tmp_path_factory.mktemp("table") / "table.parquet"
    numbers = ", ".join(f"{KINDS[place % len(KINDS)]} AS c{place}" for place in range(COLUMNS - 1))
    duckdb.sql(f"COPY (SELECT {numbers}, 'g' || (random() * 20)::INT AS g FROM range({ROWS})) TO '{file}'")
    return file


@pytest.mark.parametrize("suffix", [".parquet", ".csv"])
def test_the_look_at_a_table(suffix: str, table: Path, tmp_path: Path, say: Callable[[str], None]) -> None:
    file = table.with_suffix(suffix)
    if suffix == ".csv":
        duckdb.sql(f"COPY (FROM '{table}') TO '{file}' (FORMAT csv)")
    seconds = []
    for look in (lambda: duckdb.sql(f"SUMMARIZE FROM '{file}'").fetchall(), lambda: _prepared(file, tmp_path)):
        start, used = time.perf_counter(), time.process_time()
        look()
        seconds.append((time.perf_counter() - start, time.process_time() - used))
    (theirs, theirs_used), (ours, ours_used) = seconds
    say(f"{ROWS:,} rows x {COLUMNS} columns of {suffix}: {ours:.1f} s ({ours_used:.1f} of CPU), duckdb {theirs:.1f} s")
    say(f"ratio {ours / theirs:.2f}, of CPU {ours_used / theirs_used:.2f}; the aim is 2")


def _prepared(file: Path, scratch: Path) -> object:
    return prepare(file, Asked(outputs=("c0",), groups=("g",)), scratch)
