"""Signals that stand in two splits under other names: copied, shifted in time, scaled, turned over, or moved.

Every window of a signal is described by the angles between its successive differences, which neither scale, sign nor
offset change, and which travel with the signal when it is shifted. Of each signal the few windows with the smallest
hashes are kept, so that two signals that share windows keep the same ones. Pairs that meet that way are then compared
turn by turn: what is reported was verified. Memory grows by about 40 bytes for each window kept, at most `BUDGET` of
them or `FEWEST` a row, not by the length of the signals.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import combinations
from typing import TYPE_CHECKING

from beampermit.contract import Signal
from beampermit.datasets.overlap import Overlap
from beampermit.datasets.tables import Table, name

if TYPE_CHECKING:
    import numpy as np

SHORTEST = 32
"""Shorter signals, and scalars, repeat without being copies."""
BATCH = 4096
BUDGET, FEWEST, MOST = 2**24, 4, 16
"""Windows kept in all, and at least and at most of one row."""
EACH = 8
"""Rows of one split that one window may bring together with others: a copy is found, not each pair of a thousand."""
CANDIDATES = 5000
TOLERANCE = 5e-3
"""Two signals are one when a straight line makes one of the other but for this share of its spread."""
FINEST = 1e-4
"""Differences smaller than this share of the spread are rounding, not shape."""
SHOWN = 3


@dataclass(frozen=True)
class _Meeting:
    """Two rows, by number over all splits, that share a window; the second has it `shift` values later."""

    one: int
    other: int
    shift: int


def duplicates(tables: list[Table], signals: tuple[Signal, ...], key: tuple[str, ...]) -> Iterator[Overlap]:
    """Near-duplicates between splits, one `Overlap` for each signal and pair of splits. Raises `Tripped`."""
    for signal in signals:
        if not _too_short(signal) and all(table.dimensions(signal.name) for table in tables):
            yield from _of(tables, signal, key)


def not_compared(signals: tuple[Signal, ...]) -> tuple[str, ...]:
    """The signals that are too short to be called copies of each other."""
    return tuple(signal.name for signal in signals if _too_short(signal))


def _too_short(signal: Signal) -> bool:
    return math.prod(signal.shape) < SHORTEST


def _of(tables: list[Table], signal: Signal, key: tuple[str, ...]) -> Iterator[Overlap]:
    counts = [table.query(f"SELECT count(*) FROM {table.source}")[0][0] for table in tables]
    starts = [sum(counts[:place]) for place in range(len(tables) + 1)]
    meetings = _meetings(tables, signal, starts)
    by_pair: dict[tuple[int, int], list[_Meeting]] = {}
    for meeting in meetings:
        place = tuple(_split(starts, row) for row in (meeting.one, meeting.other))
        by_pair.setdefault((place[0], place[1]), []).append(meeting)
    for (one, other), found in sorted(by_pair.items()):
        ends = (tables[one], starts[one]), (tables[other], starts[other])
        yield from _verified(ends, found, signal, key)


def _split(starts: list[int], row: int) -> int:
    return next(place for place in range(len(starts)) if starts[place] <= row < starts[place + 1])


def _values(table: Table, signal: Signal) -> str:
    values = name(signal.name)
    for _ in range((table.dimensions(signal.name) or 1) - 1):
        values = f"flatten({values})"
    return f"CAST({values} AS DOUBLE[])"


def _sound(table: Table, signal: Signal) -> str:
    """Rows that can be compared: DAT004 names the others."""
    values, size = _values(table, signal), math.prod(signal.shape)
    return f"len({values}) = {size} AND list_count({values}) = {size} AND isfinite(list_sum({values}))"


def _meetings(tables: list[Table], signal: Signal, starts: list[int]) -> list[_Meeting]:
    import numpy as np

    kept = max(FEWEST, min(MOST, BUDGET // max(starts[-1], 1)))
    number = np.min_scalar_type(starts[-1])
    parts: tuple[list[np.ndarray], ...] = ([], [], [])
    for table, start in zip(tables, starts, strict=False):
        sql = f"SELECT file_row_number, {_values(table, signal)} FROM {table.numbered} WHERE {_sound(table, signal)}"
        for batch in table.batches(sql, BATCH):
            rows = (np.array([row for row, _ in batch]) + start).astype(number)
            for part, piece in zip(parts, _sketch(np.array([values for _, values in batch]), rows, kept), strict=True):
                part.append(piece)
    if not parts[0]:
        return []
    hashes, rows, places = map(_joined, parts)
    met = _repeated(hashes)
    hashes, rows, places = hashes[met], rows[met], places[met]
    order = np.argsort(hashes, kind="stable")
    hashes, rows, places = hashes[order], rows[order], places[order]
    splits = np.searchsorted(np.array(starts[1:]), rows, side="right")
    begins = np.flatnonzero(np.r_[True, hashes[1:] != hashes[:-1]]) if len(hashes) else np.array([], dtype=np.int64)
    if not len(begins):
        return []
    crossing = np.minimum.reduceat(splits, begins) != np.maximum.reduceat(splits, begins)
    ends = np.r_[begins[1:], len(hashes)]
    found: Counter[_Meeting] = Counter()
    for begin, end in zip(begins[crossing], ends[crossing], strict=True):
        found.update(_crossing(splits[begin:end], rows[begin:end], places[begin:end]))
    return [meeting for meeting, _ in found.most_common(CANDIDATES)]


def _joined(parts: list[np.ndarray]) -> np.ndarray:
    """One array of many, which are forgotten: not all of them are in memory twice."""
    import numpy as np

    found = np.concatenate(parts)
    parts.clear()
    return found


def _repeated(hashes: np.ndarray) -> np.ndarray:
    """Which windows some other row may have too; usually few, and only those are looked at further."""
    import numpy as np

    ordered = np.sort(hashes)
    twice = np.unique(ordered[1:][ordered[1:] == ordered[:-1]])
    if not len(twice):
        return np.zeros(len(hashes), dtype=bool)
    nearest = np.searchsorted(twice, hashes)
    nearest[nearest == len(twice)] = 0
    return twice[nearest] == hashes


def _crossing(splits: np.ndarray, rows: np.ndarray, places: np.ndarray) -> Iterator[_Meeting]:
    """The pairs of rows of different splits that share one window."""
    groups: dict[int, list[tuple[int, int]]] = {}
    for split, row, place in zip(splits.tolist(), rows.tolist(), places.tolist(), strict=True):
        members = groups.setdefault(split, [])
        if len(members) < EACH:
            members.append((row, place))
    for one, other in combinations(sorted(groups), 2):
        for row, place in groups[one]:
            yield from (_Meeting(row, again, there - place) for again, there in groups[other])


def _sketch(x: np.ndarray, rows: np.ndarray, kept: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The `kept` windows of each row of `x`, shape (rows, values), with the smallest hashes: hash, row, place."""
    import numpy as np

    step = np.diff(x, axis=1)
    before, after = step[:, :-1], step[:, 1:]
    clear = np.hypot(before, after) > FINEST * x.std(axis=1, keepdims=True)
    angle = np.mod(np.arctan2(after, before), np.pi)
    # Half a step aside, so that flat, straight and alternating values do not fall between two numbers.
    code = (angle * (256 / np.pi) + 0.5).astype(np.uint64) & np.uint64(255)
    for width in (1, 2, 4):
        code = code[:, :-width] | (code[:, width:] << np.uint64(8 * width))
        clear = clear[:, :-width] & clear[:, width:]
    half = np.uint64(32)
    clear &= code != ((code << half) | (code >> half))  # a line, and what repeats within the window, is no shape
    mixed = (code ^ (code >> np.uint64(31))) * np.uint64(0x9E3779B97F4A7C15)
    mixed ^= mixed >> np.uint64(29)
    mixed[~clear] = np.iinfo(np.uint64).max
    kept = min(kept, mixed.shape[1] - 1)
    places = np.argpartition(mixed, kept, axis=1)[:, :kept]
    hashes = np.take_along_axis(mixed, places, axis=1)
    good = hashes != np.iinfo(np.uint64).max
    return hashes[good], np.repeat(rows, kept).reshape(-1, kept)[good], places.astype(np.int32)[good]


def _verified(
    ends: tuple[tuple[Table, int], tuple[Table, int]], meetings: list[_Meeting], signal: Signal, key: tuple[str, ...]
) -> Iterator[Overlap]:
    (one, first), (other, second) = ends
    left = _rows(one, signal, key, {meeting.one - first for meeting in meetings})
    right = _rows(other, signal, key, {meeting.other - second for meeting in meetings})
    same: dict[tuple[int, int], str] = {}
    for meeting in meetings:
        pair = meeting.one - first, meeting.other - second
        (name_one, x), (name_other, y) = left[pair[0]], right[pair[1]]
        if pair not in same and (words := _alike(x, y, meeting.shift)) is not None:
            same[pair] = f"{name_other} is {name_one}{words}"
    if same:
        copies = len({copy for _, copy in same})
        examples = list(same.values())[:SHOWN]
        what = f"{copies} {signal.name} of {other.split} are copies of {one.split}'s"
        yield Overlap(f"{what}: {examples[0][:200]}", (one.path, other.path), copies, tuple(examples))


def _rows(table: Table, signal: Signal, key: tuple[str, ...], wanted: set[int]) -> dict[int, tuple[str, np.ndarray]]:
    import numpy as np

    listed = ", ".join(f"CAST({name(column)} AS VARCHAR)" for column in key)
    sql = f"SELECT file_row_number, concat_ws(' ', {listed}), {_values(table, signal)} FROM {table.numbered}"
    rows = table.query(f"{sql} WHERE file_row_number IN ({', '.join(map(str, sorted(wanted)))})")
    return {row: (str(words)[:80], np.array(values)) for row, words, values in rows}


def _alike(x: np.ndarray, y: np.ndarray, shift: int) -> str | None:
    """How `y`, `shift` values later, is made of `x`, in words; None where it is not."""
    import numpy as np

    least = max(SHORTEST, len(x) // 4)
    x, y = (x[: len(x) - shift], y[shift:]) if shift >= 0 else (x[-shift:], y[: len(y) + shift])
    if len(x) < least:
        return None
    a, b = x - x.mean(), y - y.mean()
    spread, other = float(a @ a), float(b @ b)
    if not spread or not other:
        return None
    scale = float(a @ b) / spread
    rest = float(np.square(b - scale * a).sum()) / other
    if rest > TOLERANCE**2:
        return None
    words = [f"{abs(shift)} values {'later' if shift > 0 else 'earlier'}"] if shift else []
    words += [f"times {scale:.4g}"] if abs(scale - 1) > TOLERANCE else []
    moved = float(y.mean() - scale * x.mean())
    words += [f"plus {moved:.3g}"] if abs(moved) > TOLERANCE * math.sqrt(other / len(y)) else []
    return f", {', '.join(words)}" if words else ""
