"""The window of a trip, kept as a candidate for the next dataset: rows of the prediction log, with reading and limit.

A candidate is a small prediction log itself, so the source `predictions` of a data request reads it: one, with
`path: candidates/NAME`, or all that there are, with `path: candidates`.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

from pydantic import ValidationError

from beampermit.digest import manifest
from beampermit.errors import BadInput, Failed
from beampermit.files import write_json
from beampermit.live.log.prediction_log import PERIOD
from beampermit.live.log.reading import Selection, open_log
from beampermit.live.log.stream import BEGAN, CLOSED
from beampermit.reading import first_fault, read_json
from beampermit.record import Count, Record
from beampermit.verdicts.monitoring import Trip, Window

FOLDER, ABOUT = "candidates", "candidate.json"
MOST = 200
"""Candidates in a state folder: a fault that comes and goes for weeks must not fill the disk."""


class Candidate(Record):
    """What is in a candidate's folder; `trips` are those of this window, `files` its tables, path -> digest."""

    format: Literal[1] = 1
    model: str
    window: Window
    rows: Count
    trips: tuple[Trip, ...]
    files: dict[str, str]


def name_of(window: Window) -> str:
    """Such as `2026-11-29T150000Z-v3`: end of the window, and version of the model."""
    return f"{datetime.fromtimestamp(window.until, UTC):%Y-%m-%dT%H%M%SZ}-v{window.version}"


def store_candidate(state: Path, log: Path, trip: Trip) -> Path:
    """The folder with the rows of the trip's window; another trip of a window that is stored is added to it.

    Raises `Failed` where the log cannot be read, or where there are too many candidates; `BadInput` where it is none.
    """
    folder = state / FOLDER / name_of(trip.window)
    if (folder / ABOUT).is_file():
        _add(folder, trip)
        return folder
    folder.parent.mkdir(parents=True, exist_ok=True)
    _sweep(folder)
    if sum(1 for _ in stored(folder.parent)) >= MOST:
        raise Failed(f"{MOST} candidates are stored already", file=folder.parent, hint=f"ls {folder.parent}")
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f".{folder.name}.") as scratch:
        made, own = Path(scratch, "made"), log / trip.model  # a log may be of several models
        rows = _copy_rows(own if own.is_dir() else log, trip, made)
        about = Candidate(model=trip.model, window=trip.window, rows=rows, trips=(trip,), files=manifest(made))
        write_json(made / ABOUT, about.model_dump(mode="json"))
        os.replace(made, folder)  # noqa: PTH105 - a folder, whole
    return folder


def load_candidate(folder: Path) -> Candidate:
    """Raises `BadInput`."""
    content = read_json(folder / ABOUT)
    try:
        return Candidate.model_validate(content)
    except ValidationError as error:
        raise BadInput(f"not a dataset candidate: {first_fault(error)}", file=folder / ABOUT) from None


def _add(folder: Path, trip: Trip) -> None:
    about = load_candidate(folder)
    if trip not in about.trips:
        changed = about.model_copy(update={"trips": (*about.trips, trip)})
        write_json(folder / ABOUT, changed.model_dump(mode="json"))


def stored(folder: Path) -> Iterator[Path]:
    if folder.is_dir():
        yield from (path for path in sorted(folder.iterdir()) if path.is_dir() and not path.name.startswith("."))


def _sweep(folder: Path) -> None:
    """What a run left that was killed while it wrote this candidate."""
    for path in folder.parent.glob(f".{folder.name}.*"):
        shutil.rmtree(path, ignore_errors=True)


def _copy_rows(log: Path, trip: Trip, folder: Path) -> int:
    """Write the window's rows as files of a prediction log, which are named by when they begin; how many they are."""
    window, versions = trip.window, (trip.window.version,) if trip.window.version else ()
    target = folder / str(trip.window.version)
    target.mkdir(parents=True)
    count = 0
    for since, until in _parts(window.since, window.until):
        moments = tuple(datetime.fromtimestamp(moment, UTC) for moment in (since, until))
        selection = Selection(moments[0], moments[1], versions)
        count += _copy(log, selection, target / f"{moments[0]:{BEGAN}}{CLOSED}")
    return count


def _parts(since: float, until: float) -> Iterator[tuple[float, float]]:
    """A file of a log ends with its period."""
    while since < until:
        end = min(until, (since // PERIOD + 1) * PERIOD)
        yield since, end
        since = end


def _copy(log: Path, selection: Selection, target: Path) -> int:
    try:
        with open_log(log, selection) as rows:
            count = rows.copy(target, "parquet", units=True)
    except BadInput:
        return 0
    if not count:
        target.unlink()
    return count
