"""What splits must not share: rows, groups, times, and copies of a signal."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import combinations
from typing import TYPE_CHECKING, Any

from beampermit.contract import Signal
from beampermit.contract.dataset import Dataset
from beampermit.datasets.tables import Table, quoted
from beampermit.errors import Failed, counted, did_you_mean

if TYPE_CHECKING:
    import numpy as np

SHOWN = 3
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
SHORTEST = 32
"""Shorter signals, and scalars, repeat by chance."""
BATCH = 4096
BUDGET, FEWEST, MOST = 2**24, 4, 16
"""Windows kept of all rows, and at least and at most of each row."""
MOST_PER_SPLIT = 8
"""Rows of one split that are compared for one window: enough to find a copy, not each pair of a thousand."""
CANDIDATES = 5000
TOLERANCE = 5e-3
"""Two signals are copies if one is a linear function of the other, within this share of its spread."""
FINEST = 1e-4
"""Differences below this share of the spread are taken for rounding."""


@dataclass(frozen=True)
class Overlap:
    """Something that two splits share, how many times, and examples."""

    message: str
    paths: tuple[str, ...]
    count: int
    examples: tuple[str, ...] = ()

    def as_json(self) -> dict[str, Any]:
        return {
            "message": self.message,
            "paths": list(self.paths),
            "count": self.count,
            "examples": list(self.examples),
        }


def overlaps(tables: list[Table], dataset: Dataset) -> list[Overlap]:
    """Keys, groups and times that `tables` share, by the rules of `dataset`. Raises `Failed`."""
    _require_columns(tables, [*dataset.key, *dataset.split.by, *filter(None, [dataset.split.time])])
    shared = [overlap for column in dataset.split.by for table in tables if (overlap := _null_groups(table, column))]
    for one, other in combinations(tables, 2):
        groups: list[tuple[str, ...]] = [(column,) for column in dataset.split.by]
        for columns in dict.fromkeys([dataset.key, *groups]):
            shared += _shared_keys(one, other, columns)
    return shared + (list(_shared_times(tables, dataset.split.time)) if dataset.split.time else [])


def duplicates(tables: list[Table], signals: tuple[Signal, ...], key: tuple[str, ...]) -> Iterator[Overlap]:
    """Copies of signals between splits, one `Overlap` for each signal and pair of splits. Raises `Failed`."""
    for signal in signals:
        for table in tables:
            if signal.name not in table.columns:
                similar = did_you_mean(signal.name, table.columns, "is it")
                raise Failed(f"there is no column {signal.name!r}{similar}", file=table.path)
        if not _too_short(signal) and all(table.dimensions(signal.name) for table in tables):
            yield from _copies_of(tables, signal, key)


def not_compared(signals: tuple[Signal, ...]) -> tuple[str, ...]:
    """Names of the signals that are too short to be compared."""
    return tuple(signal.name for signal in signals if _too_short(signal))


def _require_columns(tables: list[Table], columns: list[str]) -> None:
    for table in tables:
        missing = next((column for column in columns if column not in table.columns), None)
        if missing:
            raise Failed(f"there is no column {missing!r}, which dataset.key or dataset.split names", file=table.path)


def _null_groups(table: Table, column: str) -> Overlap | None:
    count = table.query(f"SELECT count(*) - count({quoted(column)}) FROM {table.source}")[0][0]
    message = f"{table.path}: {column} is null in {counted(count, 'row')}, which therefore belong to no group"
    return Overlap(message, (table.path,), count) if count else None


def _shared_keys(one: Table, other: Table, columns: tuple[str, ...]) -> Iterator[Overlap]:
    names = ", ".join(quoted(column) for column in columns)
    same = " AND ".join(f"one.{quoted(column)} = other.{quoted(column)}" for column in columns)
    listed = ", ".join(f"CAST(one.{quoted(column)} AS VARCHAR)" for column in columns)
    count, first = one.query(
        # In a subquery, `one` would be a column of that name, if the other table has one.
        f"SELECT count(*), min([{listed}], {SHOWN}) FROM (SELECT DISTINCT {names} FROM {one.source}) AS one"
        f" SEMI JOIN (SELECT {names} FROM {other.source}) AS other ON {same}"
    )[0]
    if count:
        plural = "s" * (count > 1)
        what = f"{count} row{plural}" if len(columns) > 1 else f"{count} value{plural} of {', '.join(columns)}"
        examples: list[str] = [" ".join(row) for row in first]
        yield Overlap(
            f"{one.split} and {other.split} share {what}, such as {examples[0][:80]}",
            (one.path, other.path),
            count,
            tuple(examples),
        )


def _shared_times(tables: list[Table], column: str) -> Iterator[Overlap]:
    spans = [(table, *_time_range(table, column)) for table in tables]
    for (one, first, last), (other, start, end) in combinations(spans, 2):
        if first <= end and start <= last:
            begin, stop = _format_time(max(first, start)), _format_time(min(last, end))
            message = f"{one.split} and {other.split} overlap in {column} from {begin} to {stop}"
            yield Overlap(message, (one.path, other.path), 1)


def _time_range(table: Table, column: str) -> tuple[int, int]:
    """First and last time in microseconds since 1970; times without a zone are UTC."""
    kind = table.columns[column]
    if not table.is_time(column):
        raise Failed(f"{column} has type {kind}, not a time", file=table.path)
    time = table.microseconds(column)
    first, last, nulls, odd = table.query(
        f"SELECT min({time}), max({time}), count(*) - count({quoted(column)}), count({quoted(column)}) - count({time})"
        f" FROM {table.source}"
    )[0]
    if odd:
        raise Failed(f"{column} is not a time of the years 1 to 9999 in {counted(odd, 'row')}", file=table.path)
    if nulls or first is None:
        raise Failed(f"{column} is null in {counted(nulls, 'row')}", file=table.path)
    return first, last


def _format_time(microseconds: int) -> str:
    return (EPOCH + timedelta(microseconds=microseconds)).isoformat(timespec="seconds")


@dataclass(frozen=True)
class _Match:
    """Two rows (numbered over all splits) that share a window, which the second has `shift` values later."""

    one: int
    other: int
    shift: int


def _too_short(signal: Signal) -> bool:
    return math.prod(signal.shape) < SHORTEST


def _copies_of(tables: list[Table], signal: Signal, key: tuple[str, ...]) -> Iterator[Overlap]:
    counts = [table.query(f"SELECT count(*) FROM {table.source}")[0][0] for table in tables]
    starts = [sum(counts[:place]) for place in range(len(tables) + 1)]
    matches = _matches(tables, signal, starts)
    by_pair: dict[tuple[int, int], list[_Match]] = {}
    for match in matches:
        place = tuple(_split_of(starts, row) for row in (match.one, match.other))
        by_pair.setdefault((place[0], place[1]), []).append(match)
    for (one, other), pair_matches in sorted(by_pair.items()):
        ends = (tables[one], starts[one]), (tables[other], starts[other])
        yield from _verify(ends, pair_matches, signal, key)


def _split_of(starts: list[int], row: int) -> int:
    return next(place for place in range(len(starts)) if starts[place] <= row < starts[place + 1])


def _values(table: Table, signal: Signal) -> str:
    values = quoted(signal.name)
    for _ in range((table.dimensions(signal.name) or 1) - 1):
        values = f"flatten({values})"
    return f"CAST({values} AS DOUBLE[])"


def _is_comparable(table: Table, signal: Signal) -> str:
    """SQL condition of rows that can be compared; DAT004 reports the others."""
    values, size = _values(table, signal), math.prod(signal.shape)
    return f"len({values}) = {size} AND list_count({values}) = {size} AND isfinite(list_sum({values}))"


def _matches(tables: list[Table], signal: Signal, starts: list[int]) -> list[_Match]:
    import numpy as np

    kept = max(FEWEST, min(MOST, BUDGET // max(starts[-1], 1)))
    number = np.min_scalar_type(starts[-1])
    parts: tuple[list[np.ndarray], ...] = ([], [], [])
    for table, start in zip(tables, starts, strict=False):
        select = f"SELECT file_row_number, {_values(table, signal)} FROM {table.numbered}"
        sql = f"{select} WHERE {_is_comparable(table, signal)}"
        for batch in table.batches(sql, BATCH):
            rows = (np.array([row for row, _ in batch]) + start).astype(number)
            for part, piece in zip(parts, _sketch(np.array([values for _, values in batch]), rows, kept), strict=True):
                part.append(piece)
    if not parts[0]:
        return []
    hashes, rows, places = map(_concatenate, parts)
    shared = _is_repeated(hashes)
    hashes, rows, places = hashes[shared], rows[shared], places[shared]
    order = np.argsort(hashes, kind="stable")
    hashes, rows, places = hashes[order], rows[order], places[order]
    splits = np.searchsorted(np.array(starts[1:]), rows, side="right")
    begins = np.flatnonzero(np.r_[True, hashes[1:] != hashes[:-1]]) if len(hashes) else np.array([], dtype=np.int64)
    if not len(begins):
        return []
    crossing = np.minimum.reduceat(splits, begins) != np.maximum.reduceat(splits, begins)
    ends = np.r_[begins[1:], len(hashes)]
    counts: Counter[_Match] = Counter()
    for begin, end in zip(begins[crossing], ends[crossing], strict=True):
        counts.update(_cross_matches(splits[begin:end], rows[begin:end], places[begin:end]))
    return [match for match, _ in counts.most_common(CANDIDATES)]


def _concatenate(parts: list[np.ndarray]) -> np.ndarray:
    """Concatenate, and clear `parts`, so that the arrays are in memory once."""
    import numpy as np

    whole = np.concatenate(parts)
    parts.clear()
    return whole


def _is_repeated(hashes: np.ndarray) -> np.ndarray:
    """Mask of the hashes that occur more than once; usually few."""
    import numpy as np

    ordered = np.sort(hashes)
    twice = np.unique(ordered[1:][ordered[1:] == ordered[:-1]])
    if not len(twice):
        return np.zeros(len(hashes), dtype=bool)
    nearest = np.searchsorted(twice, hashes)
    nearest[nearest == len(twice)] = 0
    return twice[nearest] == hashes


def _cross_matches(splits: np.ndarray, rows: np.ndarray, places: np.ndarray) -> Iterator[_Match]:
    """Pairs of rows from different splits that share one window."""
    groups: dict[int, list[tuple[int, int]]] = {}
    for split, row, place in zip(splits.tolist(), rows.tolist(), places.tolist(), strict=True):
        members = groups.setdefault(split, [])
        if len(members) < MOST_PER_SPLIT:
            members.append((row, place))
    for one, other in combinations(sorted(groups), 2):
        for row, place in groups[one]:
            yield from (_Match(row, again, there - place) for again, there in groups[other])


def _sketch(x: np.ndarray, rows: np.ndarray, kept: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The `kept` windows of each row of `x`, shape (rows, values), with the smallest hashes: hash, row, place."""
    import numpy as np

    step = np.diff(x, axis=1)
    before, after = step[:, :-1], step[:, 1:]
    clear = np.hypot(before, after) > FINEST * x.std(axis=1, keepdims=True)
    angle = np.mod(np.arctan2(after, before), np.pi)
    # Shifted by half a step, so that flat, straight and alternating values do not lie on a rounding boundary.
    code = (angle * (256 / np.pi) + 0.5).astype(np.uint64) & np.uint64(255)
    for width in (1, 2, 4):
        code = code[:, :-width] | (code[:, width:] << np.uint64(8 * width))
        clear = clear[:, :-width] & clear[:, width:]
    half = np.uint64(32)
    clear &= code != (
        (code << half) | (code >> half)
    )  # excludes straight lines and values that repeat within the window
    mixed = (code ^ (code >> np.uint64(31))) * np.uint64(0x9E3779B97F4A7C15)
    mixed ^= mixed >> np.uint64(29)
    mixed[~clear] = np.iinfo(np.uint64).max
    kept = min(kept, mixed.shape[1] - 1)
    places = np.argpartition(mixed, kept, axis=1)[:, :kept]
    hashes = np.take_along_axis(mixed, places, axis=1)
    good = hashes != np.iinfo(np.uint64).max
    return hashes[good], np.repeat(rows, kept).reshape(-1, kept)[good], places.astype(np.int32)[good]


def _verify(
    ends: tuple[tuple[Table, int], tuple[Table, int]], matches: list[_Match], signal: Signal, key: tuple[str, ...]
) -> Iterator[Overlap]:
    (one, first), (other, second) = ends
    left = _load_rows(one, signal, key, {match.one - first for match in matches})
    right = _load_rows(other, signal, key, {match.other - second for match in matches})
    same: dict[tuple[int, int], str] = {}
    for match in matches:
        pair = match.one - first, match.other - second
        (name_one, x), (name_other, y) = left[pair[0]], right[pair[1]]
        if pair not in same and (change := _describe_copy(x, y, match.shift)) is not None:
            same[pair] = f"{name_other} is {name_one}{change}"
    if same:
        count = len({copy for _, copy in same})
        examples = list(same.values())[:SHOWN]
        what = f"{signal.name} of {count} row{'s' * (count > 1)} of {other.split} is a copy of {one.split}"
        yield Overlap(f"{what}: {examples[0][:200]}", (one.path, other.path), count, tuple(examples))


def _load_rows(
    table: Table, signal: Signal, key: tuple[str, ...], numbers: set[int]
) -> dict[int, tuple[str, np.ndarray]]:
    import numpy as np

    listed = ", ".join(f"CAST({quoted(column)} AS VARCHAR)" for column in key)
    sql = f"SELECT file_row_number, concat_ws(' ', {listed}), {_values(table, signal)} FROM {table.numbered}"
    rows = table.query(f"{sql} WHERE file_row_number IN ({', '.join(map(str, sorted(numbers)))})")
    return {row: (str(row_key)[:80], np.array(values)) for row, row_key, values in rows}


def _describe_copy(x: np.ndarray, y: np.ndarray, shift: int) -> str | None:
    """How `y` is computed from `x`, `shift` values later; None if it is not a copy."""
    import numpy as np

    least = max(SHORTEST, len(x) // 4)
    x, y = (x[: len(x) - shift], y[shift:]) if shift >= 0 else (x[-shift:], y[: len(y) + shift])
    if len(x) < least:
        return None
    a, b = x - x.mean(), y - y.mean()
    spread_x, spread_y = float(a @ a), float(b @ b)
    if not spread_x or not spread_y:
        return None
    scale = float(a @ b) / spread_x
    rest = float(np.square(b - scale * a).sum()) / spread_y
    if rest > TOLERANCE**2:
        return None
    changes = [f"{counted(abs(shift), 'value')} {'later' if shift > 0 else 'earlier'}"] if shift else []
    changes += [f"times {scale:.4g}"] if abs(scale - 1) > TOLERANCE else []
    offset = float(y.mean() - scale * x.mean())
    changes += [f"plus {offset:.3g}"] if abs(offset) > TOLERANCE * math.sqrt(spread_y / len(y)) else []
    return f", {', '.join(changes)}" if changes else ""
