"""The source `files`: recorded signals, one column a signal, in Parquet, CSV, HDF5 or SDDS inside the project."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from beampermit.contract import FILE_NAME
from beampermit.contract.part import Text
from beampermit.datasets.devices import PLACEHOLDER
from beampermit.datasets.requests import store
from beampermit.datasets.requests.inputs import plain_file, plain_files
from beampermit.datasets.requests.source import Asked, Options, Sampled, Wanted, options_of, same
from beampermit.datasets.requests.store import Store, connect
from beampermit.datasets.tables import literal, name, open_tables, text
from beampermit.digest import digest_file
from beampermit.errors import BadInput, Failed, meant
from beampermit.progress import Progress

ROWS = 20_480
"""Rows that lie together in the file: of each device few others are read."""
TIME, ORDER = "ns", "arrived"


def stage(recording: Recording, time: str, values: Mapping[str, str], chosen: tuple[str, ...], file: Path) -> Recording:
    """Write `file`: `ns` (what the SQL `time` gives), `arrived` (the row's place), the columns of `values` as the types
    that it names, their severities, and the columns `chosen` as text.

    Raises `Failed` where text is no number, or a row has no time.
    """
    _judge(recording, time, values)
    severities = [f"{column}_severity" for column in values if f"{column}_severity" in recording.columns]
    listed = [
        *(f"CAST({name(column)} AS VARCHAR) AS {name(f'of {column}')}" for column in chosen),
        *(f"CAST({name(column)} AS {kind}) AS {name(column)}" for column, kind in values.items()),
        *(f"CAST({name(column)} AS INTEGER) AS {name(column)}" for column in severities if column not in values),
    ]
    order = ", ".join([*(name(f"of {column}") for column in chosen), name(f"row {ORDER}")])
    recording.query(
        f"COPY (SELECT {time} AS {name(f'row {TIME}')}, row_number() OVER () AS {name(f'row {ORDER}')},"
        f" {', '.join(listed)} FROM {recording.source} ORDER BY {order})"
        f" TO {text(str(file))} (FORMAT parquet, COMPRESSION zstd, ROW_GROUP_SIZE {ROWS})"
    )
    return replace(recording, source=f"read_parquet({text(literal(str(file)))})")


def samples(staged: Recording, index: int, column: str, chosen: Mapping[str, str]) -> str:
    """SQL of the samples of one PV: those of `column` where the columns of `chosen` have its values."""
    where = " AND ".join(f"{name(f'of {of}')} = {text(value)}" for of, value in chosen.items())
    severity = f"{column}_severity"
    return (
        f"SELECT {name(f'row {TIME}')} AS ns, {name(column)} AS value,"
        f" {name(severity) if severity in staged.columns else '0'} AS severity,"
        f" CAST({index} AS BIGINT) * 1000000000000 + {name(f'row {ORDER}')} AS arrived, CAST(NULL AS BIGINT) AS lost"
        f" FROM {staged.source}" + (f" WHERE {where}" if where else "")
    )


def _judge(recording: Recording, time: str, values: Mapping[str, str]) -> None:
    """Text is only read as numbers where all of it are; a row without a time belongs nowhere."""
    bad = {
        column: f"{name(column)} IS NOT NULL AND TRY_CAST({name(column)} AS {values[column]}) IS NULL"
        for column in values
    }
    asked = ", ".join(f"min(CAST({name(column)} AS VARCHAR)) FILTER ({test})" for column, test in bad.items())
    timeless, *worst = recording.query(f"SELECT count(*) FILTER (({time}) IS NULL), {asked} FROM {recording.source}")[0]
    for column, word in zip(values, worst, strict=True):
        if word is not None:
            raise Failed(f"{column} holds {word[:40]!r}, which is no number", file=recording.path)
    if timeless:
        raise Failed(f"{timeless} rows have no time", file=recording.path)


@dataclass(frozen=True)
class Recording:
    """A file at `path` (relative to the project). `columns`: name -> type in duckdb's words; `units` as stated."""

    connection: Any
    path: str
    source: str
    columns: dict[str, str]
    units: dict[str, str]

    def query(self, sql: str) -> list[Any]:
        """Run SQL that reads the file. Raises `Failed` where it cannot be read."""
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

    Raises `BadInput` for a link, a pipe, an unknown suffix or a library that is not installed; `Failed` for a file
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


def _of_arrays(read: Callable[[Path, str, frozenset[str]], Iterator[store.Block]]) -> Opener:
    def open_(file: _File) -> Recording:
        blocks = read(file.root / file.path, file.path, file.names)
        units = store.as_parquet(file.connection, blocks, file.scratch, file.path)
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
        raise Failed(f"cannot be read: {words}", file=path) from None


OPENERS: dict[str, Opener] = {
    ".parquet": _parquet,
    ".csv": _csv,
    ".h5": _of_arrays(store.hdf5),
    ".hdf5": _of_arrays(store.hdf5),
    ".sdds": _of_arrays(store.sdds),
}


EPOCHS = {"s": 10**9, "ms": 10**6, "us": 10**3, "ns": 1}


class RecordingOptions(Options):
    """`dataset.request.options` of the source `files`."""

    paths: tuple[Text, ...] = Field(min_length=1)
    """Files inside the project, or patterns such as `recordings/*.parquet`."""
    time: Text = "acquired_at"
    """The column of time: with a zone, or a number since 1970 (`epoch`)."""
    epoch: Literal["s", "ms", "us", "ns"] | None = None
    """What a number in the column of time counts."""
    naive: Literal["UTC"] | None = None
    """Says that times without a zone are UTC."""
    columns: dict[str, Text] = Field(default_factory=dict)
    """Signal -> its column, where that is called neither as the signal nor as its PV; `{device}` may stand in it."""


class Recordings(Sampled):
    """Signals from files. Columns of the device table that a file has too choose its rows."""

    def __init__(self, asked: Asked) -> None:
        super().__init__(asked)
        self.options = options_of(RecordingOptions, asked)
        known = {signal.name for signal in asked.signals}
        if strange := sorted(set(self.options.columns) - known):
            raise BadInput(
                f"dataset.request.options.columns: {strange[0]!r} is no signal of the request", file=FILE_NAME
            )

    def collect(self, store: Store, progress: Progress) -> dict[str, Any]:
        """Read the files. Raises `BadInput` for files that are none, `Failed` for what is wrong in them."""
        paths = list(dict.fromkeys(path for one in self.options.paths for path in plain_files(self.asked.root, one)))
        scratch = self.asked.folder / "recordings"
        scratch.mkdir(exist_ok=True)
        connection = connect(self.asked.folder)
        try:
            staged = []
            for number, path in enumerate(paths):
                progress("files", number, len(paths))
                recording = open_recording(connection, self.asked.root, path, self._names(), scratch / f"{number:06}")
                staged.append(self._staged(recording, scratch / f"{number:06}.parquet"))
            for number, wanted in enumerate(self.asked.wanted):
                progress("read", number, len(self.asked.wanted))
                pieces = [self._samples(index, recording, wanted) for index, recording in enumerate(staged)]
                for span in self.asked.ranges:
                    store.put(connection, " UNION ALL ".join(pieces), wanted.pv, span, first=True, whole=True)
        finally:
            connection.close()
        return {"files": {path: digest_file(self.asked.root / path) for path in paths}}

    def _names(self) -> frozenset[str]:
        """Every column that may be read: formats of single arrays bring no other."""
        found = {self.options.time, *self.asked.columns}
        for wanted in self.asked.wanted:
            for column in self._candidates(wanted):
                found |= {column, f"{column}_severity"}
        return frozenset(found)

    def _candidates(self, wanted: Wanted) -> list[str]:
        given = self.options.columns.get(wanted.signal.name)
        if given is None:
            return [wanted.signal.name, wanted.pv]
        values = dict(zip(wanted.columns, wanted.device, strict=True))
        return [PLACEHOLDER.sub(lambda found: values.get(found[1], found[0]), given)]

    def _column(self, recording: Recording, wanted: Wanted) -> str:
        candidates = self._candidates(wanted)
        column = next((column for column in candidates if column in recording.columns), None)
        if column is None:
            there = f"; there are {', '.join(sorted(recording.columns)[:8])}"
            hint = meant(candidates[0], recording.columns, "is it") or there
            raise Failed(
                f"there is no column {' or '.join(map(repr, candidates))}{hint}",
                file=recording.path,
                hint="name it in dataset.request.options.columns",
            )
        unit = recording.units.get(column)
        if unit is not None and not same(unit, wanted.signal.unit or "1"):
            raise Failed(f"{column} is in {unit}, the contract says {wanted.signal.unit}", file=recording.path)
        return column

    def _time(self, recording: Recording) -> str:
        """SQL of the nanoseconds since 1970 of a row. Raises `Failed` for times without a zone."""
        column, options = self.options.time, self.options
        if column not in recording.columns:
            hint = meant(column, recording.columns, "is it")
            raise Failed(f"there is no column of time {column!r}{hint}", file=recording.path)
        kind = recording.columns[column]
        if kind == "TIMESTAMP WITH TIME ZONE":
            return f"epoch_ns({name(column)})"
        if kind.startswith("TIMESTAMP"):
            if options.naive is None:
                raise _no_zone(recording, column)
            return f"epoch_ns(CAST({name(column)} AS TIMESTAMP_NS))"
        if kind == "VARCHAR" and options.epoch is None:
            return self._written(recording, column)
        if options.epoch is None:
            raise Failed(
                f"{column} is of type {kind}: no time",
                file=recording.path,
                hint="if it counts from 1970, say what in dataset.request.options.epoch: s, ms, us or ns",
            )
        # A number of seconds holds microseconds well: rounded once, it is the same on every machine.
        if options.epoch == "s":
            return f"CAST(round(CAST({name(column)} AS DOUBLE) * 1000000) AS BIGINT) * 1000"
        return f"CAST({name(column)} AS BIGINT) * {EPOCHS[options.epoch]}"

    def _written(self, recording: Recording, column: str) -> str:
        zoned = f"regexp_matches(trim({name(column)}), '(Z|[+-][0-9]{{2}}(:?[0-9]{{2}})?)$')"
        count, first = recording.query(
            f"SELECT count(*), min({name(column)}) FROM {recording.source} WHERE NOT {zoned}"
        )[0]
        if count and self.options.naive is None:
            raise _no_zone(recording, f"{column} ({first!r})")
        # Where the zone is not written it is UTC: that is what the option says, and what the database is set to.
        return f"epoch_ns(CAST({name(column)} AS TIMESTAMPTZ))"

    def _staged(self, recording: Recording, file: Path) -> Recording:
        columns = {self._column(recording, wanted): _kind(wanted) for wanted in self.asked.wanted}
        for column, kind in columns.items():
            found = recording.columns[column]
            if found != "VARCHAR" and found.endswith("[]") != kind.endswith("[]"):
                what = "lists of numbers" if kind.endswith("[]") else "numbers"
                raise Failed(f"{column} is of type {found}, not {what}", file=recording.path)
        chosen = tuple(column for column in self.asked.columns if column in recording.columns)
        return stage(recording, self._time(recording), columns, chosen, file)

    def _samples(self, index: int, recording: Recording, wanted: Wanted) -> str:
        of = {
            column: value
            for column, value in zip(wanted.columns, wanted.device, strict=True)
            if column in recording.columns
        }
        return samples(recording, index, self._column(recording, wanted), of)


def _kind(wanted: Wanted) -> str:
    return "DOUBLE[]" if wanted.size else "DOUBLE"


def _no_zone(recording: Recording, what: str) -> Failed:
    return Failed(
        f"the times in {what} have no zone",
        file=recording.path,
        hint="if they are UTC, say so: dataset.request.options.naive: UTC",
    )
