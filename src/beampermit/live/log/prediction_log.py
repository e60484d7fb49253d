"""The sink that logs predictions. It never makes the service wait: what the disk does not take is counted."""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from beampermit.live.log.columns import Columns
from beampermit.live.log.entries import Entries, Entry
from beampermit.live.log.room import make_room
from beampermit.live.log.stream import Stream, close_left
from beampermit.live.update import Update
from beampermit.live.wiring import Wiring

logger = logging.getLogger(__name__)
EVERY = 0.5
"""Seconds between two writes: with the time that one takes, at most the last second is lost when all is killed."""
PERIOD = 3600
"""Seconds of one file."""
LARGEST = 128 * 2**20
"""Bytes of one open file."""
MOST_WAITING = 64 * 2**20
"""Bytes that may wait for the disk."""
SAY_AGAIN = 60.0
"""Seconds after which the service's own log has the problem again."""
PATIENCE = 10.0
"""Seconds that the last write may take."""
DISK = 10 * 10**9
"""Bytes of the log of one model, unless `--log-disk` says otherwise."""


class PredictionLog:
    """Of one version of a model, in `folder/<model>/<version>/`; a `Sink` of the loop of that version.

    `shadow` says whether the version is not in service now. The log of all versions takes at most `disk` bytes.
    """

    def __init__(
        self,
        folder: Path,
        model: str,
        version: int,
        wiring: Wiring,
        *,
        shadow: Callable[[], bool] = lambda: False,
        disk: int = DISK,
        clock: Callable[[], float] = time.time,
    ):
        self.lost = 0
        """Rows that are not in the log, because the disk was full or too slow."""
        self.written = 0
        """Rows that the disk has."""
        self.problem = ""
        """Why the last rows could not be written; empty where they were."""
        self._model, self._folder = folder / model, folder / model / str(version)
        self._columns, self._entries = Columns(wiring, version), Entries(wiring)
        self._schema = self._columns.schema
        self._shadow, self._disk, self._clock = shadow, disk, clock
        self._largest = min(LARGEST, disk // 16)
        self._waiting: deque[Entry] = deque()
        self._bytes = 0
        self._lock = threading.Lock()
        self._stream: Stream | None = None
        self._until = 0.0
        self._said = -SAY_AGAIN
        self._tidied = threading.Event()
        self._tidied.set()
        self._untidy = False
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"prediction log {version}", daemon=True)
        self._thread.start()

    def publish(self, update: Update) -> None:
        if not self._try(lambda: self._queue(update)):  # it is called by the inference loop, which must not end
            self.lost += 1

    def close(self) -> None:
        """Write what waits, and close the file. What the disk does not take in 10 s is lost, or closed next time."""
        self._stop.set()
        self._thread.join(PATIENCE)

    def _queue(self, update: Update) -> None:
        entry = self._entries.of(update, shadow=self._shadow(), lost=self.lost)
        if entry is None:
            return
        with self._lock:
            if self._waiting and self._bytes + entry.nbytes > MOST_WAITING:
                self._lose(len(entry.numbers), "the prediction log's disk is too slow")
                return
            self._waiting.append(entry)
            self._bytes += entry.nbytes

    def _run(self) -> None:
        self._tidy_beside()
        while not self._stop.wait(EVERY):
            self._write()
        self._write()
        self._let_go()
        self._settle()
        self._try(self._tidy)

    def _write(self) -> None:
        """Write all that waits."""
        with self._lock:
            entries, size = list(self._waiting), self._bytes
            self._waiting.clear()
        if not entries:
            return
        due = self._is_due()
        if due:
            self._let_go()
        rows = sum(len(entry.numbers) for entry in entries)
        written = self._try(lambda: self._append(entries))
        if due:
            self._tidy_beside()
        with self._lock:
            self._bytes -= size
            if not written:
                self._lose(rows, self.problem)
                return
            self.written += rows
            self.problem = ""

    def _append(self, entries: list[Entry]) -> None:
        if self._stream is None:
            now = self._clock()
            self._stream = Stream.create(self._folder, self._schema, datetime.fromtimestamp(now, UTC))
            self._until = (now // PERIOD + 1) * PERIOD
        self._stream.append(self._columns.batch(entries))

    def _is_due(self) -> bool:
        """Whether the open file is to be closed: by time, by size, or because nobody would find what is written."""
        stream = self._stream
        return bool(stream) and (self._clock() >= self._until or stream.size >= self._largest or not stream.sound)

    def _let_go(self) -> None:
        """Write no more to the open file."""
        stream, self._stream = self._stream, None
        if stream:
            stream.release()

    def _tidy_beside(self) -> None:
        """In a thread of its own: a large file takes seconds, in which rows would wait, and be lost by a kill."""
        with self._lock:
            self._untidy = True
            if not self._tidied.is_set():
                return
            self._tidied.clear()
        name = f"{self._thread.name}, closing files"
        threading.Thread(target=self._tidy_until_tidy, name=name, daemon=True).start()

    def _tidy_until_tidy(self) -> None:
        while True:
            with self._lock:
                if not self._untidy:
                    self._tidied.set()
                    return
                self._untidy = False
            self._try(self._tidy)

    def _settle(self) -> None:
        self._tidied.wait()

    def _tidy(self) -> None:
        """Make room for what a version in service and one beside it will write until the next time, and for a Parquet
        file of each that is being made; then close what is left open."""
        for name in make_room(self._model, self._disk - 4 * self._largest):
            logger.info("the prediction log has removed %s: it may take %d bytes", name, self._disk)
        close_left(self._model)

    def _try(self, step: Callable[[], None]) -> bool:
        """Whatever is wrong with the log, the service goes on and says it."""
        try:
            step()
        except Exception as error:
            self._say(f"the prediction log cannot be written: {_reason(error)}")
            return False
        return True

    def _lose(self, rows: int, why: str) -> None:
        self.lost += rows
        self._say(why)

    def _say(self, problem: str) -> None:
        """In the service's own log now and then."""
        self.problem, now = problem, time.monotonic()
        if now - self._said >= SAY_AGAIN:
            self._said = now
            logger.warning("%s; %d rows are lost so far", problem, self.lost)


def _reason(error: Exception) -> str:
    if isinstance(error, OSError) and error.strerror:
        return f"{error.strerror.lower()}{f': {error.filename}' if error.filename else ''}"
    return f"{type(error).__name__}: {error}"
