"""The windows of a recording in parts, each of one day and of one version in service: what one unit of work judges."""

from __future__ import annotations

import bisect
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from itertools import groupby
from pathlib import Path
from tempfile import TemporaryDirectory

from beampermit.datasets.tables import connect, parquet, quoted
from beampermit.digest import digest_file, digest_json
from beampermit.live.log.columns import AT, VERSION
from beampermit.live.log.reading import Selection, closed_file, log_files, may_hold
from beampermit.live.log.stream import CLOSED
from beampermit.monitoring.backtest.recorded import Recording
from beampermit.monitoring.log_rows import BEFORE, SHADOW

DAY = 86400.0


@dataclass(frozen=True)
class Part:
    """`places` are those of the recording's windows. `version` is None for a log that is not kept by version."""

    day: str
    version: int | None
    folder: Path
    """The log of the version."""
    places: range
    first: bool
    """Of the recording: rows of its whole first window are new."""

    @property
    def label(self) -> str:
        return self.day if self.version is None else f"{self.day}, version {self.version}"

    def pieces(self, most: int) -> Iterator[Part]:
        """Parts of at most so many windows."""
        for first in range(self.places.start, self.places.stop, most):
            places = range(first, min(first + most, self.places.stop))
            yield replace(self, places=places, first=self.first and first == self.places.start)


def parts_of(recording: Recording) -> list[Part]:
    """In the order of time; a day of which there are no files has none. Raises `BadInput` where there is no log."""
    monitoring = recording.contract.monitoring
    files = {key: log_files(folder) for key, folder in _folders(recording).items()}
    parts = list[Part]()
    for day, places in _days(recording.places, monitoring.every):
        selection = span(places.start * monitoring.every - monitoring.window, places[-1] * monitoring.every)
        there = {key: [file for file in of if may_hold(file, selection)] for key, of in files.items()}
        for (version, folder), run in _runs(places, monitoring.every, {key: of for key, of in there.items() if of}):
            parts.append(Part(day, version, folder, run, first=run.start == recording.places.start))
    return parts


def files_of(part: Part, recording: Recording) -> list[Path]:
    """The files of the log that its windows are read from."""
    monitoring = recording.contract.monitoring
    selection = span(part.places.start * monitoring.every - monitoring.window, part.places[-1] * monitoring.every)
    return [file for file in log_files(part.folder) if may_hold(file, selection)]


def digest_of(recorded: Path, recording: Recording) -> str:
    """Of a table, or of the files of a log that hold the span, by their names; without what a service still writes."""
    if recorded.is_file():
        return digest_file(recorded)
    selection = span(recording.since, recording.until)
    files = [file for file in log_files(recorded) if file.suffix == CLOSED and may_hold(file, selection)]
    return digest_json({file.relative_to(recorded).as_posix(): digest_file(file) for file in files})


def span(since: float, until: float) -> Selection:
    """With the time before, in which the last row still says what outputs show at the beginning."""
    return Selection(datetime.fromtimestamp(since - BEFORE, UTC), datetime.fromtimestamp(until, UTC))


_Key = tuple[int | None, Path]


def _folders(recording: Recording) -> dict[_Key, Path]:
    """Of each version; of a log that is not kept by version there is one."""
    own = recording.log / recording.contract.model.name
    own = own if own.is_dir() else recording.log
    every = log_files(own)
    folders = {file.parent for file in every}
    if all(folder.parent == own and folder.name.isdecimal() for folder in folders):
        return {(int(folder.name), folder): folder for folder in sorted(folders)}
    return {(None, own): own}


def _days(places: range, every: float) -> Iterator[tuple[str, range]]:
    """The window that ends at midnight is of the day before."""
    first = places.start
    while first in places:
        number = _day_of(first * every)
        after = min(int((number + 1) * DAY // every) + 1, places.stop)
        yield f"{datetime.fromtimestamp(number * DAY, UTC):%Y-%m-%d}", range(first, after)
        first = after


def _day_of(at: float) -> int:
    return -int(-at // DAY) - 1


def _runs(places: range, every: float, files: Mapping[_Key, Sequence[Path]]) -> Iterator[tuple[_Key, range]]:
    """The version of which the newest row before the end of a window is, and for which windows one after another."""
    if len(files) < 2:
        yield from ((key, places) for key in files)
        return
    times = {key: _times(key[0], of) for key, of in files.items()}

    def in_service(place: int) -> _Key | None:
        newest = {key: at[found - 1] for key, at in times.items() if (found := bisect.bisect_left(at, place * every))}
        return max(newest, key=lambda key: (newest[key], key[0] or 0), default=None)

    for key, run in groupby(places, in_service):
        numbers = list(run)
        if key is not None:
            yield key, range(numbers[0], numbers[-1] + 1)


def _times(version: int | None, files: Sequence[Path]) -> list[float]:
    """When a version in service wrote rows, s since 1970, rising. A file that cannot be read says nothing."""
    import duckdb

    found = list[float]()
    where = f"NOT {quoted(SHADOW)} AND {quoted(VERSION)} = {version} AND {quoted(AT)} IS NOT NULL"
    with TemporaryDirectory(prefix="beampermit-parts-") as scratch, connect() as connection:
        for number, file in enumerate(files):
            closed = closed_file(file, Path(scratch) / f"{number}{CLOSED}")
            if closed is None:
                continue
            rows = f"SELECT DISTINCT epoch_us({quoted(AT)}) AS at FROM {parquet(closed)} WHERE {where}"
            with suppress(duckdb.Error):
                found += (connection.execute(rows).fetchnumpy()["at"] / 1e6).tolist()
    return sorted(found)
