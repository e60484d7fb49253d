"""One file of recorded signals, whatever its format, as a table that SQL can ask."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from beampermit.datasets.requests import arrays
from beampermit.datasets.requests.inputs import plain_file
from beampermit.datasets.tables import literal, open_tables, text
from beampermit.errors import BadInput, Tripped, meant


@dataclass(frozen=True)
class Recording:
    """A file at `path` (relative to the project). `columns`: name -> type in duckdb's words; `units` as stated."""

    connection: Any
    path: str
    source: str
    columns: dict[str, str]
    units: dict[str, str]

    def query(self, sql: str) -> list[Any]:
        """Run SQL that reads the file. Raises `Tripped` where it cannot be read."""
        return _ask(self.connection, sql, self.path)


@dataclass(frozen=True)
class _File:
    """What an opener needs: formats of single arrays bring only `names`, and are made Parquet at `scratch`."""

    connection: Any
    root: Path
    path: str
    names: frozenset[str]
    scratch: Path

    @property
    def name(self) -> str:
        """As SQL writes it."""
        return text(literal(str(self.root / self.path)))


Opener = Callable[[_File], Recording]


def open_recording(connection: Any, root: Path, path: str, names: frozenset[str], scratch: Path) -> Recording:
    """Open a file by its suffix. Formats of single arrays are made Parquet at `scratch`, only those in `names`.

    Raises `BadInput` for a link, a pipe, an unknown suffix or a library that is not installed; `Tripped` for a file
    that cannot be read.
    """
    file = plain_file(root, path)
    suffix = file.suffix.lower()
    if suffix not in OPENERS:
        hint = meant(suffix, OPENERS) or f"; known are {', '.join(OPENERS)}"
        raise BadInput(f"no format of recordings is called {suffix!r}{hint}", file=path)
    return OPENERS[suffix](_File(connection, root, path, names, scratch))


def _parquet(file: _File) -> Recording:
    source = f"read_parquet({file.name})"
    columns = _columns(file.connection, source, file.path)
    (table,) = open_tables(file.root, {file.path: file.path})
    return Recording(file.connection, file.path, source, columns, table.units)


def _csv(file: _File) -> Recording:
    # Everything is text at first: a guess at types would drop zones and turn a stray word into a missing number.
    source = f"read_csv({file.name}, header = true, all_varchar = true, auto_detect = true)"
    return Recording(file.connection, file.path, source, _columns(file.connection, source, file.path), {})


def _of_arrays(read: Callable[[Path, str, frozenset[str]], Iterator[arrays.Block]]) -> Opener:
    def open_(file: _File) -> Recording:
        blocks = read(file.root / file.path, file.path, file.names)
        units = arrays.as_parquet(file.connection, blocks, file.scratch, file.path)
        parts = ", ".join(text(literal(str(part))) for part in sorted(file.scratch.glob("*.parquet")))
        source = f"read_parquet([{parts}])"
        return Recording(file.connection, file.path, source, _columns(file.connection, source, file.path), units)

    return open_


def _columns(connection: Any, source: str, path: str) -> dict[str, str]:
    return {column: kind for column, kind, *_ in _ask(connection, f"DESCRIBE SELECT * FROM {source}", path)}


def _ask(connection: Any, sql: str, path: str) -> list[Any]:
    import duckdb

    try:
        return connection.execute(sql).fetchall()
    except duckdb.Error as error:
        words = str(error).splitlines()[0]
        raise Tripped(f"cannot be read: {words}", file=path) from None


OPENERS: dict[str, Opener] = {
    ".parquet": _parquet,
    ".csv": _csv,
    ".h5": _of_arrays(arrays.hdf5),
    ".hdf5": _of_arrays(arrays.hdf5),
    ".sdds": _of_arrays(arrays.sdds),
}
