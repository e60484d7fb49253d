"""The source `files`: recorded signals, one column a signal, in Parquet, CSV, HDF5 or SDDS inside the project."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from beampermit.contract import FILE_NAME
from beampermit.contract.part import Text
from beampermit.datasets.arrays import depth_of
from beampermit.datasets.devices import PLACEHOLDER
from beampermit.datasets.requests import store, word_columns
from beampermit.datasets.requests.query import Channel, Query
from beampermit.datasets.requests.source import Options, SampledSource, load_options, same_unit
from beampermit.datasets.requests.store import Store, connect
from beampermit.datasets.tables import open_tables, parquet, quoted, sql_path, sql_text
from beampermit.datasets.workspace import plain_file, plain_files
from beampermit.digest import digest_file
from beampermit.errors import BadInput, Failed, did_you_mean
from beampermit.progress import Progress

EPOCHS = {"s": 10**9, "ms": 10**6, "us": 10**3, "ns": 1}
ROW_GROUP = 20_480
"""Small row groups: the rows are sorted by device, and reading one device reads few rows of others."""
TIME, ORDER = "row ns", "row arrived"


class RecordingOptions(Options):
    """`dataset.request.options` of the source `files`."""

    paths: tuple[Text, ...] = Field(min_length=1)
    """Files inside the project, or patterns such as `recordings/*.parquet`."""
    time: Text = "acquired_at"
    """The time column: with a zone, or a number since 1970 (`epoch`)."""
    epoch: Literal["s", "ms", "us", "ns"] | None = None
    """Unit of a numeric time column."""
    naive: Literal["UTC"] | None = None
    """States that times without a zone are UTC."""
    columns: dict[str, Text] = Field(default_factory=dict)
    """Signal -> its column, if that has neither the signal's nor the PV's name; may contain `{device}`."""


class Recordings(SampledSource):
    """Signals from files. A column that the device table has too selects a device's rows."""

    def __init__(self, query: Query) -> None:
        super().__init__(query)
        self.options = load_options(RecordingOptions, query)
        unknown = sorted(set(self.options.columns) - {signal.name for signal in query.signals})
        if unknown:
            raise BadInput(
                f"dataset.request.options.columns: {unknown[0]!r} is not a signal of the request", file=FILE_NAME
            )

    def collect(self, store: Store, progress: Progress) -> dict[str, Any]:
        """Read the files. Raises `BadInput` for unusable paths, `Failed` for wrong content."""
        paths = list(
            dict.fromkeys(path for given in self.options.paths for path in plain_files(self.query.root, given))
        )
        scratch = self.query.folder / "recordings"
        scratch.mkdir(exist_ok=True)
        connection = connect(self.query.folder)
        try:
            staged = []
            for number, path in enumerate(paths):
                progress("files", number, len(paths))
                recording = open_recording(connection, self.query.root, path, self._names(), scratch / f"{number:06}")
                staged.append(self._stage(recording, scratch / f"{number:06}.parquet"))
            for number, channel in enumerate(self.query.channels):
                progress("read", number, len(self.query.channels))
                parts = [self._samples(index, recording, channel) for index, recording in enumerate(staged)]
                for span in self.query.ranges:
                    store.put(connection, " UNION ALL ".join(parts), channel.pv, span, first=True, whole=True)
        finally:
            connection.close()
        return {"files": {path: digest_file(self.query.root / path) for path in paths}}

    def _names(self) -> frozenset[str]:
        """Every column that may be read; of HDF5 and SDDS files no other is loaded."""
        names = {self.options.time, *self.query.columns}
        for channel in self.query.channels:
            for column in self._candidates(channel):
                names |= {column, f"{column}_severity"}
        return frozenset(names)

    def _candidates(self, channel: Channel) -> list[str]:
        column = self.options.columns.get(channel.signal.name)
        if column is None:
            return [channel.signal.name, channel.pv]
        values = dict(zip(channel.columns, channel.device, strict=True))
        return [PLACEHOLDER.sub(lambda match: values.get(match[1], match[0]), column)]

    def _column(self, recording: Recording, channel: Channel) -> str:
        candidates = self._candidates(channel)
        column = next((column for column in candidates if column in recording.columns), None)
        if column is None:
            present = f"; it has {', '.join(sorted(recording.columns)[:8])}"
            hint = did_you_mean(candidates[0], recording.columns, "is it") or present
            raise Failed(
                f"there is no column {' or '.join(map(repr, candidates))}{hint}",
                file=recording.path,
                hint="name the column in dataset.request.options.columns",
            )
        unit = recording.units.get(column)
        if channel.signal.words:
            self._states(recording, column, channel)
        elif unit is not None and not same_unit(unit, channel.signal.unit or "1"):
            raise Failed(f"{column} is in {unit}, the contract says {channel.signal.unit}", file=recording.path)
        return column

    def _states(self, recording: Recording, column: str, channel: Channel) -> tuple[str, ...]:
        """What numbers in a column of words stand for; none where it has texts. Raises `Failed` where nobody says."""
        signal = channel.signal
        if depth_of(recording.columns[column]) != 0:
            return signal.states
        if recording.units.get(column) == signal.unit:
            return signal.words
        if not signal.states:
            raise word_columns.numbers_without_states(f"{column} of {recording.path} has numbers")
        return signal.states

    def _time(self, recording: Recording) -> str:
        """SQL of a row's nanoseconds since 1970. Raises `Failed` for times without a zone."""
        column, options = self.options.time, self.options
        if column not in recording.columns:
            hint = did_you_mean(column, recording.columns, "is it")
            raise Failed(f"there is no time column {column!r}{hint}", file=recording.path)
        kind = recording.columns[column]
        if kind == "TIMESTAMP WITH TIME ZONE":
            return f"epoch_ns({quoted(column)})"
        if kind.startswith("TIMESTAMP"):
            if options.naive is None:
                raise _no_zone(recording, column)
            return f"epoch_ns(CAST({quoted(column)} AS TIMESTAMP_NS))"
        if kind == "VARCHAR" and options.epoch is None:
            return self._text_time(recording, column)
        if options.epoch is None:
            raise Failed(
                f"{column} has type {kind}, which is not a time",
                file=recording.path,
                hint="if it counts from 1970, set dataset.request.options.epoch to its unit: s, ms, us or ns",
            )
        # A float of seconds is exact to the microsecond; rounding once gives the same number on every machine.
        if options.epoch == "s":
            return f"CAST(round(CAST({quoted(column)} AS DOUBLE) * 1000000) AS BIGINT) * 1000"
        return f"CAST({quoted(column)} AS BIGINT) * {EPOCHS[options.epoch]}"

    def _text_time(self, recording: Recording, column: str) -> str:
        zoned = f"regexp_matches(trim({quoted(column)}), '(Z|[+-][0-9]{{2}}(:?[0-9]{{2}})?)$')"
        count, first = recording.query(
            f"SELECT count(*), min({quoted(column)}) FROM {recording.source} WHERE NOT {zoned}"
        )[0]
        if count and self.options.naive is None:
            raise _no_zone(recording, f"{column} ({first!r})")
        # A time without a zone is UTC here: `naive` says so, and UTC is the connection's time zone.
        return f"epoch_ns(CAST({quoted(column)} AS TIMESTAMPTZ))"

    def _stage(self, recording: Recording, file: Path) -> Recording:
        columns = {self._column(recording, channel): channel.sql_type for channel in self.query.channels}
        for column, kind in columns.items():
            actual = recording.columns[column]
            if actual != "VARCHAR" and actual.endswith("[]") != kind.endswith("[]"):
                expected = "lists of numbers" if kind.endswith("[]") else "numbers"
                raise Failed(f"{column} has type {actual}, not {expected}", file=recording.path)
        selectors = tuple(column for column in self.query.columns if column in recording.columns)
        return stage_recording(recording, self._time(recording), columns, selectors, file)

    def _samples(self, index: int, recording: Recording, channel: Channel) -> str:
        selected = {
            column: value
            for column, value in zip(channel.columns, channel.device, strict=True)
            if column in recording.columns
        }
        column = self._column(recording, channel)
        value = quoted(column)
        if channel.signal.words:
            value = word_columns.labels(value, self._states(recording, column, channel))
        return samples_sql(recording, index, column, selected, value)


def _no_zone(recording: Recording, column: str) -> Failed:
    return Failed(
        f"the times in {column} have no zone",
        file=recording.path,
        hint="if they are UTC, set dataset.request.options.naive: UTC",
    )


def stage_recording(
    recording: Recording, time: str, values: Mapping[str, str], selectors: tuple[str, ...], file: Path
) -> Recording:
    """Write `file` with `row ns` (the SQL `time`), `row arrived` (the row number), `of <column>` (the columns
    `selectors` as text), the columns of `values` cast to their SQL types, and their severities.

    Raises `Failed` if text is not a number, or a row has no time.
    """
    _check_values(recording, time, values)
    severities = [f"{column}_severity" for column in values if f"{column}_severity" in recording.columns]
    listed = [
        *(f"CAST({quoted(column)} AS VARCHAR) AS {quoted(f'of {column}')}" for column in selectors),
        *(f"CAST({quoted(column)} AS {kind}) AS {quoted(column)}" for column, kind in values.items()),
        *(f"CAST({quoted(column)} AS INTEGER) AS {quoted(column)}" for column in severities if column not in values),
    ]
    order = ", ".join([*(quoted(f"of {column}") for column in selectors), quoted(ORDER)])
    recording.query(
        f"COPY (SELECT {time} AS {quoted(TIME)}, row_number() OVER () AS {quoted(ORDER)},"
        f" {', '.join(listed)} FROM {recording.source} ORDER BY {order})"
        f" TO {sql_text(str(file))} (FORMAT parquet, COMPRESSION zstd, ROW_GROUP_SIZE {ROW_GROUP})"
    )
    return replace(recording, source=parquet(file))


def samples_sql(staged: Recording, index: int, column: str, selected: Mapping[str, str], value: str) -> str:
    """SQL of the samples of one PV: `value` of `column` in the rows whose columns have the values of `selected`."""
    where = " AND ".join(f"{quoted(f'of {name}')} = {sql_text(value)}" for name, value in selected.items())
    severity = f"{column}_severity"
    return (
        f"SELECT {quoted(TIME)} AS ns, {value} AS value,"
        f" {quoted(severity) if severity in staged.columns else '0'} AS severity,"
        f" CAST({index} AS BIGINT) * 1000000000000 + {quoted(ORDER)} AS arrived, CAST(NULL AS BIGINT) AS lost"
        f" FROM {staged.source}" + (f" WHERE {where}" if where else "")
    )


def _check_values(recording: Recording, time: str, values: Mapping[str, str]) -> None:
    bad = {
        column: f"{quoted(column)} IS NOT NULL AND TRY_CAST({quoted(column)} AS {values[column]}) IS NULL"
        for column in values
    }
    first_bad = ", ".join(f"min(CAST({quoted(column)} AS VARCHAR)) FILTER ({test})" for column, test in bad.items())
    timeless, *examples = recording.query(
        f"SELECT count(*) FILTER (({time}) IS NULL), {first_bad} FROM {recording.source}"
    )[0]
    for column, example in zip(values, examples, strict=True):
        if example is not None:
            raise Failed(f"{column} contains {example[:40]!r}, which is not a number", file=recording.path)
    if timeless:
        raise Failed(f"{timeless} rows have no time", file=recording.path)


@dataclass(frozen=True)
class Recording:
    """A file at `path` (relative to the project); `columns`: name -> duckdb type; `units`: as the file states them."""

    connection: Any
    path: str
    source: str
    columns: dict[str, str]
    units: dict[str, str]

    def query(self, sql: str) -> list[Any]:
        """Run SQL that reads the file. Raises `Failed` if it cannot be read."""
        return _query(self.connection, sql, self.path)


@dataclass(frozen=True)
class _File:
    """What an opener needs; HDF5 and SDDS are converted to Parquet at `scratch`, only the columns `names`."""

    connection: Any
    root: Path
    path: str
    names: frozenset[str]
    scratch: Path

    @property
    def sql(self) -> str:
        """The path in SQL."""
        return sql_path(self.root / self.path)


Opener = Callable[[_File], Recording]


def open_recording(connection: Any, root: Path, path: str, names: frozenset[str], scratch: Path) -> Recording:
    """Open a file by its suffix; HDF5 and SDDS are converted to Parquet at `scratch`, only the columns `names`.

    Raises `BadInput` for a link, a pipe, an unknown suffix or a missing library; `Failed` if it cannot be read.
    """
    file = plain_file(root, path)
    suffix = file.suffix.lower()
    if suffix not in OPENERS:
        hint = did_you_mean(suffix, OPENERS) or f"; supported are {', '.join(OPENERS)}"
        raise BadInput(f"recordings with suffix {suffix!r} are not supported{hint}", file=path)
    return OPENERS[suffix](_File(connection, root, path, names, scratch))


def _parquet(file: _File) -> Recording:
    source = f"read_parquet({file.sql})"
    columns = _columns(file.connection, source, file.path)
    (table,) = open_tables(file.root, {file.path: file.path})
    return Recording(file.connection, file.path, source, columns, table.units)


def _csv(file: _File) -> Recording:
    # All columns are read as text: type detection would drop time zones, and turn stray text into missing numbers.
    source = f"read_csv({file.sql}, header = true, all_varchar = true, auto_detect = true)"
    return Recording(file.connection, file.path, source, _columns(file.connection, source, file.path), {})


def _array_opener(read: Callable[[Path, str, frozenset[str]], Iterator[store.Block]]) -> Opener:
    def open_(file: _File) -> Recording:
        blocks = read(file.root / file.path, file.path, file.names)
        units = store.write_blocks(file.connection, blocks, file.scratch, file.path)
        source = parquet(*sorted(file.scratch.glob("*.parquet")))
        return Recording(file.connection, file.path, source, _columns(file.connection, source, file.path), units)

    return open_


def _columns(connection: Any, source: str, path: str) -> dict[str, str]:
    return {column: kind for column, kind, *_ in _query(connection, f"DESCRIBE SELECT * FROM {source}", path)}


def _query(connection: Any, sql: str, path: str) -> list[Any]:
    import duckdb

    try:
        return connection.execute(sql).fetchall()
    except duckdb.Error as error:
        raise Failed(f"cannot be read: {str(error).splitlines()[0]}", file=path) from None


OPENERS: dict[str, Opener] = {
    ".parquet": _parquet,
    ".csv": _csv,
    ".h5": _array_opener(store.read_hdf5),
    ".hdf5": _array_opener(store.read_hdf5),
    ".sdds": _array_opener(store.read_sdds),
}
