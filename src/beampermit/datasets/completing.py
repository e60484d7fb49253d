"""Rows of one table, with the columns that it lacks from the same rows of another."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from beampermit.datasets.tables import connect_without_footers, parquet, quoted, sql_text
from beampermit.errors import Failed, did_you_mean


def complete_rows(
    rows: Path,
    other: Path,
    key: Sequence[str],
    columns: Sequence[str],
    lacking: Sequence[str],
    same: Sequence[str],
    doubtful: Sequence[str],
    out: Path,
) -> None:
    """Write the `columns` of each row of `rows`, in order; those `lacking` are of the row of `other` of its key.

    Those of the columns `same` that both tables have must agree, or else another row has this key. Where rows of
    `other` are alike in them, the columns `doubtful` must agree too. Raises `Failed` where a row or a column is
    nowhere, a key is not unique in `other`, or no column can tell.
    """
    import duckdb

    with connect_without_footers() as connection:
        try:
            _Completing(connection, rows, other, tuple(key)).write(columns, lacking, same, doubtful, out)
        except duckdb.Error as error:
            raise Failed(f"{rows.name} cannot be completed: {str(error).splitlines()[0]}") from None


@dataclass(frozen=True)
class _Completing:
    connection: Any
    rows: Path
    other: Path
    key: tuple[str, ...]

    def write(
        self, columns: Sequence[str], lacking: Sequence[str], same: Sequence[str], doubtful: Sequence[str], out: Path
    ) -> None:
        here, there = self._columns(self.rows), self._columns(self.other)
        if nowhere := [name for name in lacking if name not in there]:
            raise Failed(f"there is no column {nowhere[0]}{did_you_mean(nowhere[0], here)}")
        if absent := [name for name in self.key if name not in here or name not in there]:
            raise Failed(f"there is no {absent[0]} to find a row by")
        shared = [name for name in same if name in here and name in there]
        if not shared:
            raise Failed("no column of both tells whether rows of one key are the same row")
        self._require_same(shared, [name for name in doubtful if name in here and name in there])
        chosen = ", ".join(f"{'there' if name in lacking else 'here'}.{quoted(name)}" for name in columns)
        ordered = f"SELECT {chosen} FROM {self._joined()} ORDER BY here.file_row_number"
        self._query(f"COPY ({ordered}) TO {sql_text(str(out))} (FORMAT parquet)")

    def _require_same(self, shared: Sequence[str], doubtful: Sequence[str]) -> None:
        key = [f"CAST({quoted(name)} AS VARCHAR)" for name in self.key]
        if self._query(f"SELECT count(*) - count(DISTINCT row({', '.join(key)})) FROM {parquet(self.other)}")[0][0]:
            raise Failed(f"several of them have the same {' and '.join(self.key)}")
        moved = _differ(shared)
        if doubtful:
            one_row = ", ".join(f"CAST({quoted(name)} AS VARCHAR)" for name in shared)
            alike = f"SELECT [{one_row}] FROM {parquet(self.other)} GROUP BY ALL HAVING count(*) > 1"
            here = ", ".join(f"CAST(here.{quoted(name)} AS VARCHAR)" for name in shared)
            moved = f"({moved}) OR ([{here}] IN ({alike}) AND ({_differ(doubtful)}))"
        keys = ", ".join(f"CAST(here.{quoted(name)} AS VARCHAR)" for name in self.key)
        known = f"there.{quoted(self.key[0])} IS NOT NULL"
        total, missing, changed, first = self._query(
            f"SELECT count(*), count(*) FILTER (WHERE NOT ({known})), count(*) FILTER (WHERE {known} AND ({moved})),"
            f" min(concat_ws(' ', {keys})) FILTER (WHERE NOT ({known}) OR ({moved})) FROM {self._joined()}"
        )[0]
        if missing or changed:
            what = f"{missing} of {total} rows are not among them" if missing else f"{changed} of {total} rows differ"
            raise Failed(f"{what} (first: {first})")

    def _joined(self) -> str:
        """Each row `here` with the row `there` of its key.

        Columns have the names of their files alone: none of ours could be told from one that a file has.
        """
        on = " AND ".join("{} = {}".format(*_as_text(name)) for name in self.key)
        here = f"{parquet(self.rows, numbered=True)} AS here"
        return f"{here} LEFT JOIN {parquet(self.other)} AS there ON {on}"

    def _columns(self, file: Path) -> list[str]:
        return [name for name, *_ in self._query(f"DESCRIBE SELECT * FROM {parquet(file)}")]

    def _query(self, text: str) -> list[Any]:
        return self.connection.execute(text).fetchall()


def _differ(names: Sequence[str]) -> str:
    """SQL condition that a row has another value of one of these columns in the other table."""
    return " OR ".join("{} IS DISTINCT FROM {}".format(*_as_text(name)) for name in names)


def _as_text(name: str) -> tuple[str, str]:
    """SQL of the text of a column here and there."""
    return f"CAST(here.{quoted(name)} AS VARCHAR)", f"CAST(there.{quoted(name)} AS VARCHAR)"
