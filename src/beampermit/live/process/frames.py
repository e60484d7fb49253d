"""Messages between the server and the model's process: a header over a socket, arrays in memory that both have.

A part of `worker.py` as well, in the project's environment. Neither side believes a length or a shape of the other, and
nothing is made of what arrives but texts and numbers of double precision. Arrays do not go through the socket: the
kernel would wake both sides for each part of them, and where others want the processor too, both would wait each time.
"""

from __future__ import annotations

import json
import math
import mmap
import os
import socket
import struct
import sys
import tempfile
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np

HEAD = struct.Struct("<QI")
"""Number of the message and bytes of its header."""
LONGEST = 2**20
"""Bytes of a header."""
MOST_NUMBERS = 2**28
"""In the arrays of a message: 2 GiB. What is never written to takes no memory."""
MOST_DIMENSIONS = 16
KINDS = ("load", "ask", "ready", "answer", "raised", "refused")


class Broken(Exception):
    """What arrived is no message, or not the one that was waited for."""


class TooLarge(Exception):
    """What is to be sent does not fit."""


@dataclass(frozen=True)
class Message:
    kind: str
    arrays: dict[str, np.ndarray]
    text: str


Layout = tuple[tuple[str, tuple[int, ...]], ...]
"""Name and shape of each array, in the order in which their numbers follow one another."""


def shared_memory() -> int:
    """The descriptor of memory for the arrays of both directions."""
    size = 2 * MOST_NUMBERS * 8
    if sys.platform != "linux":
        with tempfile.TemporaryFile() as file:
            file.truncate(size)
            return os.dup(file.fileno())
    import fcntl

    memory = os.memfd_create("beampermit", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    os.ftruncate(memory, size)
    # Whoever makes it smaller would end the other side, which reads what is no longer there.
    fcntl.fcntl(memory, fcntl.F_ADD_SEALS, fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SEAL)
    return memory


class Channel:
    """One side of a connection. Sending and receiving raise `TimeoutError` at the monotonic time `until`."""

    def __init__(self, connection: socket.socket, memory: int, *, server: bool):
        self._connection = connection
        numbers = np.frombuffer(mmap.mmap(memory, 2 * MOST_NUMBERS * 8), np.float64)
        halves = numbers[:MOST_NUMBERS], numbers[MOST_NUMBERS:]
        self._out, self._in = halves if server else halves[::-1]

    def send(
        self,
        kind: str,
        number: int,
        *,
        arrays: Mapping[str, np.ndarray] | None = None,
        text: str = "",
        until: float | None = None,
    ) -> None:
        """Raises `TooLarge`, and `OSError` where the other side is gone."""
        layout: Layout = tuple((name, values.shape) for name, values in (arrays or {}).items())
        header, count = _header(kind, layout, text)
        if len(header) > LONGEST or count > MOST_NUMBERS:
            raise TooLarge(f"{count * 8 / 2**20:.0f} MiB in {len(layout)} arrays are more than a message holds")
        if arrays:
            np.concatenate([values.reshape(-1) for values in arrays.values()], out=self._out[:count])
        self._connection.settimeout(_left(until))
        self._connection.sendall(HEAD.pack(number, len(header)) + header)

    def receive(
        self, number: int | None = None, *, most: int = MOST_NUMBERS, until: float | None = None
    ) -> tuple[int, Message]:
        """The next message and its number, with at most so many numbers in its arrays, which are copies.

        Raises `EOFError` where the other side is gone, and `Broken`, also for a message that has not this `number`.
        """
        given, length = HEAD.unpack(self._read(HEAD.size, until))
        if number is not None and given != number:
            raise Broken(f"message {given} instead of {number}")
        if length > LONGEST:
            raise Broken(f"a header of {length} bytes")
        kind, places, count, text = _parsed(self._read(length, until))
        if count > most:
            raise Broken(f"{count} numbers, and {most} are the most that was waited for")
        numbers = self._in[:count].copy()  # the other side may still write to its own
        arrays = {name: numbers[first:after].reshape(shape) for name, shape, first, after in places}
        return given, Message(kind, arrays, text)

    def shut(self) -> None:
        """End it for whoever waits for a message; also from another thread."""
        with suppress(OSError):
            self._connection.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        self._connection.close()

    def _read(self, length: int, until: float | None) -> bytes:
        parts, missing = [], length
        while missing:
            self._connection.settimeout(_left(until))
            part = self._connection.recv(min(missing, 2**16))
            if not part:
                raise EOFError
            parts.append(part)
            missing -= len(part)
        return b"".join(parts)


def _left(until: float | None) -> float | None:
    if until is None:
        return None
    left = until - time.monotonic()
    if left <= 0:
        raise TimeoutError
    return left


@lru_cache(maxsize=16)  # headers repeat: with a hundred inputs, making and parsing one takes longer than all the rest
def _header(kind: str, layout: Layout, text: str) -> tuple[bytes, int]:
    """The header, and how many numbers its arrays have."""
    return json.dumps([kind, layout, text]).encode(), sum(math.prod(shape) for _, shape in layout)


@lru_cache(maxsize=16)
def _parsed(header: bytes) -> tuple[str, list[tuple[str, tuple[int, ...], int, int]], int, str]:
    """Kind; name, shape, first number and the one after the last of each array; how many numbers; text."""
    try:
        kind, layout, text = json.loads(header)
        named = tuple((name, tuple(shape)) for name, shape in layout)
    except (ValueError, TypeError, RecursionError):
        raise Broken("a header that cannot be read") from None
    if kind not in KINDS or not isinstance(text, str) or not all(_is_array(*array) for array in named):
        raise Broken("a header that says something else than a message's")
    if len({name for name, _ in named}) != len(named):
        raise Broken("two arrays of one name")
    places, count = [], 0
    for name, shape in named:
        places.append((name, shape, count, count + math.prod(shape)))
        count = places[-1][-1]
    return kind, places, count, text


def _is_array(name: Any, shape: tuple[Any, ...]) -> bool:
    lengths = all(type(length) is int and 0 <= length <= MOST_NUMBERS for length in shape)
    # An array without a number may still have a shape that numpy refuses.
    return (
        isinstance(name, str) and lengths and len(shape) <= MOST_DIMENSIONS and math.prod(filter(None, shape)) < 2**60
    )
