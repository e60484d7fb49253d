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
from beampermit.datasets.tables import connect, parquet, quoted, sql_text
from beampermit.errors import BadInput
from beampermit.live.log.columns import AT, VERSION
from beampermit.live.log.prediction_log import PERIOD
from beampermit.live.log.reading import began, log_files
from beampermit.live.log.stream import BEGAN, CLOSED


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
def opened(path: Path, model: str, place: Path | None = None) -> Iterator[Path]:
    """The folder of a prediction log; a table of `beampermit replay` is laid out as one meanwhile, in `place`.

    Raises `BadInput` where it is neither.
    """
    if path.is_dir():
        yield path
        return
    if not path.is_file():
        raise BadInput("there is no such prediction log or table", file=path, hint="beampermit replay TABLE --out FILE")
    with TemporaryDirectory(prefix="beampermit-backtest-", dir=place) as scratch:
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
