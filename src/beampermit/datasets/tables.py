"""A Parquet file asked in SQL: never loaded whole, never trusted to be what its name says."""

from __future__ import annotations

import base64
import json
import re
import struct
from collections.abc import Iterator, Mapping
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from beampermit.datasets.workspace import oddities
from beampermit.errors import Failed

if TYPE_CHECKING:
    import numpy as np


def connect(**settings: Any) -> Any:
    """A duckdb connection that fetches no extensions and never draws progress on stdout, where our JSON goes."""
    import duckdb

    alone = {"autoinstall_known_extensions": False, "autoload_known_extensions": False}
    connection = duckdb.connect(":memory:", config={**alone, **settings})
    connection.execute("SET enable_progress_bar = false")
    return connection


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


BELIEVERS = {
    "statistics_propagation",
    "filter_pushdown",
    "join_filter_pushdown",
    "row_group_pruner",
    "partial_aggregate_pushdown",
    "compressed_materialization",
    "top_n",
}
"""Optimizers that answer from what a file's footer says of its values instead of reading them. Writers leave NaN out of
it, and a footer can say anything: a check reads the values."""
NUMERIC = re.compile(
    r"(U?(TINY|SMALL|BIG|HUGE)INT|U?INTEGER|FLOAT|DOUBLE|DECIMAL\(\d+,\d+\)|BOOLEAN)(?P<dimensions>(\[\d*\])*)"
)


class Table:
    """One split's file. Raises `Failed` where it cannot be read as Parquet."""

    def __init__(self, connection: Any, root: Path, split: str, path: str):
        self._connection = connection
        self._file = root / path
        self.split = split
        self.path = path
        for odd, what in oddities(self._file, root, root / ".dvc/cache"):
            raise Failed(f"is {what}, not a file", file=odd)

    @property
    def source(self) -> str:
        """What stands after FROM."""
        return f"read_parquet({text(literal(str(self._file)))})"

    @property
    def numbered(self) -> str:
        """What stands after FROM where `file_row_number` is wanted as well; it costs time."""
        return f"read_parquet({text(literal(str(self._file)))}, file_row_number = true)"

    @cached_property
    def columns(self) -> dict[str, str]:
        """Name -> type, in duckdb's words."""
        described = self.query(f"DESCRIBE SELECT * FROM {self.source}")
        return {name: kind for name, kind, *_ in described}

    def dimensions(self, column: str) -> int | None:
        """0 of a column of numbers, 1 of lists of numbers, 2 of lists of lists; None of anything else."""
        found = NUMERIC.fullmatch(self.columns[column])
        return found["dimensions"].count("[") if found else None

    @cached_property
    def units(self) -> dict[str, str]:
        """Units that the file states: a field's `unit` in the Arrow schema, or `units` of the file, as JSON."""
        rows = self.query(f"SELECT key, value FROM parquet_kv_metadata({text(literal(str(self._file)))})")
        stated = {_bytes(key): _bytes(value) for key, value in rows}
        return {**_of_file(stated.get(b"units", b"{}")), **units(stated.get(b"ARROW:schema", b""))}

    def query(self, sql: str) -> list[Any]:
        """Run SQL on this table. Several threads may ask at once."""
        import duckdb

        try:
            with self._connection.cursor() as cursor:
                return cursor.execute(sql).fetchall()
        except duckdb.Error as error:
            raise self._unreadable(error) from None

    def numbers(self, sql: str) -> np.ndarray:
        """Run SQL that gives one column of numbers without nulls; give them as an array that may be written to."""
        import duckdb
        import numpy as np

        try:
            with self._connection.cursor() as cursor:
                (column,) = cursor.execute(sql).fetchnumpy().values()
        except duckdb.Error as error:
            raise self._unreadable(error) from None
        return np.require(column, requirements="W")

    def batches(self, sql: str, size: int) -> Iterator[list[Any]]:
        """Run SQL on this table; give the answer in pieces of at most `size` rows, never whole."""
        import duckdb

        cursor = self._connection.cursor()
        try:
            cursor.execute(sql)
            while rows := cursor.fetchmany(size):
                yield rows
        except duckdb.Error as error:
            raise self._unreadable(error) from None
        finally:
            cursor.close()

    def _unreadable(self, error: Exception) -> Failed:
        words = str(error).splitlines()[0].replace(str(self._file), self.path)
        return Failed(f"cannot be read: {words}", file=self.path)


def open_tables(root: Path, splits: Mapping[str, str]) -> list[Table]:
    """The splits' files, on one connection that reaches nothing but files. Raises `Failed` for pipes and links."""
    connection = connect()
    known = {name for (name,) in connection.execute("SELECT name FROM duckdb_optimizers()").fetchall()}
    connection.execute(f"SET disabled_optimizers = '{','.join(sorted(BELIEVERS & known))}'")
    return [Table(connection, root.resolve(), split, path) for split, path in splits.items()]


def name(column: str) -> str:
    """A column's name as SQL writes it."""
    return '"' + column.replace('"', '""') + '"'


def text(value: str) -> str:
    """A text as SQL writes it."""
    return "'" + value.replace("'", "''") + "'"


def literal(path: str) -> str:
    """The path with what duckdb would take for a pattern."""
    return re.sub(r"[*?\[]", lambda found: f"[{found[0]}]", path)


def _bytes(word: str | bytes) -> bytes:
    return word.encode() if isinstance(word, str) else bytes(word)


def _of_file(content: bytes) -> dict[str, str]:
    try:
        found = json.loads(content)
    except (ValueError, RecursionError):
        return {}
    return {key: value for key, value in found.items() if isinstance(value, str)} if isinstance(found, dict) else {}
