"""The rows of a prediction log in a span of time, of one version in service, in SQL.

A file that cannot be read is left out and said: the monitor of a service goes on where a disk does not.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, TypeVar

from beampermit.datasets.tables import INTEGERS, connect, parquet, quoted, sql_text
from beampermit.errors import Failed
from beampermit.live.extra import require_live
from beampermit.live.log.columns import AT, ROW, VERSION
from beampermit.live.log.reading import Selection, closed_files

DEVICE = f"enum_code(CAST({quoted(ROW)} AS device))"
"""SQL of a row's place in `devices`."""
SHADOW, ASKED = "served.shadow", "served.asked"
T = TypeVar("T")
BEFORE = 3600.0
"""s before a window in which the last row still says what its outputs show at the beginning."""


@dataclass(frozen=True)
class LogRows:
    """Open on a database; `until` is excluded, times are s since 1970."""

    connection: Any
    since: float
    until: float
    version: int
    """0 where none was in service."""
    others: tuple[int, ...]
    """Other versions that were in service in this time."""
    columns: dict[str, str]
    """Of this version's files, with their types."""
    files: tuple[Path, ...]
    """Of this version."""
    devices: tuple[str, ...]
    """Of `served.row`."""
    notes: list[str] = field(default_factory=list)

    @property
    def source(self) -> str:
        """SQL of these files; empty where there is none."""
        return parquet(*self.files, by_name=True) if self.files else ""

    def without_damaged(self, read: Callable[[LogRows], T]) -> T:
        """What `read` gives of these rows; of those in sound files where a file is damaged within."""
        import duckdb

        try:
            return read(self)
        except duckdb.Error as error:
            damaged = {file: why for file in self.files if (why := _damage(self.connection, file))}
            if not damaged:
                raise Failed(f"the prediction log cannot be read: {str(error).splitlines()[0]}") from None
        sound = tuple(file for file in self.files if file not in damaged)
        notes = [*self.notes, *(f"{file.name} cannot be read: {why}" for file, why in damaged.items())]
        return read(replace(self, files=sound, notes=notes))

    def asked(self, columns: Sequence[str]) -> Any:
        """A result of the rows that the model was asked, in the order in which they were written."""
        return self._select(columns, f"{quoted(ASKED)} AND {_during(self.since, self.until)}")

    def shown(self, columns: Sequence[str]) -> Any:
        """A result of all rows, and of those shortly before."""
        return self._select(columns, _during(self.since - BEFORE, self.until))

    def _select(self, columns: Sequence[str], where: str) -> Any:
        own = f"{quoted(VERSION)} = {self.version} AND NOT {quoted(SHADOW)}"
        return self.connection.sql(f"SELECT {', '.join(columns)} FROM {self.source} WHERE {own} AND {where}")


@contextmanager
def open_rows(folder: Path, since: float, until: float, version: int | None = None) -> Iterator[LogRows]:
    """The rows of a version, or of the one that was in service last. Raises `BadInput` where there is no log."""
    require_live("to read the prediction log")
    selection = Selection(_moment(since - BEFORE), _moment(until))
    with TemporaryDirectory(prefix="beampermit-window-") as scratch:
        files = closed_files(folder, selection, Path(scratch))
        connection = connect(temp_directory=f"{scratch}/spill")
        connection.execute("SET TimeZone = 'UTC'")
        try:
            yield _rows(connection, files, since, until, version)
        finally:
            connection.close()


def _rows(connection: Any, files: Sequence[Path], since: float, until: float, version: int | None) -> LogRows:
    import duckdb

    notes, newest, columns = list[str](), dict[Path, dict[int, float]](), dict[Path, dict[str, str]]()
    for file in files:
        try:
            described = connection.execute(f"DESCRIBE SELECT * FROM {parquet(file)}").fetchall()
            kinds = {name: kind for name, kind, *_ in described}
            if (kind := kinds.get(VERSION, "BIGINT")) not in INTEGERS:  # SQL is made of what it says
                kind = kind.partition("(")[0]
                notes.append(f"{file.name} cannot be read: {VERSION} has type {kind}, which is no version")
                continue
            newest[file] = _newest(connection, file, until)
        except duckdb.Error as error:
            notes.append(f"{file.name} cannot be read: {str(error).splitlines()[0]}")
            continue
        columns[file] = kinds
    last = {number: max(of.get(number, 0.0) for of in newest.values()) for of in newest.values() for number in of}
    if version is None:
        version = max(last, key=lambda number: (last[number], number), default=0)
    own = [file for file, of in newest.items() if version in of]
    source = parquet(*own, by_name=True) if own else ""
    return LogRows(
        connection,
        since,
        until,
        version,
        tuple(sorted(number for number, at in last.items() if number != version and at >= since)),
        {name: kind for file in own for name, kind in columns[file].items()},
        tuple(own),
        _number_devices(connection, source) if source else (),
        notes,
    )


def _number_devices(connection: Any, source: str) -> tuple[str, ...]:
    found = connection.execute(
        f"SELECT DISTINCT {quoted(ROW)} FROM {source} WHERE {quoted(ROW)} IS NOT NULL"
    ).fetchall()
    devices = tuple(sorted(name for (name,) in found))
    connection.execute(f"CREATE TYPE device AS ENUM ({', '.join(map(sql_text, devices))})")
    return devices


def _damage(connection: Any, file: Path) -> str:
    """Why a file cannot be read to its end; empty where it can."""
    import duckdb

    try:
        connection.execute(f"SELECT bit_xor(hash(COLUMNS(*))) FROM {parquet(file)}").fetchall()
    except duckdb.Error as error:
        return str(error).splitlines()[0]
    return ""


def _newest(connection: Any, file: Path, until: float) -> dict[int, float]:
    """The versions in service in a file, each with the time of its newest row before `until`."""
    where = f"NOT {quoted(SHADOW)} AND {quoted(AT)} < {_sql_time(until)} AND {quoted(VERSION)} IS NOT NULL"
    found = connection.execute(
        f"SELECT {quoted(VERSION)}, epoch_us(max({quoted(AT)})) FROM {parquet(file)} WHERE {where} GROUP BY ALL"
    ).fetchall()
    return {number: at / 1e6 for number, at in found}


def _during(since: float, until: float) -> str:
    return f"{quoted(AT)} >= {_sql_time(since)} AND {quoted(AT)} < {_sql_time(until)}"


def _sql_time(at: float) -> str:
    return f"make_timestamptz({round(at * 1e6)})"


def _moment(at: float) -> datetime:
    return datetime.fromtimestamp(at, UTC)
