"""Reads prediction logs: closed files, and those that a service is writing now."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from beampermit.contract.part import DURATION, SECONDS
from beampermit.datasets.tables import connect, parquet, quoted, sql_path, sql_text
from beampermit.errors import BadInput, Failed
from beampermit.live.extra import require_live
from beampermit.live.log.columns import AT, DETAILS, FARTHEST, ROW, VERSION
from beampermit.live.log.prediction_log import PERIOD
from beampermit.live.log.stream import BEGAN, CLOSED, write_parquet

NAME = re.compile(r"(\d{4}-\d\d-\d\dT\d{6}\.\d{6}Z)\.(arrow|parquet)")
LATE = timedelta(minutes=1)
"""Far more than rows wait before they are written to a file that is named by its first write."""
INVALID = 3


@dataclass(frozen=True)
class Selection:
    """Which rows of a log: `since` and `until` are times with a zone, of the cycles; `until` is excluded."""

    since: datetime | None = None
    until: datetime | None = None
    versions: tuple[int, ...] = ()
    """All where empty."""
    outputs: tuple[str, ...] = ()
    """All where empty; inputs are always there."""
    invalid: bool = False
    """Only rows of which one of these outputs is INVALID."""

    @property
    def condition(self) -> str:
        """SQL of times and versions."""
        limits = ((">=", self.since), ("<", self.until))
        parts = [f"{quoted(AT)} {sign} TIMESTAMPTZ '{time.isoformat()}'" for sign, time in limits if time]
        if self.versions:
            parts.append(f"{quoted(VERSION)} IN ({', '.join(map(str, self.versions))})")
        return " AND ".join(parts) or "true"


class Log:
    """The rows of a selection, open in a database. All columns are as in the files."""

    def __init__(self, connection: Any, files: Sequence[Path], selection: Selection):
        self._connection, self._files, self._selection = connection, files, selection
        self._source = parquet(*files, by_name=True)
        self.names = self._names()
        self.outputs = tuple(name for name in self.names if f"{name}.{DETAILS[0]}" in self.names)
        """Those of the selection."""
        if unknown := sorted({*selection.outputs} - {*self.outputs}):
            raise BadInput(f"no output {unknown[0]!r} is in this log; it has {', '.join(self.outputs)}")
        self.outputs = selection.outputs or self.outputs

    def sql(self, newest: int | None = None) -> str:
        """SQL of the rows in order of time, or of so many `newest`."""
        order = ", ".join(map(quoted, (AT, VERSION, ROW)))
        latest = f"ORDER BY {quoted(AT)} DESC, {quoted(ROW)} DESC LIMIT {newest}" if newest is not None else ""
        selected = f"SELECT {', '.join(map(quoted, self._columns))} FROM {self._source} WHERE {self._where} {latest}"
        return f"SELECT * FROM ({selected}) ORDER BY {order}"

    def records(self, newest: int | None = None) -> Iterator[dict[str, Any]]:
        """The rows as dictionaries; times as text in UTC."""
        times = ", ".join(
            f"strftime({quoted(name)} AT TIME ZONE 'UTC', '%Y-%m-%dT%H:%M:%S.%fZ') AS {quoted(name)}"
            for name in self._columns
            if self.names[name].startswith("TIMESTAMP")
        )
        found = self._query(f"SELECT * REPLACE ({times}) FROM ({self.sql(newest)})")
        while batch := found.fetchmany(1000):
            yield from (dict(zip(self._columns, values, strict=True)) for values in batch)

    def copy(self, target: Path, format: str, newest: int | None = None, *, units: bool = False) -> int:
        """Write the rows to a file of this format; how many they are.

        With `units`, which needs all outputs, a Parquet file says of its columns what the log does.
        """
        options = ", COMPRESSION zstd" if format == "parquet" else ", HEADER"
        options += self._units() if units else ""
        return self._query(
            f"COPY ({self.sql(newest)}) TO {sql_text(str(target))} (FORMAT {format}{options})"
        ).fetchone()[0]

    def _units(self) -> str:
        """SQL that keeps what the log says of its columns, where all its files say the same."""
        schemas = {
            value
            for file in self._files
            for (value,) in self._query(
                f"SELECT value FROM parquet_kv_metadata({sql_path(file)}) WHERE key = 'ARROW:schema'"
            ).fetchall()
        }
        if len(schemas) != 1:
            return ""
        (schema,) = schemas
        text = schema.decode("ascii", "replace") if isinstance(schema, bytes) else str(schema)
        return f", KV_METADATA {{'ARROW:schema': {sql_text(text)}}}"

    @property
    def _columns(self) -> list[str]:
        others = {name for name in self.names if f"{name}.{DETAILS[0]}" in self.names} - {*self.outputs}
        return [name for name in self.names if name.rpartition(".")[0] not in others and name not in others]

    @property
    def _where(self) -> str:
        where = self._selection.condition
        if not self._selection.invalid:
            return where
        severities = (quoted(f"{output}.severity") for output in self.outputs)
        return f"{where} AND ({' OR '.join(f'{severity} = {INVALID}' for severity in severities)})"

    def _names(self) -> dict[str, str]:
        described = self._query(f"DESCRIBE SELECT * FROM {self._source}").fetchall()
        return {name: kind for name, kind, *_ in described}

    def _query(self, sql: str) -> Any:
        import duckdb

        try:
            return self._connection.execute(sql)
        except duckdb.Error as error:
            reason = f"the prediction log cannot be read: {str(error).splitlines()[0]}"
            raise Failed(reason, hint="read one version of it, by its number") from None


@contextmanager
def open_log(folder: Path, selection: Selection | None = None) -> Iterator[Log]:
    """The log in `folder`: of several models' versions, of one model, or of one version.

    Raises `BadInput` where there is none, `Failed` for damaged files.
    """
    selection = selection or Selection()
    with tempfile.TemporaryDirectory(prefix="beampermit-log-") as scratch:
        files = closed_files(folder, selection, Path(scratch))
        connection = connect(temp_directory=f"{scratch}/spill")
        try:
            connection.execute("SET TimeZone = 'UTC'")
            yield Log(connection, files, selection)
        finally:
            connection.close()


def closed_files(folder: Path, selection: Selection, scratch: Path) -> list[Path]:
    """Parquet files with the rows of a selection and others, at least one; open files are copied to `scratch`.

    Raises `BadInput` where there is no log.
    """
    every = log_files(folder)
    # Where none may hold such rows, one tells the columns all the same.
    chosen = [path for path in every if may_hold(path, selection)] or every[:1]
    copies = (scratch / f"{number:06}{CLOSED}" for number in range(len(chosen)))
    files = [file for path, copy in zip(chosen, copies, strict=True) if (file := closed_file(path, copy))]
    if not files:
        raise BadInput("the prediction log in this folder has no rows yet", file=folder)
    return files


def log_files(folder: Path) -> list[Path]:
    """At least one file, open or closed. Raises `BadInput` where there is no log."""
    if not folder.is_dir():
        raise BadInput("there is no such folder with a prediction log", file=folder)
    every = sorted(path for path in folder.rglob("*") if NAME.fullmatch(path.name))
    if not every:
        raise BadInput("there is no prediction log in this folder", file=folder)
    return every


def closed_file(path: Path, copy: Path) -> Path | None:
    """The Parquet file of a file of the log; None for an open one without rows, or one that is there as both."""
    closed = path.with_suffix(CLOSED)
    if path.suffix == CLOSED:
        return path
    if closed.exists():
        return None
    require_live("to read a prediction log that is being written")
    try:
        return copy if write_parquet(path, copy) else None
    except FileNotFoundError:
        return closed if closed.exists() else None  # it was closed just now


def may_hold(path: Path, selection: Selection) -> bool:
    """By its name, whether a file of a log may have rows of a selection."""
    if selection.versions and path.parent.name not in map(str, selection.versions):
        return False
    begins = began(path)
    ends = datetime.fromtimestamp((begins.timestamp() // PERIOD + 1) * PERIOD, UTC)
    too_old = selection.since is not None and ends + LATE < selection.since
    too_new = selection.until is not None and begins - LATE > selection.until
    return not too_old and not too_new


def began(path: Path) -> datetime:
    """When a file of a log begins, by its name. Raises `BadInput` for one that is no time of a log."""
    try:
        found = datetime.strptime(path.stem, BEGAN).replace(tzinfo=UTC)
    except ValueError:
        found = datetime.min.replace(tzinfo=UTC)
    if not 0 <= found.timestamp() < FARTHEST:
        raise BadInput("the name of this file of a prediction log is no time", file=path)
    return found


def parse_moment(text: str, now: Callable[[], datetime] = lambda: datetime.now(UTC)) -> datetime:
    """A time such as `2026-11-29T15:00:00+01:00`, or so long ago: `90s`, `2h`. Raises `BadInput`."""
    if match := DURATION.fullmatch(text.strip()):
        return now() - timedelta(seconds=float(match[1]) * SECONDS[match[2]])
    try:
        moment = datetime.fromisoformat(text.strip())
    except ValueError:
        raise BadInput(f"{text!r} is no time; write 2026-11-29T15:00:00Z, or 2h for two hours ago") from None
    if moment.utcoffset() is None:
        raise BadInput(f"{text!r} has no time zone; add Z or an offset such as +01:00")
    return moment.astimezone(UTC)
