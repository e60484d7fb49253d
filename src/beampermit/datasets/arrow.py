"""Units in the Arrow schema that Parquet files carry (`ARROW:schema`), without the 100 MB of Arrow.

The schema is a flatbuffer: Message -> Schema -> Field {name, custom_metadata}. Only these tables are walked, and
what does not hold together states no units.
"""

from __future__ import annotations

import base64
import struct
from collections.abc import Iterator

LARGEST = 2**20
MOST_FIELDS, MOST_STATEMENTS = 10_000, 100
"""More than tables of signals have, and few enough to be walked at once."""
_HEADER, _FIELDS = 2, 1
"""Places of the tables' members: Message.header, Schema.fields, and below Field.name and Field.custom_metadata."""
_NAME, _METADATA = 0, 6
_KEY, _VALUE = 0, 1


def units(encoded: bytes) -> dict[str, str]:
    """Field -> its `unit` (or `units`), of a base64 schema; nothing of bytes that are no schema."""
    if not encoded or len(encoded) > LARGEST:
        return {}
    try:
        buffer = base64.b64decode(encoded)
        start = 8 if buffer[:4] == b"\xff\xff\xff\xff" else 4
        message = _Table.root(buffer[start:])
        return dict(_units(message))
    except (ValueError, struct.error, IndexError):
        return {}


def _units(message: _Table) -> Iterator[tuple[str, str]]:
    schema = message.table(_HEADER)
    for field in schema.tables(_FIELDS, MOST_FIELDS) if schema else ():
        stated = {pair.text(_KEY): pair.text(_VALUE) for pair in field.tables(_METADATA, MOST_STATEMENTS)}
        if unit := stated.get("unit", stated.get("units")):
            yield field.text(_NAME), unit


class _Table:
    """A flatbuffer's table: a signed distance to its list of members' places, then the members."""

    def __init__(self, buffer: bytes, place: int):
        self._buffer = buffer
        self._place = place
        self._members = place - struct.unpack_from("<i", buffer, place)[0]
        if self._members < 0:
            raise ValueError("outside the buffer")

    @classmethod
    def root(cls, buffer: bytes) -> _Table:
        return cls(buffer, struct.unpack_from("<I", buffer, 0)[0])

    def table(self, member: int) -> _Table | None:
        place = self._member(member)
        return None if place is None else _Table(self._buffer, self._follow(place))

    def tables(self, member: int, most: int) -> list[_Table]:
        place = self._member(member)
        if place is None:
            return []
        start = self._follow(place)
        (count,) = struct.unpack_from("<I", self._buffer, start)
        if count > most:
            raise ValueError("longer than any that is meant")
        return [_Table(self._buffer, self._follow(start + 4 + 4 * number)) for number in range(count)]

    def text(self, member: int) -> str:
        place = self._member(member)
        if place is None:
            return ""
        start = self._follow(place)
        (length,) = struct.unpack_from("<I", self._buffer, start)
        return self._buffer[start + 4 : start + 4 + length].decode()

    def _member(self, number: int) -> int | None:
        (size,) = struct.unpack_from("<H", self._buffer, self._members)
        if 4 + 2 * number >= size:
            return None
        (distance,) = struct.unpack_from("<H", self._buffer, self._members + 4 + 2 * number)
        return self._place + distance if distance else None

    def _follow(self, place: int) -> int:
        return place + struct.unpack_from("<I", self._buffer, place)[0]
