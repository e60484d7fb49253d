"""Parquet files, queried in SQL by duckdb: never loaded whole, and their footers are never trusted."""

from __future__ import annotations

import base64
import glob
import json
import struct
from collections.abc import Callable, Iterator, Mapping
from functools import cache, cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from beampermit.datasets.arrays import depth_of
from beampermit.datasets.workspace import irregular_files
from beampermit.errors import Failed

if TYPE_CHECKING:
    import numpy as np


FOOTER_OPTIMIZERS = {
    "statistics_propagation",
    "filter_pushdown",
    "join_filter_pushdown",
    "row_group_pruner",
    "partial_aggregate_pushdown",
    "compressed_materialization",
    "top_n",
}
"""duckdb optimizers that use a file's footer statistics instead of its values. Writers leave NaN out of them, and
anybody can write any statistics, so they are switched off."""

LARGEST_SCHEMA = 2**20
MOST_FIELDS, MOST_METADATA = 10_000, 100
"""Limits of what is read of an Arrow schema: above what tables of signals need, and quick to walk."""
_HEADER, _FIELDS = 2, 1
"""Member numbers in the flatbuffer: Message.header, Schema.fields; below, Field.name and Field.custom_metadata."""
_NAME, _METADATA = 0, 6
_KEY, _VALUE = 0, 1


_SIZES = ("TINYINT", "SMALLINT", "INTEGER", "BIGINT", "HUGEINT")
INTEGERS = frozenset({*_SIZES, *(f"U{size}" for size in _SIZES)})
"""Types of duckdb whose values are safe in SQL."""

OFFLINE: dict[str, Any] = {"autoinstall_known_extensions": False, "autoload_known_extensions": False}


def use_threads(count: int) -> None:
    """So many in each connection of this process from now on: duckdb takes all cores, which others use too."""
    OFFLINE["threads"] = count


def connect(**settings: Any) -> Any:
    """A duckdb connection that loads no extensions and draws no progress bar on stdout, which is for JSON."""
    import duckdb

    connection = duckdb.connect(":memory:", config={**OFFLINE, **settings})
    connection.execute("SET enable_progress_bar = false")
    return connection


def connect_to_read() -> Any:
    """As `connect`, for queries that make nothing and set nothing: to make a database takes longer than such a query,
    so these share one.
    """
    connection = _shared_database().cursor()
    connection.execute("SET enable_progress_bar = false")
    return connection


@cache
def _shared_database() -> Any:
    """It keeps nothing of a file, which may be another one the next time."""
    import duckdb

    return duckdb.connect(":memory:", config={**OFFLINE, "enable_external_file_cache": False})


def open_tables(root: Path, splits: Mapping[str, str], *, own_database: bool = False) -> list[Table]:
    """The splits' files on one connection. Raises `Failed` for a pipe or a link.

    `own_database`: for queries that make or set something; others share one, as `connect_to_read` says.
    """
    connection = connect_without_footers() if own_database else _shared_without_footers()
    return [Table(connection, root.resolve(), split, path) for split, path in splits.items()]


@cache
def _shared_without_footers() -> Any:
    return connect_without_footers(enable_external_file_cache=False)


def connect_without_footers(**settings: Any) -> Any:
    """As `connect`; values are read, whatever the statistics in a file's footer say."""
    connection = connect(**settings)
    optimizers = {name for (name,) in connection.execute("SELECT name FROM duckdb_optimizers()").fetchall()}
    connection.execute(f"SET disabled_optimizers = '{','.join(sorted(FOOTER_OPTIMIZERS & optimizers))}'")
    return connection


def quoted(column: str) -> str:
    """A column name in SQL."""
    return '"' + column.replace('"', '""') + '"'


def sql_text(value: str) -> str:
    """A string literal in SQL."""
    return "'" + value.replace("'", "''") + "'"


def parquet(*files: Path, numbered: bool = False, by_name: bool = False, named: bool = False) -> str:
    """A FROM clause that reads Parquet files, their names taken literally; with `file_row_number` if `numbered`, and
    `filename` if `named`.

    `by_name`: a column that some files do not have is null in their rows.
    """
    paths = ", ".join(sql_path(file) for file in files)
    chosen = {"file_row_number": numbered, "union_by_name": by_name, "filename": named}
    options = "".join(f", {name} = true" for name, wanted in chosen.items() if wanted)
    return f"read_parquet([{paths}]{options})"


def sql_path(file: Path) -> str:
    """A path to read in SQL: duckdb takes an unescaped `*`, `?` or `[` for a pattern."""
    return sql_text(glob.escape(str(file)))


class Table:
    """The file of one split. Raises `Failed` if it is no readable Parquet file."""

    def __init__(self, connection: Any, root: Path, split: str, path: str):
        self._connection = connection
        self._file = root / path
        self.split = split
        self.path = path
        for odd, what in irregular_files(self._file, root):
            raise Failed(f"is {what}, not a file", file=odd)

    @property
    def source(self) -> str:
        """The FROM clause."""
        return parquet(self._file)

    @property
    def numbered(self) -> str:
        """The FROM clause with `file_row_number`, which costs time."""
        return parquet(self._file, numbered=True)

    @cached_property
    def columns(self) -> dict[str, str]:
        """Name -> duckdb type."""
        described = self.query(f"DESCRIBE SELECT * FROM {self.source}")
        return {name: kind for name, kind, *_ in described}

    def dimensions(self, column: str) -> int | None:
        """0 for a column of numbers, 1 for lists of numbers, 2 for lists of lists; None for any other type."""
        return depth_of(self.columns[column])

    def is_time(self, column: str) -> bool:
        return self.columns[column].startswith(("TIMESTAMP", "DATE"))

    def shown_time(self, column: str) -> str:
        """SQL condition: a finite time of the years 1 to 9999, which documents can show; null for a null.

        Nanoseconds that are taken for microseconds are in the year 57,000 or so.
        """
        kind, name = self.columns[column], quoted(column)
        if kind == "TIMESTAMP_NS":  # holds the years 1677 to 2262
            return f"isfinite({name})"
        first, end = (f"CAST('{day} 00:00:00+00' AS {kind})" for day in ("0001-01-01", "9999-12-31"))
        return f"(isfinite({name}) AND {name} >= {first} AND {name} < {end})"

    def microseconds(self, column: str) -> str:
        """SQL of a time in microseconds since 1970; null where it is none that documents can show."""
        return f"CASE WHEN {self.shown_time(column)} THEN epoch_us({quoted(column)}) END"

    @cached_property
    def units(self) -> dict[str, str]:
        return units_of(self.query, self._file)

    def query(self, sql: str) -> list[Any]:
        """Run SQL on this table; safe from several threads."""
        import duckdb

        try:
            with self._connection.cursor() as cursor:
                return cursor.execute(sql).fetchall()
        except duckdb.Error as error:
            raise self._unreadable(error) from None

    def numbers(self, sql: str) -> np.ndarray:
        """Run SQL that selects one column of numbers without nulls; return it as a writable array."""
        import numpy as np

        (column,) = self.arrays(sql)
        return np.require(column, requirements="W")

    def arrays(self, sql: str) -> list[np.ndarray]:
        """Run SQL that selects columns of numbers; return an array for each, masked where it has nulls."""
        import duckdb

        try:
            with self._connection.cursor() as cursor:
                return [*cursor.execute(sql).fetchnumpy().values()]
        except duckdb.Error as error:
            raise self._unreadable(error) from None

    def batches(self, sql: str, size: int) -> Iterator[list[Any]]:
        """Run SQL on this table; yield at most `size` rows at a time."""
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
        reason = str(error).splitlines()[0].replace(str(self._file), self.path)
        return Failed(f"cannot be read: {reason}", file=self.path)


def units_of(run: Callable[[str], list[Any]], file: Path) -> dict[str, str]:
    """The units of a file: a field's `unit` in the Arrow schema, or the file's metadata `units` (JSON).

    `run` gives the rows of a query in SQL.
    """
    rows = run(f"SELECT key, value FROM parquet_kv_metadata({sql_path(file)})")
    metadata = {_bytes(key): _bytes(value) for key, value in rows}
    return {**_json_units(metadata.get(b"units", b"{}")), **arrow_units(metadata.get(b"ARROW:schema", b""))}


def _bytes(value: str | bytes) -> bytes:
    return value.encode() if isinstance(value, str) else bytes(value)


def _json_units(content: bytes) -> dict[str, str]:
    try:
        units = json.loads(content)
    except (ValueError, RecursionError):
        return {}
    return {key: value for key, value in units.items() if isinstance(value, str)} if isinstance(units, dict) else {}


def arrow_units(encoded: bytes) -> dict[str, str]:
    """Field -> its `unit` (or `units`) in a base64 Arrow schema; empty if the bytes are no schema."""
    if not encoded or len(encoded) > LARGEST_SCHEMA:
        return {}
    try:
        buffer = base64.b64decode(encoded)
        start = 8 if buffer[:4] == b"\xff\xff\xff\xff" else 4
        return dict(_field_units(_Flatbuffer.root(buffer[start:])))
    except (ValueError, struct.error, IndexError):
        return {}


def _field_units(message: _Flatbuffer) -> Iterator[tuple[str, str]]:
    schema = message.table(_HEADER)
    for field in schema.tables(_FIELDS, MOST_FIELDS) if schema else ():
        metadata = {pair.text(_KEY): pair.text(_VALUE) for pair in field.tables(_METADATA, MOST_METADATA)}
        if unit := metadata.get("unit", metadata.get("units")):
            yield field.text(_NAME), unit


class _Flatbuffer:
    """A flatbuffer table: at `position`, a signed distance to the vtable, which holds the members' offsets."""

    def __init__(self, buffer: bytes, position: int):
        self._buffer = buffer
        self._position = position
        self._vtable = position - struct.unpack_from("<i", buffer, position)[0]
        if self._vtable < 0:
            raise ValueError("outside the buffer")

    @classmethod
    def root(cls, buffer: bytes) -> _Flatbuffer:
        return cls(buffer, struct.unpack_from("<I", buffer, 0)[0])

    def table(self, member: int) -> _Flatbuffer | None:
        position = self._member(member)
        return None if position is None else _Flatbuffer(self._buffer, self._follow(position))

    def tables(self, member: int, most: int) -> list[_Flatbuffer]:
        position = self._member(member)
        if position is None:
            return []
        start = self._follow(position)
        (count,) = struct.unpack_from("<I", self._buffer, start)
        if count > most:
            raise ValueError(f"{count} items; the limit is {most}")
        return [_Flatbuffer(self._buffer, self._follow(start + 4 + 4 * number)) for number in range(count)]

    def text(self, member: int) -> str:
        position = self._member(member)
        if position is None:
            return ""
        start = self._follow(position)
        (length,) = struct.unpack_from("<I", self._buffer, start)
        return self._buffer[start + 4 : start + 4 + length].decode()

    def _member(self, number: int) -> int | None:
        (size,) = struct.unpack_from("<H", self._buffer, self._vtable)
        if 4 + 2 * number >= size:
            return None
        (offset,) = struct.unpack_from("<H", self._buffer, self._vtable + 4 + 2 * number)
        return self._position + offset if offset else None

    def _follow(self, position: int) -> int:
        return position + struct.unpack_from("<I", self._buffer, position)[0]
