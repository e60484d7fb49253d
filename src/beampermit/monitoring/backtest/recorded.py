"""Readings of recorded data, window after window, as the monitor would have taken them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from beampermit.contract import Contract
from beampermit.datasets.tables import connect, parquet, quoted, sql_text
from beampermit.errors import BadInput
from beampermit.live.log.columns import AT, VERSION
from beampermit.live.log.prediction_log import PERIOD
from beampermit.live.log.reading import began, log_files
from beampermit.live.log.stream import BEGAN, CLOSED
from beampermit.monitoring.limits import Limits
from beampermit.monitoring.readings import readings
from beampermit.monitoring.trip_rules import CANNOT_JUDGE
from beampermit.monitoring.windows import LogWindow, read_window
from beampermit.progress import Progress, silent

CHUNK = 6
"""Windows whose rows are in memory at once."""


@dataclass(frozen=True)
class Recording:
    """A prediction log, and the span of it that is judged, s since 1970."""

    log: Path
    contract: Contract
    since: float
    until: float

    def chunks(self) -> Iterator[LogWindow]:
        """Parts one after another, each with a window's span before it."""
        window = self.contract.monitoring.window
        start = self.since + window
        while start <= self.until:
            end = min(start + CHUNK * window, self.until + 1)
            yield read_window(self.log, self.contract, start - window, end)
            start = end


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

    @property
    def judged(self) -> int:
        """Windows in which anything was judged."""
        if not self.values:
            return 0
        return int(np.isfinite(np.stack([*self.values.values()])).any(axis=0).sum())


def measure(recording: Recording, limits: Limits, progress: Progress = silent) -> Series:
    """Raises `BadInput` where nothing of the span can be judged."""
    monitoring = recording.contract.monitoring
    first = recording.since + monitoring.window
    total = int((recording.until - first) // monitoring.every) + 1 if recording.until >= first else 0
    found, ends, notes, rows = list[dict[str, tuple[float, float]]](), list[float](), dict[str, None](), 0
    usual = dict[str, float]()
    for chunk in recording.chunks():
        start, end = chunk.window.since + monitoring.window, chunk.window.until
        rows += int((chunk.at >= (chunk.window.since if not ends else start)).sum())
        notes |= dict.fromkeys(chunk.notes)
        while len(ends) < total and (at := first + len(ends) * monitoring.every) < end:
            window = chunk.between(at - monitoring.window, at)
            each = [one for one in readings(window, limits, recording.contract) if one.check != CANNOT_JUDGE]
            found.append({one.key: (one.value, one.limit) for one in each})
            usual |= {one.key: one.usual for one in each if one.usual}
            ends.append(at)
            progress("judge windows", len(ends), total)
    series = replace(series_of(ends, found, rows, tuple(notes)), usual=usual)
    if not series.judged:
        span = f"{_time(recording.since)} to {_time(recording.until)}"
        raise BadInput(f"no window from {span} can be judged: the log has too few rows there", file=recording.log)
    return series


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
def opened(path: Path, model: str) -> Iterator[Path]:
    """The folder of a prediction log; a table of `beampermit replay` is laid out as one meanwhile.

    Raises `BadInput` where it is neither.
    """
    if path.is_dir():
        yield path
        return
    if not path.is_file():
        raise BadInput("there is no such prediction log or table", file=path, hint="beampermit replay TABLE --out FILE")
    with TemporaryDirectory(prefix="beampermit-backtest-") as scratch:
        _lay_out(path, Path(scratch), model)
        yield Path(scratch)


def span_of(folder: Path, model: str) -> tuple[float, float]:
    """From the first file of a log to the end of the hour of the last one, s since 1970. Raises `BadInput`."""
    own = folder / model
    begins = [began(path).timestamp() for path in log_files(own if own.is_dir() else folder)]
    return min(begins), (max(begins) // PERIOD + 1) * PERIOD


def _lay_out(table: Path, folder: Path, model: str) -> None:
    """A file an hour and version, as a service writes them."""
    with connect(temp_directory=f"{folder}/spill") as connection:
        source = parquet(table)
        try:
            names = {name for name, *_ in connection.execute(f"DESCRIBE SELECT * FROM {source}").fetchall()}
        except Exception as error:
            raise BadInput(f"this table cannot be read: {str(error).splitlines()[0]}", file=table) from None
        if missing := sorted({AT, VERSION} - names):
            raise BadInput(f"no column {missing[0]!r}: this table is not one of `beampermit replay`", file=table)
        connection.execute("SET TimeZone = 'UTC'")
        hour, version = f"epoch_us({quoted(AT)}) // {round(PERIOD * 1e6)}", quoted(VERSION)
        parts = connection.execute(
            f"SELECT {version}, {hour}, epoch_us(min({quoted(AT)})) FROM {source} WHERE {quoted(AT)} IS NOT NULL"
            " GROUP BY ALL"
        ).fetchall()
        for of, number, first in parts:
            _copy(
                connection,
                f"SELECT * FROM {source} WHERE {version} = {of} AND {hour} = {number}",
                first,
                folder / model / str(of),
            )


def _copy(connection: Any, rows: str, first: int, folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    name = f"{datetime.fromtimestamp(first / 1e6, UTC):{BEGAN}}{CLOSED}"
    connection.execute(f"COPY ({rows}) TO {sql_text(str(folder / name))} (FORMAT parquet)")


def _time(at: float) -> str:
    return f"{datetime.fromtimestamp(at, UTC):%Y-%m-%dT%H:%MZ}"
