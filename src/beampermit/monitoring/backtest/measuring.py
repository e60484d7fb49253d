"""What is measured of the windows of a recording: part after part, and joined."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from datetime import UTC, datetime
from typing import Annotated

from pydantic import Field

from beampermit.contract import Contract
from beampermit.errors import BadInput
from beampermit.monitoring.backtest.parts import Part, parts_of
from beampermit.monitoring.backtest.recorded import Recording, Series, series_of
from beampermit.monitoring.limits import Limits
from beampermit.monitoring.readings import readings
from beampermit.monitoring.trip_rules import CANNOT_JUDGE
from beampermit.monitoring.windows import LogWindow, read_window
from beampermit.progress import Progress, silent
from beampermit.record import Count, Number, Record

CHUNK = 6
"""Windows whose rows are in memory at once."""
Pair = tuple[Number, Number]


class Measured(Record):
    """Of a part's windows, as JSON has it: of each check and subject its value and its limit in each window."""

    first: Annotated[int, Field(strict=True)]
    """Place of the first window."""
    count: Count
    found: dict[str, tuple[Pair | None, ...]]
    """None where it was not judged."""
    rows: Count
    notes: tuple[str, ...]
    usual: dict[str, Number]


def measure(recording: Recording, limits: Limits, progress: Progress = silent) -> Series:
    """Raises `BadInput` where nothing of the span can be judged."""
    parts = parts_of(recording)
    return joined(recording, parts, _each(recording.contract, parts, limits, len(recording.places), progress))


def measure_part(part: Part, contract: Contract, limits: Limits, judged: Progress = silent) -> Measured:
    """`judged` hears of each window."""
    monitoring, places = contract.monitoring, part.places
    found, notes, usual, rows = dict[str, list[Pair | None]](), dict[str, None](), dict[str, float](), 0
    for chunk, of_chunk in _chunks(part, contract):
        first = of_chunk.start == places.start
        before = monitoring.window if first and part.first else monitoring.every
        rows += int((chunk.at >= of_chunk.start * monitoring.every - before).sum())
        notes |= dict.fromkeys(chunk.notes)
        for place in of_chunk:
            end = place * monitoring.every
            window = chunk.between(end - monitoring.window, end)
            for one in readings(window, limits, contract):
                if one.check == CANNOT_JUDGE:
                    continue
                found.setdefault(one.key, [None] * len(places))[place - places.start] = (one.value, one.limit)
                usual |= {one.key: one.usual} if one.usual else {}
            judged("judge windows", place - places.start + 1, len(places))
    return Measured(
        first=places.start,
        count=len(places),
        found={key: tuple(pairs) for key, pairs in found.items()},
        rows=rows,
        notes=tuple(notes),
        usual=usual,
    )


def joined(recording: Recording, parts: Iterable[Part], measured: Iterable[Measured]) -> Series:
    """One series of the parts of a recording. Raises `BadInput` where nothing was judged."""
    places, every = recording.places, recording.contract.monitoring.every
    versions = sorted({part.version for part in parts if part.version is not None})
    windows = [dict[str, Pair]() for _ in places]
    rows, notes, usual = 0, dict[str, None](), dict[str, float]()
    if len(versions) > 1:
        named = ", ".join(map(str, versions))
        notes[f"versions {named} were in service: each window is judged of the one that was last"] = None
    for one in sorted(measured, key=lambda measured: measured.first):
        rows, notes, usual = rows + one.rows, notes | dict.fromkeys(one.notes), {**usual, **one.usual}
        for key, pairs in one.found.items():
            for place, pair in enumerate(pairs, one.first - places.start):
                if pair is not None:
                    windows[place][key] = pair
    series = replace(series_of([place * every for place in places], windows, rows, tuple(notes)), usual=usual)
    if not series.judged:
        span = f"{_time(recording.since)} to {_time(recording.until)}"
        raise BadInput(f"no window from {span} can be judged: the log has too few rows there", file=recording.log)
    return series


def _each(
    contract: Contract, parts: Iterable[Part], limits: Limits, windows: int, progress: Progress
) -> Iterator[Measured]:
    done = 0

    def judged(step: str, of_part: int = 0, _: int = 0, /) -> None:
        progress(step, done + of_part, windows)

    for part in parts:
        yield measure_part(part, contract, limits, judged)
        done += len(part.places)


def _chunks(part: Part, contract: Contract) -> Iterator[tuple[LogWindow, range]]:
    """Rows of windows one after another, with a window's span before them."""
    monitoring = contract.monitoring
    length = max(1, int(CHUNK * monitoring.window // monitoring.every))
    for first in range(part.places.start, part.places.stop, length):
        places = range(first, min(first + length, part.places.stop))
        since, until = first * monitoring.every - monitoring.window, places[-1] * monitoring.every
        yield read_window(part.folder, contract, since, until, version=part.version), places


def _time(at: float) -> str:
    return f"{datetime.fromtimestamp(at, UTC):%Y-%m-%dT%H:%MZ}"
