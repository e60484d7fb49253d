"""Readings of recorded data, window after window, as the monitor would have taken them."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from beampermit.contract import Contract
from beampermit.datasets.tables import INTEGERS, connect, parquet, quoted, sql_text
from beampermit.errors import BadInput, counted
from beampermit.live.log.columns import AT, FARTHEST, VERSION
from beampermit.live.log.prediction_log import PERIOD
from beampermit.live.log.reading import began, log_files
from beampermit.live.log.stream import BEGAN, CLOSED

MOST_PARTS = 50_000
"""Hours and versions of a table, each of which is a file: more than five years of one version."""
VERSIONS_AN_HOUR = 4
"""Where only the end of a table is wanted: one in service, and those beside it."""
MICRO = round(PERIOD * 1e6)
_AT = f"CAST({quoted(AT)} AS TIMESTAMPTZ)"


@dataclass(frozen=True)
class Recording:
    """A prediction log, and the span of it that is judged, s since 1970."""

    log: Path
    contract: Contract
    since: float
    until: float

    @property
    def places(self) -> range:
        """Of the ends of its windows, which are these multiples of `monitoring.every`.

        So they are the same wherever the span begins, and what was judged of a day is so again in another span.
        """
        every = self.contract.monitoring.every
        return range(math.ceil((self.since + self.contract.monitoring.window) / every), int(self.until // every) + 1)


@dataclass(frozen=True)
class Series:
    """Of each check and subject, such as `MON001 charge`, its value in each window; NaN where it was not judged."""

    ends: np.ndarray
    """Of the windows, s since 1970."""
    values: Mapping[str, np.ndarray]
    limits: Mapping[str, np.ndarray]
    """As they are now; they depend on the rows of a window."""
    rows: int
    """That were judged, each once."""
    notes: tuple[str, ...]
    """What is odd about the log."""
    usual: Mapping[str, float] = field(default_factory=dict)
    """Of the reference, where it is not 0."""

    def of(self, checks: tuple[str, ...]) -> Series:
        """Of these checks alone."""
        values, limits, usual = (
            {key: found for key, found in of.items() if key.startswith(checks)}
            for of in (self.values, self.limits, self.usual)
        )
        return replace(self, values=values, limits=limits, usual=usual)

    @property
    def judged(self) -> int:
        """Windows in which anything was judged."""
        if not self.values:
            return 0
        return int(np.isfinite(np.stack([*self.values.values()])).any(axis=0).sum())


def series_of(
    ends: Sequence[float], found: Sequence[Mapping[str, tuple[float, float]]], rows: int, notes: tuple[str, ...] = ()
) -> Series:
    """`found` has of each window the value and the limit of each check and subject."""
    keys = sorted({key for each in found for key in each})
    nothing = (np.nan, np.nan)
    arrays = {key: np.array([each.get(key, nothing) for each in found]) for key in keys}
    values = {key: array[:, 0] for key, array in arrays.items()}
    return Series(np.array(ends), values, {key: array[:, 1] for key, array in arrays.items()}, rows, notes)


@contextmanager
def opened(path: Path, model: str, place: Path | None = None, last: float | None = None) -> Iterator[Path]:
    """The folder of a prediction log; a table of `beampermit replay` is laid out as one meanwhile, in `place`.

    Of a table, only its `last` s, and an hour before, where that is given. Raises `BadInput` where it is neither.
    """
    if path.is_dir():
        yield path
        return
    if not path.is_file():
        raise BadInput("there is no such prediction log or table", file=path, hint="beampermit replay TABLE --out FILE")
    with TemporaryDirectory(prefix="beampermit-backtest-", dir=place) as scratch:
        _lay_out(path, Path(scratch), model, last)
        yield Path(scratch)


def span_of(folder: Path, model: str) -> tuple[float, float]:
    """From the first file of a log to the end of the hour of the last one, s since 1970. Raises `BadInput`."""
    own = folder / model
    begins = [began(path).timestamp() for path in log_files(own if own.is_dir() else folder)]
    return min(begins), (max(begins) // PERIOD + 1) * PERIOD


def _lay_out(table: Path, folder: Path, model: str, last: float | None) -> None:
    """A file an hour and version, as a service writes them. SQL is made of nothing that the table says but numbers."""
    import duckdb

    with connect(temp_directory=f"{folder}/spill") as connection:
        connection.execute("SET TimeZone = 'UTC'")
        try:
            source, most = parquet(table), MOST_PARTS
            _require(connection, source, table)
            if last is not None:
                source = _end(connection, source, last + PERIOD, folder / "end.parquet")
                most = VERSIONS_AN_HOUR * math.ceil(last / PERIOD)
            for version, hour, first in _parts(connection, source, most, table):
                rows = f"{quoted(VERSION)} = {version} AND {_AT} >= {_sql_time(hour)} AND {_AT} < {_sql_time(hour + 1)}"
                _copy(connection, f"SELECT * FROM {source} WHERE {rows}", first, folder / model / str(version))
        except duckdb.Error as error:
            raise BadInput(f"this table cannot be read: {str(error).splitlines()[0]}", file=table) from None


def _require(connection: Any, source: str, table: Path) -> None:
    """Raises `BadInput` for a table whose versions are no integers, or whose times are none that a file can have."""
    described = connection.execute(f"DESCRIBE SELECT * FROM {source}").fetchall()
    kinds = {name: kind.partition("(")[0] for name, kind, *_ in described}
    if missing := sorted({AT, VERSION} - kinds.keys()):
        raise BadInput(f"no column {missing[0]!r}: this table is not one of `beampermit replay`", file=table)
    if kinds[VERSION] not in INTEGERS:
        raise BadInput(f"column {VERSION!r} has type {kinds[VERSION]}, which is no version", file=table)
    if not kinds[AT].startswith("TIMESTAMP"):
        raise BadInput(f"column {AT!r} has type {kinds[AT]}, which is no time", file=table)
    time = f"isfinite({_AT}) AND {_AT} >= make_timestamptz(0) AND {_AT} < make_timestamptz({round(FARTHEST * 1e6)})"
    (odd,) = connection.execute(f"SELECT count(*) FROM {source} WHERE NOT ({time})").fetchone()
    if odd:
        raise BadInput(f"column {AT!r} is no time of the years 1970 to 2242 in {counted(odd, 'row')}", file=table)


def _end(connection: Any, source: str, last: float, file: Path) -> str:
    """SQL of the rows of a table's last s, which are read from it once."""
    (newest,) = connection.execute(f"SELECT epoch_us(max({_AT})) FROM {source}").fetchone()
    since = max((newest or 0) - round(last * 1e6), 0)
    rows = f"SELECT * FROM {source} WHERE {_AT} >= make_timestamptz({since})"
    connection.execute(f"COPY ({rows}) TO {sql_text(str(file))} (FORMAT parquet)")
    return parquet(file)


def _parts(connection: Any, source: str, most: int, table: Path) -> list[tuple[int, int, int]]:
    """Versions, hours since 1970, and the first time in each, µs. Raises `BadInput` for none, or more than `most`."""
    rows = f"{_AT} IS NOT NULL AND {quoted(VERSION)} IS NOT NULL"
    found = connection.execute(
        f"SELECT {quoted(VERSION)}, epoch_us({_AT}) // {MICRO}, epoch_us(min({_AT})) FROM {source} WHERE {rows}"
        f" GROUP BY ALL LIMIT {most + 1}"
    ).fetchall()
    if not found:
        raise BadInput("this table has no rows", file=table)
    if len(found) > most:
        raise BadInput(f"rows of more than {most} hours and versions: cut this table to fewer hours", file=table)
    return [(int(version), hour, first) for version, hour, first in found]


def _sql_time(hour: int) -> str:
    return f"make_timestamptz({hour * MICRO})"


def _copy(connection: Any, rows: str, first: int, folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    name = f"{datetime.fromtimestamp(first / 1e6, UTC):{BEGAN}}{CLOSED}"
    connection.execute(f"COPY ({rows}) TO {sql_text(str(folder / name))} (FORMAT parquet)")
