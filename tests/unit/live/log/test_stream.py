"""The open file of the log is whole up to its last whole batch, wherever it is cut, and nobody closes another's."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
from datetime import UTC, datetime
from pathlib import Path

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
import sys
from pathlib import Path
import pytest
from beampermit.live.log import prediction_log
from support.served import served_in

prediction_log.EVERY = 0.02
served = served_in(Path(sys.argv[1]), Path(sys.argv[2]).read_text())
log = prediction_log.PredictionLog(Path(sys.argv[1], "log"), "toy-model", 3, served.loop.wiring)
served.current()
while True:
    served.put()
    log.publish(served.cycle(after=0.001))
    print(log.written, len(served.model.asked) * 3, flush=True)
"""


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


@pytest.mark.slow
def test_killed_with_the_whole_process_the_log_has_all_that_it_had_written(
    serving: Served, logged: Logged, tmp_path: Path, contract_text: str
) -> None:
    (tmp_path / "contract.yaml").write_text(contract_text)
    tests = str(Path(__file__).parents[3])
    child = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(CHILD), str(tmp_path), str(tmp_path / "contract.yaml")],
        stdout=subprocess.PIPE, text=True, env={**os.environ, "PYTHONPATH": tests},
    )  # fmt: skip
    assert child.stdout
    line = "0 0"
    while int(line.split(maxsplit=1)[0]) < 300:
        line = child.stdout.readline()
    child.send_signal(signal.SIGKILL)
    said = (line + child.stdout.read()).rpartition("\n")[0].splitlines()
    written, published = map(int, said[-1].split())
    child.wait()
    logged(serving).close()  # the next start
    cycles = [row["served.cycle"] for row in rows(tmp_path / "log", "served.cycle")]
    assert written <= len(cycles) <= published + 3
    assert cycles == [cycle for cycle in range(1, len(cycles) // 3 + 1) for _ in range(3)]
    assert not [*tmp_path.rglob("*.arrow")]


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
