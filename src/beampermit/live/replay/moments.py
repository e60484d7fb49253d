"""Recorded rows as the samples that a service would have got, moment by moment."""

from __future__ import annotations

import math
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

from beampermit.contract.signals import Signal
from beampermit.contract.words import word_of
from beampermit.datasets.tables import connect, parquet, quoted, units_of
from beampermit.errors import BadInput, Failed, did_you_mean
from beampermit.live.log.columns import AT, TIME, WORST
from beampermit.live.log.reading import Selection, closed_files
from beampermit.live.wiring import Wiring

AT_ONCE, NUMBERS_AT_ONCE = 1000, 4_000_000
"""Rows in memory, and numbers of their inputs."""


@dataclass(frozen=True)
class Sample:
    """The value of one PV; `time` in s since 1970."""

    wire: int
    pv: int
    value: object
    time: float
    severity: int
    lost: bool = False
    """It is no value: the PV was disconnected."""


@dataclass(frozen=True)
class Moment:
    """When rows are made, s since 1970, by the clock of the service; and what had arrived since the last one."""

    at: float
    samples: tuple[Sample, ...]
    due: bool = True
    """Whether rows are made; else what arrived is judged, and what is shown stays where nothing is wrong."""

    def clock(self) -> float:
        """By which the samples arrive."""
        return self.at


@dataclass
class Recorded:
    """The rows of a table or a log, open in a database."""

    source: str
    """SQL of a FROM clause."""
    names: Mapping[str, str]
    """Column -> type of duckdb."""
    at: str
    """The column of the moments, and that of the samples' times."""
    time: str
    severity: str | None
    """The column with the severity of all inputs of a row; else each input may have one, `<input>_severity`."""
    connection: Any
    wiring: Wiring
    path: Path
    files: Sequence[Path]
    strange: int = 0
    """Rows of devices that the device table does not have, in the moments so far."""

    def moments(self) -> Iterator[Moment]:
        """In order of time. Raises `BadInput` for a column that is not there, `Failed` for what cannot be read."""
        self.require()
        inputs = [(number, wire) for number, wire in enumerate(self.wiring.inputs) if wire.pvs]
        places = {values: row for row, values in enumerate(self.wiring.devices.values)}
        width = len(self.wiring.devices.columns)
        for at, rows in groupby(self._rows([wire.signal.name for _, wire in inputs]), lambda row: row[0]):
            samples: dict[tuple[int, int], Sample] = {}
            for _, time, *rest in rows:
                row = places.get(tuple(rest[:width]))
                if row is None:
                    self.strange += 1
                    continue
                values = rest[width:]
                for place, (number, wire) in enumerate(inputs):
                    value, severity = values[2 * place : 2 * place + 2]
                    pv = wire.of_row[row]
                    samples[number, pv] = Sample(number, pv, _of_table(value, wire.signal), time / 1e6, severity)
            yield Moment(at / 1e6, tuple(samples.values()))

    def _rows(self, inputs: list[str]) -> Iterator[tuple[Any, ...]]:
        """Moment and time (µs), devices, then value and severity of each input."""
        columns = [f"epoch_us({quoted(self.at)})", f"epoch_us({quoted(self.time)})"]
        columns += [f"CAST({quoted(column)} AS VARCHAR)" for column in self.wiring.devices.columns]
        for name in inputs:
            columns += [quoted(name), self._severity_of(name)]
        found = self._query(
            f"SELECT {', '.join(columns)} FROM {self.source} WHERE {quoted(self.at)} IS NOT NULL"
            f" AND {quoted(self.time)} IS NOT NULL ORDER BY ALL"
        )
        numbers = sum(math.prod(wire.signal.shape) for wire in self.wiring.inputs if wire.pvs)
        while batch := found.fetchmany(max(1, min(AT_ONCE, NUMBERS_AT_ONCE // max(numbers, 1)))):
            yield from batch

    def _severity_of(self, name: str) -> str:
        column = self.severity or f"{name}_severity"
        return f"CAST(coalesce({quoted(column)}, 3) AS INTEGER)" if column in self.names else "0"

    def require(self) -> None:
        """Raises `BadInput` for a column that is not there."""
        needed = [self.at, self.time, *self.wiring.devices.columns]
        needed += [wire.signal.name for wire in self.wiring.inputs if wire.pvs]
        for name in needed:
            if name not in self.names:
                hint = did_you_mean(name, self.names) or f"; it has {', '.join([*self.names][:8])}"
                raise BadInput(f"there is no column {name!r}{hint}", file=self.path)
        self._require_words()
        for name in (self.at, self.time):
            if not self.names[name].startswith("TIMESTAMP"):
                raise BadInput(f"column {name!r} has type {self.names[name]}, which is no time", file=self.path)

    def _require_words(self) -> None:
        """A file says with which words its numbers were written; another order gives them another meaning."""
        said = [wire.signal for wire in self.wiring.inputs if wire.signal.words]
        for file in self.files if said else ():
            units = units_of(lambda sql: self._query(sql).fetchall(), file)
            for signal in said:
                if units.get(signal.name, signal.unit) != signal.unit:
                    stated = f"{signal.name} was written with {units[signal.name]}"
                    raise BadInput(f"{stated}, and the contract says {signal.unit}", file=file)

    def _query(self, sql: str) -> Any:
        import duckdb

        try:
            return self.connection.execute(sql)
        except duckdb.Error as error:
            raise Failed(f"cannot be read: {str(error).splitlines()[0]}", file=self.path) from None


@contextmanager
def open_recorded(path: Path, wiring: Wiring, time: str, selection: Selection | None = None) -> Iterator[Recorded]:
    """A Parquet table with the column `time`, or the folder of a prediction log.

    Of a log, the rows that a version in service was asked, of the selection; each input has the time of the newest, and
    the severity of the worst. Raises `BadInput` where there is neither, or a column is missing.
    """
    selection = selection or Selection()
    with tempfile.TemporaryDirectory(prefix="beampermit-replay-") as scratch:
        connection = connect(temp_directory=f"{scratch}/spill")
        try:
            connection.execute("SET TimeZone = 'UTC'")
            if path.is_dir():
                files = closed_files(path, selection, Path(scratch))
                within = f"{selection.condition} AND {quoted('served.asked')} AND NOT {quoted('served.shadow')}"
                source = f"(SELECT * FROM {parquet(*files, by_name=True)} WHERE {within})"
                recorded = Recorded(source, {}, AT, TIME, WORST, connection, wiring, path, files)
            else:
                if not path.is_file():
                    raise BadInput("there is no such table", file=path)
                recorded = Recorded(parquet(path), {}, time, time, None, connection, wiring, path, [path])
            described = recorded._query(f"DESCRIBE SELECT * FROM {recorded.source}").fetchall()
            recorded.names = {name: kind for name, kind, *_ in described}
            yield recorded
        finally:
            connection.close()


def plain(value: Any, shape: tuple[int, ...]) -> Any:
    """What is missing is no number."""
    if value is None:
        import numpy as np

        return np.full(shape, math.nan) if shape else math.nan
    return value


def _of_table(value: Any, signal: Signal) -> Any:
    """Tables have the numbers of words, or the words."""
    word = word_of(value, signal.words) if signal.words else None
    return plain(value, signal.shape) if word is None else word
