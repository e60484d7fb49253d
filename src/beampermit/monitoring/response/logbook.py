"""An entry in a logbook: through a small protocol, so that a laboratory adds its own by an entry point."""

from __future__ import annotations

import os
import threading
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Protocol

from beampermit.errors import BadInput, BeampermitError, Outside

GROUP = "beampermit.logbooks"
"""`[project.entry-points."beampermit.logbooks"]` of any installed package: name = "module:Class"."""
TAIL = 4 * 2**20
"""Bytes at the end of a file in which an entry is looked for."""


SECONDS = 30.0
"""For an entry, whatever the logbook does: issues and the heartbeat wait for it."""


@dataclass(frozen=True)
class Entry:
    """`id` is the same whenever the same entry is written; `level` is a severity in EPICS."""

    id: str
    at: datetime
    title: str
    text: str
    level: str
    model: str


class Logbook(Protocol):
    """Made with what stands behind its name in `--logbook NAME:WHERE`; raises `BadInput` where that is wrong."""

    def __init__(self, where: str) -> None: ...

    def write(self, entry: Entry) -> str:
        """Write it unless an entry with this id is there; one line that says where. Raises `Outside`."""
        ...


class FileLogbook:
    """A Markdown file that entries are appended to: `--logbook file:/srv/logbook/models.md`."""

    def __init__(self, where: str) -> None:
        if not where or Path(where).is_dir():
            raise BadInput("--logbook file: needs the path of a file", hint="--logbook file:/srv/logbook/models.md")
        self.file = Path(where)

    def write(self, entry: Entry) -> str:
        mark = f"<!-- {entry.id} -->"
        at = entry.at.astimezone(UTC)
        title, text = " ".join(entry.title.split()), entry.text.strip()
        block = f"\n## {at:%Y-%m-%d %H:%M:%S} UTC {entry.level} {title}\n\n{text}\n{mark}\n"
        try:
            if mark not in self._end():
                self.file.parent.mkdir(parents=True, exist_ok=True)
                self._append(block.encode(errors="backslashreplace"))
        except OSError as error:
            raise Outside(f"the logbook cannot be written: {error.strerror or error}", file=self.file) from None
        return f"logbook {self.file}"

    def _end(self) -> str:
        if not self.file.exists():
            return ""
        with self.file.open("rb") as file:
            file.seek(max(0, self.file.stat().st_size - TAIL))
            return file.read().decode(errors="replace")

    def _append(self, content: bytes) -> None:
        descriptor = os.open(self.file, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o664)
        try:
            os.write(descriptor, content)  # at once: others may append to it too
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


class InTime:
    """Writes to a logbook, and waits for it so long at most. One that hangs is not asked again until it has ended."""

    def __init__(self, logbook: Logbook, seconds: float = SECONDS):
        self._logbook, self._seconds = logbook, seconds
        self._writing: threading.Thread | None = None

    def write(self, entry: Entry) -> str:
        """As `Logbook.write`. Raises `Outside`, whatever a laboratory's own logbook raises."""
        if self._writing and self._writing.is_alive():
            raise Outside("the logbook still hangs with an entry")
        done: list[str | Exception] = []
        self._writing = threading.Thread(target=self._write, args=(entry, done), name="logbook", daemon=True)
        self._writing.start()
        self._writing.join(self._seconds)
        if not done:
            raise Outside(f"the logbook did not answer within {self._seconds:g} s")
        if isinstance(done[0], BeampermitError):
            raise done[0]
        if isinstance(done[0], Exception):
            raise Outside(f"the logbook failed: {type(done[0]).__name__}: {done[0]}"[:300]) from done[0]
        return done[0]

    def _write(self, entry: Entry, done: list[str | Exception]) -> None:
        try:
            done.append(self._logbook.write(entry))
        except Exception as error:
            done.append(error)
