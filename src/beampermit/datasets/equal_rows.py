"""Rows of scalars that stand in two splits, exactly or within the resolutions of the signals.

docs/decisions/0017-equal-rows-by-chance.md has the reasons: how copies with noise are found without comparing each
pair, and how copies are told from rows that are equal by chance.
"""

from __future__ import annotations

import math
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from beampermit.contract import Signal
from beampermit.datasets.arrays import flattened
from beampermit.datasets.overlap import SHORTEST, SHOWN, Overlap
from beampermit.datasets.tables import Table, open_tables, quoted, sql_text

MEMORY = "2GB"
"""Of duckdb; what needs more is spilled to a scratch folder."""
SMALL = 2**20
"""Up to this many values are read once; more are read from the files each time."""
FEWEST = 2
"""Numbers of a row that can be told from others: single numbers repeat by chance."""
GRID = 5
"""Values with a resolution by which rows are put into cells; then all values are compared."""
PER_CELL = 32
"""Rows of one split that are compared in one cell: enough to see that it is crowded."""
CROWD = 4
"""A row that is near rows of more groups than this repeats by itself, such as a machine at rest."""
FEWEST_GROUPS = 10
"""Where there are fewer groups, each row counts as one."""
WIDER = 8
"""Rows in one cell, this many resolutions wide, are near: of such pairs, `EQUAL_IF_NEAR` are equal in one dimension."""
EQUAL_IF_NEAR = 0.25
SOME = 100_000
"""Rows in which the step of a signal without a resolution is looked for."""
WHOLE = 0.1
"""Gaps between values are whole steps, if at least half of them are so within this share of a step."""
LEFT_OUT = 16
"""Values that are left out, one at a time, to find rows that differ in one value."""
LIKELY = 0.5
"""A row that has as many equal rows by chance is not looked at."""
SAFETY, SPREAD = 3, 4
"""More equal rows than this many times those expected by chance, and as many standard deviations, are copies."""


@dataclass(frozen=True)
class EqualRows:
    """What the splits share, and the numbers behind it."""

    overlaps: tuple[Overlap, ...] = ()
    values: int = 0
    """Values that were compared of each row; 0 where the rows were not compared."""
    alike: int = 0
    """Rows, at least, that stand in two splits as is to be expected where rows are as much alike as here."""


@dataclass(frozen=True)
class _Value:
    """One value of a row: its column in the views, where it stands in the tables, and the resolution, if it has one."""

    name: str
    column: str
    place: int | None
    """In a list, from 1; None for a scalar."""
    kind: str
    """duckdb's type in which it is compared."""
    resolution: float | None

    @property
    def numeric(self) -> bool:
        return self.kind != "VARCHAR"

    def source(self, table: Table) -> str:
        """SQL of the value in a table, whose lists may be flat or nested."""
        value = quoted(self.column)
        if self.place is not None:
            value = f"({flattened(value, table.dimensions(self.column) or 1)})[{self.place}]"
        value = f"CAST({value} AS {self.kind})"
        return f"CAST({value} AS DOUBLE) + 0.0" if self.numeric else value  # no -0.0

    @property
    def usable(self) -> str:
        """SQL condition; DAT004 reports other rows."""
        return f"isfinite({self.name})" if self.numeric else f"{self.name} IS NOT NULL"

    def cell(self, width: int = 1, shift: int = 0) -> str:
        """SQL of the cell, `width` resolutions wide, in which the value lies; without a resolution the value itself."""
        if self.resolution is None:
            return self.name
        return f"floor({self.name} / {self.resolution * width!r} + {shift / width!r})"

    @property
    def same(self) -> str:
        """SQL condition that rows `a` and `b` have the same value."""
        if self.resolution is None:
            return f"a.{self.name} = b.{self.name}"
        return f"abs(a.{self.name} - b.{self.name}) <= {self.resolution!r}"


def compared(signals: Sequence[Signal]) -> tuple[Signal, ...]:
    """The signals whose values make up a row; none where a longer signal tells rows apart, which is compared itself."""
    sizes = [math.prod(signal.shape) for signal in signals]
    return tuple(signals) if all(size < SHORTEST for size in sizes) and sum(sizes) >= FEWEST else ()


def equal_rows(
    root: Path, splits: dict[str, str], signals: Sequence[Signal], key: Sequence[str], by: Sequence[str]
) -> EqualRows:
    """Compare the rows of all splits, whose columns are known to be there, with other groups' (`dataset.split.by`).

    Raises `Failed` for unreadable files.
    """
    with tempfile.TemporaryDirectory(prefix="beampermit-rows-") as scratch:
        tables = open_tables(root, splits, own_database=True)
        tables[0].query(f"SET GLOBAL temp_directory = {sql_text(scratch)}")
        tables[0].query(f"SET GLOBAL memory_limit = '{MEMORY}'")
        values = list(_values(tables, compared(signals)))
        if len(values) < FEWEST:
            return EqualRows()
        search = _Search(tables, values, key, by)
        search.find()
        found = search.matches
        by_chance = search.explain() if found else 0.0
        left = search.matches
        if left <= by_chance + SPREAD * math.sqrt(by_chance):
            return EqualRows((), len(values), found)
        return EqualRows(tuple(search.overlaps()), len(values), found - left)


def _values(tables: list[Table], signals: Sequence[Signal]) -> Iterator[_Value]:
    number = 0
    for signal in signals:
        kind = _common_kind(tables, signal)
        places = range(1, math.prod(signal.shape) + 1) if signal.shape else [None]
        for place in places if kind else []:
            resolution = signal.resolution and signal.resolution * (1 + 1e-9)  # 0.4 - 0.3 is more than 0.1
            yield _Value(f"v{number}", signal.name, place, kind, None if kind == "VARCHAR" else resolution)
            number += 1


def _common_kind(tables: list[Table], signal: Signal) -> str:
    """The type in which all tables are compared; none for other types, which DAT004 reports."""
    depths = {table.dimensions(signal.name) for table in tables}
    kinds = [table.columns[signal.name] for table in tables]
    if depths == {None} and not signal.shape and all(kind.startswith(("VARCHAR", "ENUM")) for kind in kinds):
        return "VARCHAR"
    if any(depth is None or (depth > 0) != bool(signal.shape) for depth in depths):
        return ""
    return "FLOAT" if any(kind.startswith("FLOAT") for kind in kinds) else "DOUBLE"  # a copy in DOUBLE is one too


class _Search:
    """Tables or views `rows0`, `rows1`, ... of the splits, the largest first, and the table `matches` of equal rows."""

    def __init__(self, tables: list[Table], values: list[_Value], key: Sequence[str], by: Sequence[str]):
        self._values = values
        self._key = key
        sizes = {table.split: table.query(f"SELECT count(*) FROM {table.source}")[0][0] for table in tables}
        self._tables = sorted(tables, key=lambda table: -sizes[table.split])
        groups = ", ".join(quoted(column) for column in by)
        usable = " AND ".join(value.usable for value in values)
        kept = "TABLE" if sum(sizes.values()) * len(values) <= SMALL else "VIEW"
        for number, table in enumerate(self._tables):
            columns = ", ".join(f"{value.source(table)} AS {value.name}" for value in values)
            self._query(
                f"CREATE {kept} rows{number} AS SELECT * FROM (SELECT {number} AS split, file_row_number AS row,"
                f" hash({groups}) AS member, {columns} FROM {table.numbered}) WHERE {usable}"
            )
        self._query("CREATE TABLE matches (one INT, one_row BIGINT, other INT, other_row BIGINT)")

    def _query(self, sql: str) -> list[tuple[Any, ...]]:
        return self._tables[0].query(sql)

    @property
    def matches(self) -> int:
        """Rows that are equal to one of a larger split."""
        return self._query("SELECT count(*) FROM (SELECT DISTINCT other, other_row FROM matches)")[0][0]

    def find(self) -> None:
        """Fill `matches`: exact copies first; then, where there are resolutions, copies with noise."""
        self._match([value.name for value in self._values])
        fine = [value for value in self._values if value.resolution]
        levels = ", ".join(f"approx_count_distinct({value.cell()})" for value in fine)
        if not fine:
            return
        varied = dict(zip((value.name for value in fine), self._query(f"SELECT {levels} FROM rows0")[0], strict=True))
        fine = sorted(fine, key=lambda value: -varied[value.name])[:GRID]
        exact = [value.name for value in self._values if not value.resolution]
        width = len(fine) + 1  # a border of each value spoils one of the shifted grids, so one is left
        for shift in range(width):
            self._match([*exact, *(value.cell(width, shift) for value in fine)])

    def _match(self, cell: list[str]) -> None:
        hashed = f"hash({', '.join(cell)})"
        if not self._find_crossing(hashed):
            return
        columns = ", ".join(value.name for value in self._values)
        self._query(
            f"CREATE OR REPLACE TABLE candidates AS SELECT split, row, h, {columns}"
            f" FROM ({self._all(f'*, {hashed} AS h')}) SEMI JOIN crossing USING (h)"
            f" QUALIFY row_number() OVER (PARTITION BY h, split ORDER BY hash(row)) <= {PER_CELL}"
        )
        same = " AND ".join(value.same for value in self._values)
        self._query(
            "INSERT INTO matches SELECT a.split, min(a.row), b.split, b.row FROM candidates AS a JOIN candidates AS b"
            f" ON a.h = b.h AND a.split < b.split WHERE {same} GROUP BY a.split, b.split, b.row"
        )
        self._query("DROP TABLE candidates")

    def _all(self, select: str, first: int = 0) -> str:
        numbers = range(first, len(self._tables))
        return " UNION ALL ".join(f"SELECT {select} FROM rows{number}" for number in numbers)

    def _find_crossing(self, hashed: str) -> int:
        """Make the table `crossing` of the cells that have rows of two splits; return how many."""
        pairs = " UNION ".join(
            f"SELECT h FROM (SELECT {hashed} AS h FROM rows{number})"
            f" SEMI JOIN ({self._all(f'{hashed} AS h', number + 1)}) USING (h)"
            for number in range(len(self._tables) - 1)
        )
        self._query(f"CREATE OR REPLACE TABLE crossing AS SELECT DISTINCT h FROM ({pairs})")
        return self._query("SELECT count(*) FROM crossing")[0][0]

    def explain(self) -> float:
        """Leave the matches of rows that do not repeat by themselves; return how many there may be by chance."""
        by_chance = self._explain([self._wide_cell(value) for value in self._values], CROWD, EQUAL_IF_NEAR)
        agree = {value: self._agree(value) for value in self._values}
        for out in sorted(agree, key=lambda value: -agree[value])[:LEFT_OUT]:
            if 0 < agree[out] < 1 and self.matches:
                others = [value.cell() for value in self._values if value is not out]
                by_chance += self._explain(others, 2 + LIKELY / agree[out], agree[out] / (1 - agree[out]))
        return SAFETY * by_chance

    def _wide_cell(self, value: _Value) -> str:
        """SQL of a cell that is several resolutions wide, or several of the steps in which the values are recorded."""
        if value.resolution or not value.numeric:
            return value.cell(WIDER)
        some = f"SELECT DISTINCT {value.name} AS x FROM rows0 WHERE row < {SOME}"
        gaps = f"WITH gaps AS (SELECT x - lag(x) OVER (ORDER BY x) AS gap FROM ({some})) FROM gaps"
        (step,) = self._query(f"{gaps} SELECT min(gap)")[0]
        if step is None or not math.isfinite(step):
            return value.name
        (off,) = self._query(f"{gaps} SELECT median(abs(gap / {step!r} - round(gap / {step!r})))")[0]
        return replace(value, resolution=step).cell(WIDER) if off < WHOLE else value.name

    def _agree(self, value: _Value) -> float:
        """How probable it is that two rows have the same value."""
        counts = f"SELECT count(*)::DOUBLE AS rows FROM rows0 GROUP BY {value.cell()}"
        (share,) = self._query(
            f"SELECT coalesce(sum(rows * (rows - 1)) / (sum(rows) * (sum(rows) - 1)), 0) FROM ({counts})"
        )[0]
        return min(1.0, share * 2) if value.resolution else share  # in this cell or in the next

    def _explain(self, cell: list[str], crowd: float, equal: float) -> float:
        """Drop matches in cells of more than `crowd` members; `equal` of the near pairs in others are so by chance."""
        hashed = f"hash({', '.join(cell)})"
        self._find_crossing(hashed)
        members = f"SELECT h, count(DISTINCT {self._member})::DOUBLE AS members FROM"
        self._query(
            "CREATE OR REPLACE TABLE cells AS"
            " SELECT h, sum(members) AS members, (sum(members) ** 2 - sum(members ** 2)) / 2 AS pairs"
            f" FROM ({members} ({self._all(f'split, row, member, {hashed} AS h')}) SEMI JOIN crossing USING (h)"
            " GROUP BY h, split) GROUP BY h"
        )
        self._query(
            f"CREATE OR REPLACE TABLE matched AS SELECT split, row, h FROM"
            f" ({self._all(f'split, row, {hashed} AS h')}) SEMI JOIN (SELECT one AS split, one_row AS row"
            " FROM matches UNION SELECT other, other_row FROM matches) USING (split, row)"
        )
        crowded = f"SELECT split, row FROM matched JOIN cells USING (h) WHERE members > {crowd!r}"
        self._query(
            "CREATE OR REPLACE TABLE matches AS SELECT * FROM matches"
            f" ANTI JOIN ({crowded}) AS a ON one = a.split AND one_row = a.row"
            f" ANTI JOIN ({crowded}) AS b ON other = b.split AND other_row = b.row"
        )
        (near,) = self._query(
            f"SELECT coalesce(sum(pairs), 0) FROM (SELECT * FROM cells WHERE members <= {crowd!r})"
            " ANTI JOIN matched USING (h)"
        )[0]
        return near * equal

    @cached_property
    def _member(self) -> str:
        """SQL of the group of a row, or of the row itself where groups are few."""
        (count,) = self._query(f"SELECT count(DISTINCT member) FROM ({self._all('member')})")[0]
        return "member" if count >= FEWEST_GROUPS else "hash(split, row)"

    def overlaps(self) -> Iterator[Overlap]:
        """What is left in `matches`, one `Overlap` for each pair of splits."""
        pairs = self._query(
            f"SELECT one, other, count(*), arg_min([one_row, other_row], other_row, {SHOWN})"
            " FROM (SELECT one, other, min(one_row) AS one_row, other_row FROM matches GROUP BY one, other, other_row)"
            " GROUP BY one, other ORDER BY one, other"
        )
        for one, other, count, first in pairs:
            sides = self._tables[one], self._tables[other]
            examples = tuple(self._describe(sides, rows) for rows in first)
            plural = "s" * (count > 1)
            message = (
                f"the inputs of {count} row{plural} of {sides[1].split} are those of {sides[0].split}: {examples[0]}"
            )
            yield Overlap(message, tuple(table.path for table in sides), count, examples)

    def _describe(self, sides: tuple[Table, Table], rows: Sequence[int]) -> str:
        one, other = (self._name_of(table, row) for table, row in zip(sides, rows, strict=True))
        return f"{other} is {one}"

    def _name_of(self, table: Table, row: int) -> str:
        listed = ", ".join(f"CAST({quoted(column)} AS VARCHAR)" for column in self._key)
        return table.query(f"SELECT concat_ws(' ', {listed}) FROM {table.numbered} WHERE file_row_number = {row}")[0][
            0
        ][:80]
