"""What a check prints. Only the end is kept, in memory, so one that prints without end does not fill the disk."""

from __future__ import annotations

import os
import re
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from select import POLLIN, poll

SHOWN = 64 * 1024
"""Bytes of what a check prints that are shown: the last."""
AFTERWARDS = 2**20
"""Bytes that are read once the check has ended: something that it left behind may go on printing."""
UNSEEN = re.compile(r"\x1b\[[0-9;]*[A-Za-z]|[^\x20-\x7e\xa0-\U0010ffff]")


class Printed:
    """A named pipe at `path`, and a thread that reads it while the block runs."""

    def __init__(self, path: Path):
        os.mkfifo(path)
        self._pipe = os.open(path, os.O_RDWR | os.O_NONBLOCK)  # to read alone would wait for who writes
        self._ended, self._end = os.pipe()
        self._kept = b""
        self._left_out = 0
        self._lock = threading.Lock()
        self._reader = threading.Thread(target=self._read, daemon=True)

    def __enter__(self) -> Printed:
        self._reader.start()
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._end)
        self._reader.join()
        for file in (self._pipe, self._ended):
            os.close(file)

    def add(self, text: bytes) -> None:
        """Also while the thread reads."""
        with self._lock:
            text = self._kept + text
            self._left_out += max(0, len(text) - SHOWN)
            self._kept = text[-SHOWN:]

    def lines(self) -> Iterator[str]:
        """Without what a terminal obeys, nor what GitHub's runner reads as a command anywhere in a line."""
        if self._left_out:
            yield f"[{self._left_out} bytes that it printed before this are left out: the last {SHOWN} are kept]"
        for line in self._kept.decode(errors="replace").replace("\r", "\n").split("\n"):
            if line.strip():
                yield UNSEEN.sub(" ", line).replace("##[", "## [")

    def _read(self) -> None:
        either = poll()  # `select` takes no number of a file above 1023
        for file in (self._pipe, self._ended):
            either.register(file, POLLIN)
        while self._ended not in {file for file, _ in either.poll()}:
            self.add(os.read(self._pipe, SHOWN))
        with suppress(BlockingIOError):  # it is empty
            for _ in range(0, AFTERWARDS, SHOWN):
                self.add(os.read(self._pipe, SHOWN))
