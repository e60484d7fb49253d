"""The source `files`: recorded signals, one column a signal, in Parquet, CSV, HDF5 or SDDS inside the project."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from beampermit.contract import FILE_NAME
from beampermit.contract.part import Text
from beampermit.datasets.devices import PLACEHOLDER
from beampermit.datasets.requests.asked import Asked, Wanted
from beampermit.datasets.requests.inputs import plain_files
from beampermit.datasets.requests.recording import Recording, open_recording
from beampermit.datasets.requests.source import Options, Sampled, Watch, options_of
from beampermit.datasets.requests.staged import samples, stage
from beampermit.datasets.requests.store import Store
from beampermit.datasets.requests.units import same
from beampermit.datasets.requests.writing import connect
from beampermit.datasets.tables import name
from beampermit.digest import digest_file
from beampermit.errors import BadInput, Tripped, meant

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

    def collect(self, store: Store, watch: Watch) -> dict[str, Any]:
        """Read the files. Raises `BadInput` for files that are none, `Tripped` for what is wrong in them."""
        paths = list(dict.fromkeys(path for one in self.options.paths for path in plain_files(self.asked.root, one)))
        scratch = self.asked.folder / "recordings"
        scratch.mkdir(exist_ok=True)
        connection = connect(self.asked.folder)
        try:
            staged = []
            for number, path in enumerate(paths):
                watch("files", number, len(paths))
                recording = open_recording(connection, self.asked.root, path, self._names(), scratch / f"{number:06}")
                staged.append(self._staged(recording, scratch / f"{number:06}.parquet"))
            for number, wanted in enumerate(self.asked.wanted):
                watch("read", number, len(self.asked.wanted))
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
            raise Tripped(
                f"there is no column {' or '.join(map(repr, candidates))}{hint}",
                file=recording.path,
                hint="name it in dataset.request.options.columns",
            )
        unit = recording.units.get(column)
        if unit is not None and not same(unit, wanted.signal.unit or "1"):
            raise Tripped(f"{column} is in {unit}, the contract says {wanted.signal.unit}", file=recording.path)
        return column

    def _time(self, recording: Recording) -> str:
        """SQL of the nanoseconds since 1970 of a row. Raises `Tripped` for times without a zone."""
        column, options = self.options.time, self.options
        if column not in recording.columns:
            hint = meant(column, recording.columns, "is it")
            raise Tripped(f"there is no column of time {column!r}{hint}", file=recording.path)
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
            raise Tripped(
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
                raise Tripped(f"{column} is of type {found}, not {what}", file=recording.path)
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


def _no_zone(recording: Recording, what: str) -> Tripped:
    return Tripped(
        f"the times in {what} have no zone",
        file=recording.path,
        hint="if they are UTC, say so: dataset.request.options.naive: UTC",
    )
