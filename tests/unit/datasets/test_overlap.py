"""Copies of a signal are found, however shifted or scaled; signals that are only similar are not."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from beampermit.contract import Signal
from beampermit.datasets import overlap
from beampermit.datasets.overlap import Overlap
from beampermit.datasets.tables import open_tables
from beampermit.errors import Failed

LENGTH = 120
SIGNAL = Signal(name="turns", pv="X", shape=(LENGTH,), unit="mm", range=(-20, 20))
Change = Callable[[np.ndarray], np.ndarray]
TURNS = np.arange(LENGTH)


def beam(seed: int, count: int = 40, noise: float = 0.05) -> np.ndarray:
    """Betatron motion of one tune: amplitude, phase and orbit differ, as in monitors that see the same beam."""
    rng = np.random.default_rng(seed)
    size, phase, orbit = rng.uniform(0.5, 2, (count, 1)), rng.uniform(0, 7, (count, 1)), rng.normal(0, 1, (count, 1))
    return orbit + size * np.sin(2 * np.pi * 0.31 * TURNS + phase) + rng.normal(0, noise, (count, LENGTH))


def write(folder: Path, split: str, rows: np.ndarray) -> None:
    import duckdb

    connection = duckdb.connect()
    connection.execute("CREATE TABLE signals (device VARCHAR, turns FLOAT[])")
    table = [(f"{split} {number}", row.tolist()) for number, row in enumerate(rows)]
    if table:
        connection.executemany("INSERT INTO signals VALUES (?, ?)", table)
    connection.execute(f"COPY signals TO '{folder}/{split}.parquet' (FORMAT parquet)")


def found(folder: Path, train: np.ndarray, test: np.ndarray) -> list[Overlap]:
    write(folder, "train", train)
    write(folder, "test", test)
    tables = open_tables(folder, {split: f"{split}.parquet" for split in ("train", "test")})
    return list(overlap.duplicates(tables, (SIGNAL,), ("device",)))


@pytest.mark.slow
def test_an_input_that_the_splits_do_not_have_yet_is_named(tmp_path: Path) -> None:
    """The contract renames it, and the pipeline did not run again."""
    for split in ("train", "test"):
        write(tmp_path, split, beam(3))
    tables = open_tables(tmp_path, {split: f"{split}.parquet" for split in ("train", "test")})
    renamed = SIGNAL.model_copy(update={"name": "turn"})
    with pytest.raises(Failed, match=r"^train.parquet: there is no column 'turn'; is it 'turns'\?"):
        list(overlap.duplicates(tables, (renamed,), ("device",)))


COPIES: dict[str, tuple[Change, str]] = {
    "as it is": (lambda x: x, "test 40 is train 7"),
    "scaled": (lambda x: 1.7 * x, "test 40 is train 7, times 1.7"),
    "turned over": (lambda x: -x, "test 40 is train 7, times -1"),
    "moved": (lambda x: x + 3, "test 40 is train 7, plus 3"),
    "later": (lambda x: np.r_[beam(5)[0, :11], x[:-11]], "test 40 is train 7, 11 values later"),
    "earlier": (lambda x: np.r_[x[60:], beam(5)[0, :60]], "test 40 is train 7, 60 values earlier"),
    "all of it": (
        lambda x: -0.5 * np.r_[beam(5)[0, :20], x[:-20]] - 1,
        "test 40 is train 7, 20 values later, times -0.5, plus -1",
    ),
    "rounded": (lambda x: x.round(3), "test 40 is train 7"),
}


@pytest.mark.slow
@pytest.mark.parametrize("change", COPIES)
def test_a_copy_is_found_and_described(tmp_path: Path, change: str) -> None:
    make, words = COPIES[change]
    train = beam(1)
    (overlap,) = found(tmp_path, train, np.vstack([beam(2), make(train[7])]))
    assert overlap.message == f"turns of 1 row of test is a copy of train: {words}"
    assert (overlap.count, overlap.paths) == (1, ("train.parquet", "test.parquet"))


ALIKE: dict[str, np.ndarray] = {
    "the same motion": beam(2),
    "flat": np.full((40, LENGTH), 3.0),
    "straight": np.outer(np.linspace(1, 2, 40), TURNS / 10),
    "alternating": np.outer(np.linspace(1, 2, 40), (-1.0) ** TURNS),
    "steps of a coarse converter": np.round(beam(2) * 2) / 2,
}


@pytest.mark.slow
@pytest.mark.parametrize("kind", ALIKE)
def test_similar_signals_are_no_copies(tmp_path: Path, kind: str) -> None:
    train = np.vstack([beam(1), ALIKE[kind]]) if kind != "the same motion" else beam(1)
    assert found(tmp_path, train, ALIKE[kind][:20] if kind in ("flat", "straight", "alternating") else beam(3)) == []


@pytest.mark.slow
def test_a_thousand_copies_are_bounded_by_the_limit_per_split(tmp_path: Path) -> None:
    train = beam(1)
    (copies,) = found(tmp_path, train, np.repeat(train[:1], 1000, axis=0))
    assert copies.count == overlap.MOST_PER_SPLIT


@pytest.mark.slow
def test_signals_that_are_not_finite_are_left_to_dat004(tmp_path: Path) -> None:
    broken = beam(1)
    broken[:, 3] = np.nan
    assert found(tmp_path, broken, broken) == []


@pytest.mark.slow
def test_empty_splits_and_short_signals_are_not_compared(tmp_path: Path) -> None:
    assert found(tmp_path, beam(1), beam(1)[:0]) == []
    short = SIGNAL.model_copy(update={"shape": (8,)})
    tables = open_tables(tmp_path, {split: f"{split}.parquet" for split in ("train", "test")})
    assert list(overlap.duplicates(tables, (short,), ("device",))) == []


@pytest.mark.slow
def test_memory_is_bounded_by_keeping_fewer_windows_of_each_row(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(overlap, "BUDGET", 80)
    train = beam(1)
    (copy,) = found(tmp_path, train, np.vstack([beam(2), train[7]]))
    assert copy.examples == ("test 40 is train 7",)
