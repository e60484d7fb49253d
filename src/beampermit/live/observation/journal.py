"""The service's own log on stderr: a line of JSON or of text for each event.

Nothing waits for whoever reads it: a terminal that is stopped, or a pipe that is full, costs lines and no cycle. Writes
of clients and changes of status are lost last, and whatever is lost is said.
"""

from __future__ import annotations

import json
import logging
import queue
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal, TextIO

from beampermit.live.promoted.words import plain

Form = Literal["json", "text"]
AUDIT = frozenset({"beampermit.puts"})
"""Loggers all of whose lines are kept, as those are that are marked `always`."""
MOST, EVERY = 20, 60.0
"""So many lines of a kind in so many seconds."""
MOST_KINDS = 1000
MOST_WAITING = 1000
MOST_KEPT_WAITING = 100_000
"""Lines that may wait where all of their kind are kept: some 50 MB."""
PATIENCE = 2.0
"""Seconds for the last lines at the end."""
LONGEST = 2000
LONGEST_TRACE = 8000
"""Characters."""


def start_journal(form: Form | None = None, stream: TextIO | None = None) -> Journal:
    """Write what the service logs, and warnings of what it uses, to `stream`; text on a terminal, otherwise JSON."""
    target: TextIO = stream or sys.stderr
    journal = Journal(target, form or ("text" if target.isatty() else "json"))
    root = logging.getLogger()
    root.handlers = [handler for handler in root.handlers if not isinstance(handler, Journal)]
    root.addHandler(journal)
    root.setLevel(logging.WARNING)
    logging.getLogger("beampermit").setLevel(logging.INFO)
    threading.excepthook = _log_thread
    return journal


class Journal(logging.Handler):
    """Formats a record where it is logged, and writes it in a thread of its own."""

    def __init__(self, stream: TextIO, form: Form):
        super().__init__()
        self.lost = 0
        """Lines that found no place or could not be written; the next one that finds a place says how many."""
        self._said = 0
        """How many of them a line has said."""
        self._stream = stream
        self._lines: queue.Queue[str] = queue.Queue()
        self._counting = threading.RLock()  # what is formatted may log
        self.setFormatter(JsonFormatter() if form == "json" else TextFormatter())
        self.addFilter(Bounded())
        threading.Thread(target=self._write, name="beampermit-journal", daemon=True).start()

    def emit(self, record: logging.LogRecord) -> None:
        try:
            with self._counting:
                self._queue(record)
        except Exception:
            self.handleError(record)

    def _queue(self, record: logging.LogRecord) -> None:
        if self._lines.qsize() >= (MOST_KEPT_WAITING if _is_kept(record) else MOST_WAITING):
            self.lost += 1
            return
        lost = self.lost
        record.lost = lost - self._said
        self._lines.put_nowait(self.format(record) + "\n")
        self._said = lost

    def flush(self) -> None:
        """Wait for what was logged so far, but not for long."""
        until = time.monotonic() + PATIENCE
        while self._lines.unfinished_tasks and time.monotonic() < until:
            time.sleep(0.01)

    def _write(self) -> None:
        while True:
            line = self._lines.get()
            try:
                self._stream.write(line)
                self._stream.flush()
            except (OSError, ValueError):  # whoever read it has gone
                with self._counting:
                    self.lost += 1
            finally:
                self._lines.task_done()


class JsonFormatter(logging.Formatter):
    """ASCII, so that nothing in it is obeyed by a terminal; `fields` of a record are keys beside the message."""

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, Any] = {
            "time": _time(record).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "message": plain(record.getMessage(), LONGEST),
            "logger": record.name,
            **getattr(record, "fields", {}),
        }
        if hint := getattr(record, "hint", ""):
            line["hint"] = hint
        if left_out := getattr(record, "left_out", 0):
            line["left_out"] = left_out
        if lost := getattr(record, "lost", 0):
            line["lost"] = lost
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)[-LONGEST_TRACE:]
        return json.dumps(line, default=str)


class TextFormatter(logging.Formatter):
    """For people, in the time of this machine."""

    def format(self, record: logging.LogRecord) -> str:
        level = "" if record.levelno == logging.INFO else f"{record.levelname}: "
        line = f"{_time(record).astimezone():%H:%M:%S} {level}{plain(record.getMessage(), LONGEST)}"
        if left_out := getattr(record, "left_out", 0):
            line += f" ({left_out} such lines were left out)"
        if lost := getattr(record, "lost", 0):
            line += f" ({lost} lines before this one were lost: nobody read them)"
        if hint := getattr(record, "hint", ""):
            line += f"\n         next: {plain(hint, LONGEST)}"
        if record.exc_info:
            trace = self.formatException(record.exc_info)[-LONGEST_TRACE:]
            line += "".join(f"\n         {plain(each, LONGEST)}" for each in trace.splitlines())
        return line


@dataclass
class _Window:
    began: float
    lines: int = 0
    left_out: int = 0


class Bounded(logging.Filter):
    """Passes `MOST` lines of a kind in `EVERY` seconds; the next one that passes says how many did not.

    Records that are marked `always` pass, and do not count.
    """

    def __init__(self, monotonic: Callable[[], float] = time.monotonic):
        super().__init__()
        self._monotonic = monotonic
        self._lock = threading.Lock()
        self._windows: dict[tuple[str, str], _Window] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        if _is_kept(record):
            return True
        with self._lock:
            return self._passes(record)

    def _passes(self, record: logging.LogRecord) -> bool:
        kind, now = (record.name, str(record.msg)), self._monotonic()
        window = self._windows.get(kind)
        if window is None or now - window.began >= EVERY:
            if len(self._windows) >= MOST_KINDS:
                self._windows.clear()
            record.left_out = window.left_out if window else 0
            window = self._windows[kind] = _Window(now)
        window.lines += 1
        passes = window.lines <= MOST
        window.left_out += not passes
        return passes


def lost_lines() -> int:
    """How many lines of the service's log are lost since it began."""
    return sum(handler.lost for handler in logging.getLogger().handlers if isinstance(handler, Journal))


def _is_kept(record: logging.LogRecord) -> bool:
    return record.name in AUDIT or getattr(record, "always", False)


def _time(record: logging.LogRecord) -> datetime:
    return datetime.fromtimestamp(record.created, UTC)


def _log_thread(args: threading.ExceptHookArgs) -> None:
    if args.exc_value is None:
        return
    name = args.thread.name if args.thread else "a thread"
    failed = (args.exc_type, args.exc_value, args.exc_traceback)
    logging.getLogger("beampermit").error("%s ended by an error", name, exc_info=failed)
