"""The open file of the log is whole up to its last whole batch, wherever it is cut, and nobody closes another's."""

from __future__ import annotations

import os
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.parquet
import pytest

from beampermit.live.log import stream as module
from beampermit.live.log.stream import Stream, close_left, read_batches
from support.power_cut import Disk
from support.prediction_logs import Logged, rows
from support.served import Served

SCHEMA = pa.schema([("number", pa.int64())])
AT = datetime(2026, 11, 29, 15, tzinfo=UTC)
CHILD = """
import sys, time
from pathlib import Path
import pandas  # pyarrow does it for the first batch: in service that is while the model is being loaded
from beampermit.live.lane import Lane
from beampermit.live.log.prediction_log import PredictionLog
from beampermit.live.loop import Loop, Standing
from beampermit.live.wiring import wire
from support.served import Doubling, served_contract

folder = Path(sys.argv[1])
contract = served_contract(Path(folder, "contract.yaml").read_text())
wiring = wire(contract, folder)
log = PredictionLog(folder / "log", "toy-model", 3, wiring)

def publish(update):
    log.publish(update)
    rows = len(update.rows.names) if update.rows else 0
    print(update.at, update.health.cycles, rows, log.written, flush=True)

loop = Loop(contract, wiring, Doubling(), Standing(3, "sha256:p"), publish)
lane = Lane("version 3", loop, [], lambda: None)
while True:
    now = time.time()
    for device in range(3):
        loop.latest.put(0, device, (1.0, 2.0, 3.0), now, 0)
    loop.latest.put(1, 0, 300.0, now, 0)
    if not lane.alive:
        lane.start()
    time.sleep(0.02)
"""
LOST = 1.0
"""Seconds of rows that a kill may cost, as docs/service.md says it."""
BUSY = 0.75
"""Seconds more on a machine that does much beside the test; a disk that takes 2 s for a batch is still seen."""
RUNS = 3.0
"""Seconds until the kill: some batches."""


def batch(*numbers: int) -> pa.RecordBatch:
    return pa.record_batch([pa.array(numbers)], schema=SCHEMA)


def numbers(path: Path) -> list[int]:
    return [number for found in read_batches(path) for number in found.column("number").to_pylist()]


@pytest.fixture
def left(tmp_path: Path) -> Path:
    """A stream of two batches, whose writer is gone."""
    stream = Stream.create(tmp_path / "3", SCHEMA, AT)
    stream.append(batch(1, 2))
    stream.append(batch(3))
    stream.release()
    return stream.path


@pytest.mark.slow
def test_wherever_it_is_cut_the_whole_batches_are_read(left: Path) -> None:
    content = left.read_bytes()
    header = len(SCHEMA.serialize())
    first = header + len(batch(1, 2).serialize())
    for end in range(len(content) + 1):
        left.write_bytes(content[:end])
        assert numbers(left) == ([1, 2, 3] if end == len(content) else [1, 2] if end >= first else [])
    left.write_bytes(content[:first] + b"\0" * 4096)  # as some file systems leave it after a power cut
    assert numbers(left) == [1, 2]


def test_what_a_dead_writer_left_becomes_parquet(left: Path, tmp_path: Path) -> None:
    left.write_bytes(left.read_bytes()[:-3])
    (left.parent / f".{left.with_suffix('.parquet').name}.x1y2").write_bytes(b"of a process that was killed")
    close_left(tmp_path)
    assert [file.name for file in left.parent.iterdir()] == ["2026-11-29T150000.000000Z.parquet"]
    assert pa.parquet.read_table(left.with_suffix(".parquet")).to_pydict() == {"number": [1, 2]}


def test_killed_before_the_stream_was_removed_nothing_is_there_twice(left: Path, tmp_path: Path) -> None:
    module.write_parquet(left, left.with_suffix(".parquet"))
    content = left.with_suffix(".parquet").read_bytes()
    close_left(tmp_path)
    assert [file.read_bytes() for file in left.parent.iterdir()] == [content]


def test_a_stream_without_a_whole_batch_is_removed(left: Path, tmp_path: Path) -> None:
    left.write_bytes(left.read_bytes()[:100])
    close_left(tmp_path)
    assert not [*left.parent.iterdir()]


def test_a_stream_that_is_being_written_is_left_alone(tmp_path: Path) -> None:
    stream = Stream.create(tmp_path, SCHEMA, AT)
    stream.append(batch(1))
    close_left(tmp_path)
    stream.append(batch(2))
    assert numbers(stream.path) == [1, 2]


def test_two_streams_of_one_moment_are_two_files(tmp_path: Path, left: Path) -> None:
    close_left(tmp_path)
    names = [Stream.create(left.parent, SCHEMA, AT).path.name for _ in range(2)]
    assert names == ["2026-11-29T150000.000001Z.arrow", "2026-11-29T150000.000002Z.arrow"]


def test_small_batches_become_few_groups(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "ROWS_OF_A_GROUP", 4)
    stream = Stream.create(tmp_path, SCHEMA, AT)
    for number in range(10):
        stream.append(batch(number))
    module.write_parquet(stream.path, tmp_path / "out.parquet")
    file = pa.parquet.ParquetFile(tmp_path / "out.parquet")
    assert file.read().column("number").to_pylist() == [*range(10)]
    assert file.num_row_groups == 3


class Told(NamedTuple):
    """Of an update: its time, the number of its cycle, its rows, and how many rows the log had written before it."""

    at: float
    cycle: int
    rows: int
    written: int


@pytest.mark.slow
def test_killed_with_the_whole_process_the_log_lacks_the_last_second_at_most(
    serving: Served, logged: Logged, tmp_path: Path, contract_text: str
) -> None:
    """A loop in its thread, and the log as it is in service."""
    (tmp_path / "contract.yaml").write_text(contract_text)
    tests = str(Path(__file__).parents[3])
    child = subprocess.Popen(
        [sys.executable, "-c", CHILD, str(tmp_path)],
        stdout=subprocess.PIPE, text=True, env={**os.environ, "PYTHONPATH": tests},
    )  # fmt: skip
    assert child.stdout
    try:
        said = [child.stdout.readline()]
        while float(said[-1].split()[0]) - float(said[0].split()[0]) < RUNS:
            said.append(child.stdout.readline())
    finally:
        child.kill()
    said += child.stdout.read().splitlines(keepends=True)
    child.wait()
    told = [_told(line) for line in said if line.endswith("\n")]
    logged(serving).close()  # the next start
    found = rows(tmp_path / "log", "served.at", "served.cycle")
    cycles, expected = [row["served.cycle"] for row in found], [one.cycle for one in told for _ in range(one.rows)]
    assert cycles[: len(expected)] == expected[: len(cycles)], "whole batches, in order"
    assert told[-1].written <= len(cycles) <= len(expected) + 3
    assert told[-1].at - found[-1]["served.at"] <= LOST + BUSY
    assert max(one.at - _newest(found, one.written, told[0].at) for one in told) <= LOST + BUSY, "killed at any update"
    assert not [*tmp_path.rglob("*.arrow")]


def _told(line: str) -> Told:
    at, *counts = line.split()
    return Told(float(at), *map(int, counts))


def _newest(found: list[dict[str, Any]], written: int, began: float) -> float:
    """The time of the newest row of so many."""
    return found[written - 1]["served.at"] if written else began


def test_after_a_power_cut_the_log_has_all_that_it_had_written(
    serving: Served, logged: Logged, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also right after it has begun, and while a full file is closed."""
    (tmp_path / "log").mkdir()
    disk = Disk(tmp_path / "log", monkeypatch)
    log, cuts = logged(serving), []

    def cut(written: int) -> None:
        there = disk.after_a_power_cut(tmp_path / f"cut {len(cuts)}")
        with monkeypatch.context() as patch:
            patch.setattr(module, "write_parquet", write)
            close_left(there)  # as the next start does
        cuts.append((len(rows(there)), written))

    def closes(stream: Path, target: Path) -> bool:
        made = write(stream, target)  # and the stream is still there
        cut(log.written)
        return made

    write = module.write_parquet
    monkeypatch.setattr(module, "write_parquet", closes)
    for largest in (log._largest, log._largest, 1, 1):
        log._largest = largest
        serving.put()
        serving.current()
        log.publish(serving.cycle(after=1))
        log._write()
        log._settle()
        cut(log.written)
    log.close()
    assert cuts[0] == (3, 3)
    assert len(cuts) == 7
    assert [(found, written) for found, written in cuts if found < written] == []
