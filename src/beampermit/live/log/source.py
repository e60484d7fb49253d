"""The source `predictions` of data requests: what was served becomes the next dataset."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from beampermit.contract import FILE_NAME
from beampermit.contract.part import Text
from beampermit.datasets.requests import word_columns
from beampermit.datasets.requests.query import Channel, Query
from beampermit.datasets.requests.source import Options, SampledSource, load_options, same_unit
from beampermit.datasets.requests.store import Store, connect
from beampermit.datasets.tables import parquet, quoted, sql_text, units_of
from beampermit.errors import BadInput, Failed, did_you_mean
from beampermit.live.log.columns import AT, TIME, VERSION, WORST
from beampermit.live.log.reading import Selection, closed_files
from beampermit.progress import Progress


class PredictionOptions(Options):
    """`dataset.request.options` of the source `predictions`."""

    path: Text
    """The folder of the log of one model: `/srv/log/MODEL`, or a folder in the project."""
    versions: tuple[int, ...] = ()
    """Only what these versions were asked; all where empty."""


class Predictions(SampledSource):
    """The inputs that a model was asked with in service, and its answers, by their names.

    A row's values have the time of its newest input, and the severity of its worst one.
    """

    def __init__(self, query: Query) -> None:
        super().__init__(query)
        self.options = load_options(PredictionOptions, query)

    def collect(self, store: Store, progress: Progress) -> dict[str, Any]:
        """Read the log. Raises `BadInput` where there is none, `Failed` where it has not what is requested."""
        scratch = self.query.folder / "log"
        scratch.mkdir(exist_ok=True)
        progress("prediction log")
        folder = self.query.root / self.options.path
        try:
            files = closed_files(folder, self._selection(), scratch)
        except BadInput as error:
            raise BadInput(f"dataset.request.options.path: {error.message}: {folder}", file=FILE_NAME) from None
        connection = connect(self.query.folder)
        try:
            staged = _Staged(connection, files, self.query, self.options.versions, scratch / "rows.parquet")
            for number, channel in enumerate(self.query.channels):
                progress("read", number, len(self.query.channels))
                for span in self.query.ranges:
                    store.put(connection, staged.samples(channel), channel.pv, span, first=True, whole=True)
            return staged.origin()
        finally:
            connection.close()

    def _selection(self) -> Selection:
        """The files of all ranges, and of the time before in which a value still counts at their start."""
        gaps, ranges = self.query.request.gaps, self.query.ranges
        ages = [signal.max_age for signal in self.query.signals if signal.max_age]
        before = max([*ages, gaps.max_age if gaps else 0.0])
        start, end = (datetime.fromtimestamp(ns / 1e9, UTC) for ns in (ranges[0][0], max(end for _, end in ranges)))
        # A row is logged when it was made: up to `max_age` of an input after its time.
        return Selection(start - timedelta(seconds=before), end + timedelta(seconds=before), self.options.versions)


class _Staged:
    """The requested columns of the rows that were asked, as one table sorted by device and time."""

    def __init__(self, connection: Any, files: Sequence[Path], query: Query, versions: Sequence[int], file: Path):
        self._connection, self._query = connection, query
        source = parquet(*files, by_name=True)
        present = {name: kind for name, kind, *_ in self._run(f"DESCRIBE SELECT * FROM {source}")}
        self._require(present, _units(self._run, files))
        kinds = {channel.signal.name: "DOUBLE[]" if channel.size else "DOUBLE" for channel in query.channels}
        columns = [
            *(f"CAST({quoted(name)} AS VARCHAR) AS {quoted(f'of {name}')}" for name in self._devices()),
            *(f"CAST({quoted(name)} AS {kind}) AS {quoted(name)}" for name, kind in kinds.items()),
        ]
        where = [quoted("served.asked"), f"{quoted(TIME)} IS NOT NULL"]
        if versions:
            where.append(f"{quoted(VERSION)} IN ({', '.join(map(str, versions))})")
        order = ", ".join([*(quoted(f"of {name}") for name in self._devices()), quoted(TIME), quoted(AT)])
        self._run(
            f"COPY (SELECT epoch_ns({quoted(TIME)}) AS ns, {quoted(WORST)} AS severity, {quoted(VERSION)} AS version,"
            f" {quoted(AT)}, {quoted(TIME)}, {', '.join(columns)} FROM {source} WHERE {' AND '.join(where)}"
            f" ORDER BY {order}) TO {sql_text(str(file))} (FORMAT parquet, COMPRESSION zstd)"
        )
        self._file = file

    def samples(self, channel: Channel) -> str:
        """SQL of the samples of a PV: one for each time, that of the last row where several have it."""
        value = quoted(channel.signal.name)
        devices = zip(channel.columns, channel.device, strict=True)
        where = [f"{value} IS NOT NULL", *(f"{quoted(f'of {name}')} = {sql_text(text)}" for name, text in devices)]
        label = word_columns.labels(value, channel.signal.words) if channel.signal.words else value
        return (
            f"SELECT ns, {label} AS value, severity, ns AS arrived, CAST(NULL AS BIGINT) AS lost"
            f" FROM {parquet(self._file)} WHERE {' AND '.join(where)}"
            f" QUALIFY row_number() OVER (PARTITION BY ns ORDER BY {quoted(AT)} DESC, version DESC) = 1"
        )

    def origin(self) -> dict[str, Any]:
        """For the sidecar: equal for equal rows, in whatever files they stand."""
        within = " OR ".join(f"ns >= {start} AND ns < {end}" for start, end in self._query.ranges)
        ((rows, versions),) = self._run(
            f"SELECT count(*), list_sort(list(DISTINCT version)) FROM {parquet(self._file)} WHERE {within}"
        )
        return {"rows": rows, "versions": versions or []}

    def _devices(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(name for channel in self._query.channels for name in channel.columns))

    def _require(self, present: Mapping[str, str], units: Mapping[str, set[str]]) -> None:
        """Raises `Failed` for a signal that is not in the log, or is another one there."""
        for name in (*self._devices(), *(signal.name for signal in self._query.signals)):
            if name not in present:
                hint = did_you_mean(name, present) or f"; it has {', '.join(key for key in present if '.' not in key)}"
                raise Failed(f"the prediction log has no column {name!r}{hint}", file=FILE_NAME)
        for signal in self._query.signals:
            expected = "lists of numbers" if signal.shape else "numbers"
            if present[signal.name].endswith("[]") != bool(signal.shape):
                kind = present[signal.name]
                raise Failed(f"{signal.name} has type {kind} in the prediction log, not {expected}", file=FILE_NAME)
            for unit in sorted(units.get(signal.name, ())):
                if not same_unit(unit, signal.unit or "1"):
                    reason = f"{signal.name} was served in {unit}, the contract says {signal.unit}"
                    raise Failed(reason, file=FILE_NAME, hint="name the versions in dataset.request.options.versions")

    def _run(self, sql: str) -> list[Any]:
        import duckdb

        try:
            return self._connection.execute(sql).fetchall()
        except duckdb.Error as error:
            reason = f"the prediction log cannot be read: {str(error).splitlines()[0]}"
            raise Failed(reason, file=FILE_NAME) from None


def _units(run: Any, files: Sequence[Path]) -> dict[str, set[str]]:
    """Signal -> its units in all files."""
    units: dict[str, set[str]] = {}
    for file in files:
        for name, unit in units_of(run, file).items():
            units.setdefault(name, set()).add(unit)
    return units
