"""What changed between the table that is here and the one that was just answered, in words."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from beampermit.datasets.requests.asked import Asked
from beampermit.datasets.requests.writing import connect
from beampermit.datasets.tables import literal, name, text
from beampermit.digest import digest_file

SHOWN = 5


def differences(asked: Asked, old: Path, new: Path) -> list[str]:
    """Columns, rows and values that differ, with the first of each; nothing where the bytes are the same."""
    import duckdb

    if digest_file(old) == digest_file(new):
        return []
    connection = connect(asked.folder)
    try:
        return _Comparison(connection, asked, old, new).words()
    except duckdb.Error as error:
        words = str(error).splitlines()[0].replace(str(old), asked.raw)
        return [f"the table that was here cannot be read: {words}"]
    finally:
        connection.close()


class _Comparison:
    def __init__(self, connection: Any, asked: Asked, old: Path, new: Path):
        self._connection = connection
        self._old, self._new = (f"read_parquet({text(literal(str(file)))})" for file in (old, new))
        self._before, self._after = (self._columns(source) for source in (self._old, self._new))
        self._shared = [column for column in self._after if column in self._before]
        ours = [*asked.columns, asked.time]
        self._key = next((key for key in (asked.key, ours) if set(key) <= set(self._shared)), [])

    def words(self) -> list[str]:
        found = [f"column {column} is gone" for column in self._before if column not in self._after]
        found += [f"column {column} is new" for column in self._after if column not in self._before]
        found += [
            f"column {column} was {self._before[column]} and is {self._after[column]}"
            for column in self._shared
            if self._before[column] != self._after[column]
        ]
        found += self._rows()
        if self._key:
            found += self._values()
        return found or ["the rows are the same in other bytes: another version wrote them, or in another order"]

    def _columns(self, source: str) -> dict[str, str]:
        rows = self._connection.execute(f"DESCRIBE SELECT * FROM {source}").fetchall()
        return {column: kind for column, kind, *_ in rows}

    def _rows(self) -> list[str]:
        if not self._key:
            (old,), (new,) = (
                self._connection.execute(f"SELECT count(*) FROM {source}").fetchone()
                for source in (self._old, self._new)
            )
            return [] if old == new else [f"{old} rows are {new} now"]
        found = []
        keys = ", ".join(f"CAST({name(column)} AS VARCHAR) AS {name(column)}" for column in self._key)
        order = ", ".join(name(column) for column in self._key)
        for word, one, other in (("added", self._new, self._old), ("removed", self._old, self._new)):
            sql = f"(SELECT {keys} FROM {one}) EXCEPT ALL (SELECT {keys} FROM {other})"
            count, first = self._connection.execute(
                f"SELECT count(*), arg_min([{order}], ({order},)) FROM ({sql})"
            ).fetchone()
            if count:
                found.append(f"{count} rows {word} (first: {self._name(first)})")
        return found

    def _values(self) -> list[str]:
        found = []
        same = " AND ".join(f"o.{name(column)} IS NOT DISTINCT FROM n.{name(column)}" for column in self._key)
        shown = ", ".join(f"CAST(n.{name(column)} AS VARCHAR)" for column in self._key)
        for column in (column for column in self._shared if column not in self._key):
            old, new = f"CAST(o.{name(column)} AS VARCHAR)", f"CAST(n.{name(column)} AS VARCHAR)"
            both = f"coalesce({old}, 'nothing'), coalesce({new}, 'nothing')"
            count, first = self._connection.execute(
                f"SELECT count(*), arg_min([{shown}, {both}], [{shown}])"
                f" FROM {self._old} o JOIN {self._new} n ON {same} WHERE {old} IS DISTINCT FROM {new}"
            ).fetchone()
            if count:
                *key, before, after = first
                where = self._name(key)
                found.append(f"{column} changed in {count} rows (first: {where}, {before[:60]} is {after[:60]} now)")
        return found

    def _name(self, values: list[str]) -> str:
        return ", ".join(f"{column} {str(value)[:60]}" for column, value in zip(self._key, values, strict=True))
