"""`beampermit data request`: ask, compare with what is here, and put table and sidecar in their places."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from beampermit.contract import FILE_NAME
from beampermit.datasets.manifests import fault
from beampermit.datasets.requests.inputs import plain_file
from beampermit.datasets.requests.source import Answer, Asked, Worker, ask, source_of
from beampermit.datasets.requests.store import connect
from beampermit.datasets.tables import literal, name, text
from beampermit.digest import digest_file
from beampermit.errors import BadInput, Conflict, Failed
from beampermit.files import replacing, write_text
from beampermit.progress import Progress, silent
from beampermit.project import Project
from beampermit.reading import read_json

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


def describe(asked: Asked, answer: Answer) -> dict[str, Any]:
    """The sidecar of an answer."""
    rows, first, last = _extent(asked, answer.table)
    return {
        "beampermit": 1,
        "source": asked.request.source if asked.signals else f"{asked.request.source}, by the project's own function",
        "origin": answer.origin,
        "version": asked.request.version,
        "digest": asked.digest,
        "request": asked.request.model_dump(mode="json", exclude_defaults=True),
        "sha256": digest_file(answer.table),
        "rows": rows,
        "first": first,
        "last": last,
        "devices": len(asked.devices) if asked.columns else None,
        "signals": {
            signal.name: {
                "pv": signal.pv,
                "unit": signal.unit,
                "range": list(signal.range) if signal.range else None,
                "shape": list(signal.shape),
            }
            for signal in asked.signals
        },
        "counts": answer.counts,
        "gaps": answer.gaps.as_json(),
    }


def kept(file: Path) -> dict[str, Any] | None:
    """The sidecar that is there; None where there is none, or it is not ours."""
    if not file.is_file():
        return None
    try:
        content = read_json(file)
    except BadInput:
        return None
    return content if isinstance(content, dict) and "digest" in content else None


def as_text(content: dict[str, Any]) -> str:
    """As it is written."""
    return json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def _extent(asked: Asked, table: Path) -> tuple[int, str | None, str | None]:
    source = f"read_parquet({text(literal(str(table)))})"
    connection = connect(asked.folder)
    try:
        columns = {column for column, *_ in connection.execute(f"DESCRIBE SELECT * FROM {source}").fetchall()}
        if asked.time not in columns:
            (rows,) = connection.execute(f"SELECT count(*) FROM {source}").fetchone()
            return rows, None, None
        time = f"strftime(CAST({{}}({name(asked.time)}) AS TIMESTAMP), '%Y-%m-%dT%H:%M:%S.%fZ')"
        return connection.execute(
            f"SELECT count(*), {time.format('min')}, {time.format('max')} FROM {source}"
        ).fetchone()
    finally:
        connection.close()


ANSWERED = "answered"
"""Marks what is kept of a request as whole."""


@dataclass(frozen=True)
class Delivered:
    """What a request brought: the table (relative to the project), what is said of it, and what changed, in words."""

    table: str
    sidecar: dict[str, Any]
    first: bool
    changes: tuple[str, ...]

    @property
    def words(self) -> str:
        """One line for a person."""
        gaps, counts = self.sidecar["gaps"], self.sidecar["counts"]
        parts = ["asked for the first time" if self.first else "; ".join(self.changes) or "the same bytes as before"]
        if gaps["count"]:
            parts.append(f"{gaps['count']} gaps in {gaps['pvs']} PVs, {gaps['seconds']:g} s together")
        odd = {"duplicates": "duplicated", "backwards": "out of order", "outside": "of other times"}
        parts += [f"{counts[key]} samples {word}" for key, word in odd.items() if counts.get(key)]
        return "; ".join(parts)

    def as_json(self) -> dict[str, Any]:
        """For `--json`."""
        return {"table": self.table, "first": self.first, "changes": list(self.changes), "sidecar": self.sidecar}


def request(
    project: Project,
    work: Worker,
    *,
    out: str | None = None,
    accept: bool = False,
    progress: Progress = silent,
) -> Delivered:
    """Answer the request of the project's contract into `dataset.raw` (or `out`, inside the project).

    Raises `Failed`, and leaves everything as it is, where the answer is not the one that is here and `accept` is
    False; `BadInput`, `Outside` as the source does. A run that was killed goes on where it stopped.
    """
    with _alone(project) as folder:
        asked = ask(project, folder, work)
        table = _place(project, out or asked.raw)
        asked = _in_own_folder(asked, accept)
        answer, said = _answer(asked, progress)
        first = not table.exists()
        changes = () if first else tuple(_changes(asked, answer, table, said))
        if changes and not accept and not _asked_otherwise(table, said):
            raise Failed(
                f"the answer is not the one that is here: {'; '.join(changes)}",
                file=table.relative_to(project.root).as_posix(),
                hint="beampermit data request --accept",
            )
        _deliver(answer, table, said)
        shutil.rmtree(asked.folder, ignore_errors=True)
    return Delivered(table.relative_to(project.root).as_posix(), said, first, changes)


@contextmanager
def _alone(project: Project) -> Iterator[Path]:
    folder = project.own / "requests"
    folder.mkdir(exist_ok=True)
    lock = FileLock(folder / "lock")
    try:
        lock.acquire(timeout=0)
    except Timeout:
        raise Conflict("another `beampermit data request` is at work in this project") from None
    try:
        yield folder
    finally:
        lock.release()


def _answer(asked: Asked, progress: Progress) -> tuple[Answer, dict[str, Any]]:
    try:
        answer = source_of(asked).answer(progress)
        said = describe(asked, answer)
        _judge(answer, said)
    except Failed:
        # What was wrong may be fixed where it came from: it is all asked for again.
        shutil.rmtree(asked.folder, ignore_errors=True)
        raise
    (asked.folder / ANSWERED).touch()
    return answer, said


def _judge(answer: Answer, said: dict[str, Any]) -> None:
    if not said["rows"]:
        raise Failed(
            f"no row of the request is left: {answer.counts.get('dropped', 0)} had a signal missing,"
            f" {answer.counts.get('filtered', 0)} did not meet the conditions",
            file=FILE_NAME,
        )


def _in_own_folder(asked: Asked, accept: bool) -> Asked:
    """The request with a folder that is its own; what others kept is of no use any more.

    An answer that was shown and not taken is kept for `--accept`, so that what is taken is what was shown.
    """
    folder = asked.folder / asked.digest.removeprefix("sha256:")[:16]
    for other in asked.folder.iterdir():
        if other.is_dir() and other != folder:
            shutil.rmtree(other, ignore_errors=True)
    if (folder / ANSWERED).exists() and not accept:
        shutil.rmtree(folder)
    folder.mkdir(exist_ok=True)
    return replace(asked, folder=folder)


def _place(project: Project, path: str) -> Path:
    if fault(path) or not path.endswith(".parquet"):
        raise BadInput("the table is a .parquet file inside the project", file=path)
    table = project.root / path
    for file in (table, table.with_suffix(".json")):
        if file.exists() or file.is_symlink():
            plain_file(project.root, file.relative_to(project.root).as_posix())
    return table


def _changes(asked: Asked, answer: Answer, table: Path, said: dict[str, Any]) -> Iterator[str]:
    found = differences(asked, table, answer.table)
    before = kept(table.with_suffix(".json"))
    if found and before and before["digest"] != said["digest"]:
        old, new = before.get("request", {}), said["request"]
        keys = sorted(key for key in {*old, *new} if old.get(key) != new.get(key) and key != "version")
        yield f"the request itself changed ({', '.join(keys) or 'its signals or devices'})"
    yield from found


def _asked_otherwise(table: Path, said: dict[str, Any]) -> bool:
    """Whether the version says that this is another request than the one that was answered here."""
    before = kept(table.with_suffix(".json"))
    return bool(before and before.get("version") != said["version"])


def _deliver(answer: Answer, table: Path, said: dict[str, Any]) -> None:
    text = as_text(said) if answer.sidecar is None else answer.sidecar.read_text(encoding="utf-8")
    with replacing(table) as temporary:
        shutil.move(answer.table, temporary)
    write_text(table.with_suffix(".json"), text)
