"""What clients write, seen and logged: who, from where, the PV, its field, the old value and the new one.

Access security of EPICS refuses a client before anybody here hears of it: what is seen is what it let through.
"""

from __future__ import annotations

import ctypes
import json
import logging
import queue
import re
import threading
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from itertools import count
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from beampermit.live.epics.base import Base

LOG = logging.getLogger("beampermit.puts")
BEYOND_FIELD = re.compile(r"[^A-Z0-9_]")
CLOSED = None
PATIENCE = 10.0
"""Seconds for what was written before the end, and for a client that writes."""


class _Message(ctypes.Structure):
    """asTrapWriteMessage; a channel begins with a pointer to its name."""

    _fields_ = (
        ("user", ctypes.c_char_p),
        ("host", ctypes.c_char_p),
        ("channel", ctypes.POINTER(ctypes.c_char_p)),
        ("ours", ctypes.c_void_p),
        ("type", ctypes.c_int),
        ("count", ctypes.c_int),
        ("data", ctypes.c_void_p),
    )


LISTENER = ctypes.CFUNCTYPE(None, ctypes.POINTER(_Message), ctypes.c_int)


@dataclass(frozen=True)
class Put:
    """Values are None where the field holds no number."""

    user: str
    host: str
    pv: str
    field: str
    old: float | None
    new: float | None


class Puts:
    """`judge` is called with each put, by one thread, and says why it is refused, or nothing; then it is logged."""

    def __init__(self, base: Base, judge: Callable[[Put], str]):
        self._base, self._judge = base, judge
        self._numbers = count(1)
        self._begun: dict[int, tuple[str, float | None, float]] = {}
        """Record, old value and begin of puts whose new value has not been read yet."""
        self._waiting: queue.SimpleQueue[Put | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._work, name="puts", daemon=True)
        self._thread.start()
        base.listen(LISTENER(self._hear))

    def close(self) -> None:
        self._waiting.put(CLOSED)
        self._thread.join(PATIENCE)

    def begun(self, record: str) -> bool:
        """Whether a client is writing to it: what it wrote has not been read yet, and must not be written over.

        A client that was lost while it wrote holds up nobody for long.
        """
        since = time.monotonic() - PATIENCE
        return any(record == other and begin > since for other, _, begin in tuple(self._begun.values()))

    def _hear(self, pointer: Any, after: int) -> None:
        """Called by a thread of a server, which waits: the work is done elsewhere."""
        message = pointer[0]
        record, field = channel_of(message.channel[0].decode(errors="replace"))
        value = self._base.number(f"{record}.{field}")
        if not after:
            message.ours = number = next(self._numbers)
            self._begun[number] = record, value, time.monotonic()
            return
        user, host = (text.decode(errors="replace") for text in (message.user, message.host))
        _, old, _ = self._begun.pop(message.ours, (record, None, 0.0))
        self._waiting.put(Put(user, host, record, field, old, value))

    def _work(self) -> None:
        while put := self._waiting.get():
            try:
                refused = self._judge(put)
            except Exception:
                LOG.exception("a put could not be taken: %s", put)
                continue
            _log(put, refused)


def channel_of(name: str) -> tuple[str, str]:
    """Record and field of a channel's name, which may end in filters: `A:B.HIHI{"ts":{}}`."""
    record, _, rest = name.partition(".")
    return record, BEYOND_FIELD.split(rest, maxsplit=1)[0] or "VAL"


def _log(put: Put, refused: str) -> None:
    """One line of JSON, which has no NaN."""
    values = {key: value if value == value else "NaN" for key, value in asdict(put).items()}  # noqa: PLR0124
    line = {"put": "refused" if refused else "accepted", **values, **({"reason": refused} if refused else {})}
    level = logging.WARNING if refused else logging.INFO
    LOG.log(level, "%s", json.dumps(line, default=str), extra={"fields": line})
