"""Universal Binary JSON, in which XGBoost saves models: numbers, texts, lists and objects, nothing that runs.

Files are hostile: each declared length is checked against the bytes that are there before anything is made of it.
"""

from __future__ import annotations

import struct
from pathlib import Path
from typing import TYPE_CHECKING, Any

from beampermit.errors import BadInput

if TYPE_CHECKING:
    import numpy as np

DEEPEST = 64
MOST_VALUES = 5_000_000
"""Values, an array of one type counted as one; a forest of 100,000 trees has fewer."""
NUMBERS = {"i": ">i1", "U": ">u1", "I": ">i2", "l": ">i4", "L": ">i8", "d": ">f4", "D": ">f8"}
"""Marker -> numpy's type; all numbers are big-endian."""
SHAPES = {"i": ">b", "U": ">B", "I": ">h", "l": ">i", "L": ">q", "d": ">f", "D": ">d"}
"""Marker -> struct's type."""
CONSTANTS = {"Z": None, "T": True, "F": False}


def parse_ubjson(content: bytes, name: Path | str) -> Any:
    """Parse a file of one object; an array of one type becomes a numpy array. Raises `BadInput` with the byte."""
    reader = _Reader(memoryview(content))
    try:
        value = reader.whole()
    except _Broken as error:
        raise BadInput(f"not UBJSON: {error} (byte {reader.position})", file=name) from None
    if reader.position != len(content):
        raise BadInput(f"not UBJSON: more follows its end (byte {reader.position})", file=name)
    return value


class _Broken(Exception):
    """What is wrong at the reader's position."""


class _Reader:
    def __init__(self, content: memoryview):
        self.content, self.position, self.left = content, 0, MOST_VALUES

    def whole(self) -> dict[str, Any]:
        if self.marker() != "{":
            raise _Broken("it does not begin with an object")
        return self.object(1)

    def take(self, size: int) -> memoryview:
        end = self.position + size
        if size < 0 or end > len(self.content):
            raise _Broken(f"{size} bytes are declared, {len(self.content) - self.position} are left")
        taken = self.content[self.position : end]
        self.position = end
        return taken

    def marker(self) -> str:
        return chr(self.take(1)[0])

    def number(self, marker: str) -> Any:
        shape = SHAPES.get(marker)
        if shape is None:
            raise _Broken(f"{marker!r} is not a number")
        return struct.unpack(shape, self.take(struct.calcsize(shape)))[0]

    def length(self) -> int:
        marker = self.marker()
        if marker not in SHAPES or marker in "dD":
            raise _Broken(f"{marker!r} is not a length")
        return self.number(marker)

    def text(self, size: int) -> str:
        try:
            return str(self.take(size), "utf-8")
        except UnicodeDecodeError:
            raise _Broken("a text is not UTF-8") from None

    def value(self, marker: str, depth: int) -> Any:
        self.left -= 1
        if self.left < 0:
            raise _Broken(f"more than {MOST_VALUES} values")
        if depth > DEEPEST:
            raise _Broken(f"nested more than {DEEPEST} deep")
        if marker in CONSTANTS:
            return CONSTANTS[marker]
        match marker:
            case "{":
                return self.object(depth + 1)
            case "[":
                return self.array(depth + 1)
            case "S" | "H":
                return self.text(self.length())
            case "C":
                return self.text(1)
        return self.number(marker)

    def array(self, depth: int) -> list[Any] | np.ndarray:
        kind, count = self._header()
        if kind:
            return self._of_one_type(kind, count or 0)
        values: list[Any] = []
        while len(values) != count:
            marker = self.marker()
            if marker == "]" and count is None:
                break
            values.append(self.value(marker, depth))
        return values

    def object(self, depth: int) -> dict[str, Any]:
        kind, count = self._header()
        if kind:
            raise _Broken("an object of one type, which XGBoost does not write")
        values: dict[str, Any] = {}
        while len(values) != count:
            if count is None and self.content[self.position : self.position + 1] == b"}":
                self.position += 1
                break
            key = self.text(self.length())
            if key in values:
                raise _Broken(f"{key[:40]!r} is given twice")
            values[key] = self.value(self.marker(), depth)
        return values

    def _header(self) -> tuple[str, int | None]:
        """Type and number of the values of an array or object, where it declares them."""
        kind, count = "", None
        if self.content[self.position : self.position + 1] == b"$":
            self.position += 1
            kind = self.marker()
        if self.content[self.position : self.position + 1] == b"#":
            self.position += 1
            count = self.length()
        if kind and count is None:
            raise _Broken("a type without a number of values")
        if count is not None and count < 0:
            raise _Broken("a negative number of values")
        return kind, count

    def _of_one_type(self, kind: str, count: int) -> np.ndarray:
        import numpy as np

        if kind not in NUMBERS:
            raise _Broken(f"an array of {kind!r}, which is not a number")
        number = np.dtype(NUMBERS[kind])
        return np.frombuffer(self.take(count * number.itemsize), number)
