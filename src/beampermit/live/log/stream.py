"""The open file of the log: an Arrow IPC stream, to which each second is appended. Closed, it becomes a Parquet file.

A stream is whole up to its last whole batch, wherever a kill or a full disk cuts it. Whoever writes one holds a lock on
it; a stream without a lock was left by a process that is gone.
"""

# pyright: reportMissingTypeStubs=false

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Self

from beampermit.files import replacing

OPEN, CLOSED = ".arrow", ".parquet"
BEGAN = "%Y-%m-%dT%H%M%S.%fZ"
"""The name of a file, but for its end: when it begins, in UTC."""
ROWS_OF_A_GROUP = 50_000
BYTES_OF_A_GROUP = 64 * 2**20
"""Rows are gathered into groups of either size: a group for each second would make files large and slow to read."""


class Stream:
    """One open file. Raises `OSError` where it cannot be written; what was written before is then still whole."""

    def __init__(self, path: Path, descriptor: int):
        self.path, self._descriptor, self.size = path, descriptor, 0
        self._broken = False

    @classmethod
    def create(cls, folder: Path, schema: Any, at: datetime) -> Self:
        """A new file in `folder`, named by its time; of two that begin at once the second is a microsecond later."""
        missing = [one for one in (folder, *folder.parents) if not one.exists()]
        folder.mkdir(parents=True, exist_ok=True)
        while (stream := cls._created(folder, at)) is None:
            at += timedelta(microseconds=1)
        try:
            stream._write(schema.serialize())
            # A file is there after a power cut where its folder was flushed, and that where its own was.
            for one in (folder, *(one.parent for one in missing)):
                _sync(one)
        except OSError:
            stream.release()
            stream.path.unlink(missing_ok=True)
            raise
        return stream

    @classmethod
    def _created(cls, folder: Path, at: datetime) -> Self | None:
        path = folder / f"{at.astimezone(UTC):{BEGAN}}{OPEN}"
        if path.with_suffix(CLOSED).exists():
            return None
        try:
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644)
        except FileExistsError:
            return None
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        if not os.fstat(descriptor).st_nlink:  # before it was locked, somebody took it for one that was left
            os.close(descriptor)
            return None
        return cls(path, descriptor)

    @property
    def sound(self) -> bool:
        """Whether what is written will be found: the file is there, and is whole."""
        try:
            return not self._broken and os.fstat(self._descriptor).st_nlink > 0
        except OSError:  # a file server that has lost it
            return False

    def append(self, batch: Any) -> None:
        """Write a record batch, and wait until the disk has it."""
        self._write(batch.serialize())

    def release(self) -> None:
        """Write no more; `close_left` may have the file."""
        with suppress(OSError):
            os.close(self._descriptor)

    def _write(self, message: Any) -> None:
        content = memoryview(message).cast("B")
        try:
            written = 0
            while written < len(content):
                written += os.write(self._descriptor, content[written:])
            os.fsync(self._descriptor)
        except OSError:
            self._broken = True
            os.ftruncate(self._descriptor, self.size)
            os.lseek(self._descriptor, self.size, os.SEEK_SET)
            self._broken = False
            raise
        self.size += len(content)


def close_left(folder: Path) -> None:
    """Turn the streams in `folder` and below into Parquet files that no process writes any more."""
    for path in sorted(folder.rglob(f"*{OPEN}")):
        with suppress(FileNotFoundError, BlockingIOError), path.open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            _close(path)


def _close(path: Path) -> None:
    """Turn a stream into the Parquet file beside it; one without a whole batch is removed."""
    target = path.with_suffix(CLOSED)
    for left in path.parent.glob(f".{target.name}.*"):
        left.unlink(missing_ok=True)
    if not target.exists():  # else it was killed before it could remove the stream
        write_parquet(path, target)
        _sync(path.parent)
    path.unlink(missing_ok=True)


def write_parquet(stream: Path, target: Path) -> bool:
    """Write the whole batches of a stream to `target`; False, and no file, where there is none."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    groups = _groups(stream)
    first = next(groups, None)
    if first is None:
        return False
    with replacing(target) as temporary:
        with pq.ParquetWriter(temporary, first[0].schema, compression="zstd") as writer:
            writer.write_table(pa.Table.from_batches(first))
            for group in groups:
                writer.write_table(pa.Table.from_batches(group))
        _sync(temporary)
    return True


def _groups(stream: Path) -> Iterator[list[Any]]:
    """Batches, as many at once as make a row group."""
    group: list[Any] = []
    for batch in read_batches(stream):
        group.append(batch)
        rows, size = sum(batch.num_rows for batch in group), sum(batch.nbytes for batch in group)
        if rows >= ROWS_OF_A_GROUP or size >= BYTES_OF_A_GROUP:
            yield group
            group = []
    if group:
        yield group


def read_batches(stream: Path) -> Iterator[Any]:
    """The whole batches of a stream, also of one that is being written, or whose end is missing or damaged."""
    import pyarrow as pa

    with stream.open("rb") as file:
        try:
            reader = pa.ipc.open_stream(file)
            while True:
                yield reader.read_next_batch()
        except (StopIteration, pa.ArrowInvalid):
            return
        except OSError as error:
            if error.errno:  # the disk's, not a message that is cut
                raise


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
