"""What splits share and must not: rows, groups, time."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import combinations
from typing import Any

from beampermit.contract.dataset import Dataset
from beampermit.datasets.tables import Table, name
from beampermit.errors import Tripped

FIRST = 3
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class Overlap:
    """Something that two splits share: how many, and the first of them."""

    words: str
    paths: tuple[str, ...]
    count: int
    first: tuple[str, ...] = ()

    def as_json(self) -> dict[str, Any]:
        """For evidence."""
        return {"words": self.words, "paths": list(self.paths), "count": self.count, "first": list(self.first)}


def overlaps(tables: list[Table], dataset: Dataset) -> list[Overlap]:
    """What `tables` share, by the key, the groups and the time that `dataset` names. Raises `Tripped`."""
    _present(tables, [*dataset.key, *dataset.split.by, *filter(None, [dataset.split.time])])
    found = [found for column in dataset.split.by for table in tables if (found := _ungrouped(table, column))]
    for one, other in combinations(tables, 2):
        alone: list[tuple[str, ...]] = [(column,) for column in dataset.split.by]
        for columns in dict.fromkeys([dataset.key, *alone]):
            found += _shared(one, other, columns)
    return found + (list(_times(tables, dataset.split.time)) if dataset.split.time else [])


def _present(tables: list[Table], columns: list[str]) -> None:
    for table in tables:
        missing = next((column for column in columns if column not in table.columns), None)
        if missing:
            raise Tripped(f"there is no column {missing!r} to divide by", file=table.path)


def _ungrouped(table: Table, column: str) -> Overlap | None:
    count = table.query(f"SELECT count(*) - count({name(column)}) FROM {table.source}")[0][0]
    words = f"{table.path}: {column} is null in {count} rows, which belong to no group"
    return Overlap(words, (table.path,), count) if count else None


def _shared(one: Table, other: Table, columns: tuple[str, ...]) -> Iterator[Overlap]:
    names = ", ".join(name(column) for column in columns)
    same = " AND ".join(f"one.{name(column)} = other.{name(column)}" for column in columns)
    listed = ", ".join(f"CAST({name(column)} AS VARCHAR)" for column in columns)
    count, first = one.query(
        f"SELECT count(*), min([{listed}], {FIRST}) FROM (SELECT DISTINCT {names} FROM {one.source}) AS one"
        f" WHERE EXISTS (SELECT 1 FROM {other.source} AS other WHERE {same})"
    )[0]
    if count:
        what = f"{count} row{'s' * (count > 1)}" if len(columns) > 1 else f"{count} of {', '.join(columns)}"
        examples: list[str] = [" ".join(row) for row in first]
        yield Overlap(
            f"{one.split} and {other.split} share {what}, such as {examples[0][:80]}",
            (one.path, other.path),
            count,
            tuple(examples),
        )


def _times(tables: list[Table], column: str) -> Iterator[Overlap]:
    spans = [(table, *_span(table, column)) for table in tables]
    for (one, first, last), (other, start, end) in combinations(spans, 2):
        if first <= end and start <= last:
            begin, stop = _time(max(first, start)), _time(min(last, end))
            words = f"{one.split} and {other.split} overlap in {column} from {begin} to {stop}"
            yield Overlap(words, (one.path, other.path), 1)


def _span(table: Table, column: str) -> tuple[int, int]:
    """First and last time in microseconds since 1970; one without a zone is UTC."""
    kind = table.columns[column]
    if not kind.startswith(("TIMESTAMP", "DATE")):
        raise Tripped(f"{column} is of type {kind}, not a time", file=table.path)
    first, last, nulls = table.query(
        f"SELECT epoch_us(min({name(column)})), epoch_us(max({name(column)})), count(*) - count({name(column)})"
        f" FROM {table.source}"
    )[0]
    if nulls or first is None:
        raise Tripped(f"{column} is null in {nulls} rows", file=table.path)
    return first, last


def _time(microseconds: int) -> str:
    return (EPOCH + timedelta(microseconds=microseconds)).isoformat(timespec="seconds")
