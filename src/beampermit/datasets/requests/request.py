"""`beampermit data request`: answer the request, compare with the table in the project, replace table and sidecar."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from beampermit.contract import FILE_NAME
from beampermit.datasets.manifests import path_fault
from beampermit.datasets.requests.query import Answer, Query, RunPython, query_of
from beampermit.datasets.requests.source import load_source
from beampermit.datasets.requests.store import connect
from beampermit.datasets.tables import parquet, quoted
from beampermit.datasets.workspace import plain_file
from beampermit.digest import digest_file
from beampermit.errors import BadInput, Conflict, Failed, counted
from beampermit.files import locked, replacing, write_text
from beampermit.progress import Progress, silent
from beampermit.project import Project
from beampermit.reading import read_json

COMPLETE = "complete"
"""A file that marks the folder of a query whose answer is complete."""


@dataclass(frozen=True)
class RequestResult:
    """The table (relative to the project), its sidecar, and what changed; `first` if there was no table before."""

    table: str
    sidecar: dict[str, Any]
    first: bool
    changes: tuple[str, ...]

    @property
    def summary(self) -> str:
        gaps, counts = self.sidecar["gaps"], self.sidecar["counts"]
        parts = ["first request" if self.first else "; ".join(self.changes) or "the same bytes as before"]
        if gaps["count"]:
            parts.append(f"{counted(gaps['count'], 'gap')} in {gaps['pvs']} PVs, {gaps['seconds']:g} s in total")
        problems = {
            "duplicates": "duplicated",
            "backwards": "out of order",
            "outside": "outside of the requested times",
        }
        parts += [f"{counted(counts[key], 'sample')} {problem}" for key, problem in problems.items() if counts.get(key)]
        return "; ".join(parts)

    def as_json(self) -> dict[str, Any]:
        return {"table": self.table, "first": self.first, "changes": list(self.changes), "sidecar": self.sidecar}


def request(
    project: Project,
    run_python: RunPython,
    *,
    out: str | None = None,
    accept: bool = False,
    progress: Progress = silent,
) -> RequestResult:
    """Answer the contract's request into `dataset.raw` (or `out`, inside the project); a killed run is resumed.

    Raises `Failed`, with nothing changed, if the answer differs from the table in the project and `accept` is False;
    `BadInput` and `Outside` as the source does.
    """
    with _locked(project) as folder:
        query = query_of(project, folder, run_python)
        table = _table_path(project, out or query.raw)
        query = _with_own_folder(query, accept)
        answer, sidecar = _fetch_answer(query, progress)
        first = not table.exists()
        changes = () if first else tuple(_changes(query, answer, table, sidecar))
        if changes and not accept and not _version_changed(table, sidecar):
            raise Failed(
                f"the answer differs from this table: {'; '.join(changes)}",
                file=table.relative_to(project.root).as_posix(),
                hint="beampermit data request --accept",
            )
        _replace_table(answer, table, sidecar)
        shutil.rmtree(query.folder, ignore_errors=True)
    return RequestResult(table.relative_to(project.root).as_posix(), sidecar, first, changes)


@contextmanager
def _locked(project: Project) -> Iterator[Path]:
    folder = project.own / "requests"
    folder.mkdir(exist_ok=True)
    with locked(folder / "lock", Conflict("another `beampermit data request` is running in this project")):
        yield folder


def _table_path(project: Project, path: str) -> Path:
    if path_fault(path) or not path.endswith(".parquet"):
        raise BadInput("the table must be a .parquet file inside the project", file=path)
    table = project.root / path
    for file in (table, table.with_suffix(".json")):
        if file.exists() or file.is_symlink():
            plain_file(project.root, file.relative_to(project.root).as_posix())
    return table


def _with_own_folder(query: Query, accept: bool) -> Query:
    """A complete answer is kept only for `--accept`, so that what is accepted is what was shown."""
    own = query.in_own_folder()
    if (own.folder / COMPLETE).exists() and not accept:
        shutil.rmtree(own.folder)
        own.folder.mkdir()
    return own


def _fetch_answer(query: Query, progress: Progress) -> tuple[Answer, dict[str, Any]]:
    try:
        answer = load_source(query).answer(progress)
        sidecar = sidecar_of(query, answer)
        _require_rows(answer, sidecar)
    except Failed:
        # The cause may be corrected at the source, so the next run fetches everything again.
        shutil.rmtree(query.folder, ignore_errors=True)
        raise
    (query.folder / COMPLETE).touch()
    return answer, sidecar


def _require_rows(answer: Answer, sidecar: dict[str, Any]) -> None:
    if not sidecar["rows"]:
        raise Failed(
            f"the answer has no rows: {answer.counts.get('dropped', 0)} were dropped for a missing signal,"
            f" {answer.counts.get('filtered', 0)} did not meet the conditions",
            file=FILE_NAME,
        )


def _changes(query: Query, answer: Answer, table: Path, sidecar: dict[str, Any]) -> Iterator[str]:
    differences = table_differences(query, table, answer.table)
    before = read_sidecar(table.with_suffix(".json"))
    if differences and before and before["digest"] != sidecar["digest"]:
        old, new = before.get("request", {}), sidecar["request"]
        keys = sorted(key for key in {*old, *new} if old.get(key) != new.get(key) and key != "version")
        yield f"the request itself changed ({', '.join(keys) or 'its signals or devices'})"
    yield from differences


def _version_changed(table: Path, sidecar: dict[str, Any]) -> bool:
    before = read_sidecar(table.with_suffix(".json"))
    return bool(before and before.get("version") != sidecar["version"])


def _replace_table(answer: Answer, table: Path, sidecar: dict[str, Any]) -> None:
    if answer.sidecar is None:
        text = json.dumps(sidecar, indent=2, ensure_ascii=False, allow_nan=False) + "\n"
    else:
        text = answer.sidecar.read_text(encoding="utf-8")
    with replacing(table) as temporary:
        shutil.move(answer.table, temporary)
    write_text(table.with_suffix(".json"), text)


def sidecar_of(query: Query, answer: Answer) -> dict[str, Any]:
    rows, first, last = _extent(query, answer.table)
    return {
        "beampermit": 1,
        "source": query.request.source if query.signals else f"{query.request.source}, by the project's own function",
        "origin": answer.origin,
        "version": query.request.version,
        "digest": query.digest,
        "request": query.request.model_dump(mode="json", exclude_defaults=True),
        "sha256": digest_file(answer.table),
        "rows": rows,
        "first": first,
        "last": last,
        "devices": len(query.devices) if query.columns else None,
        "signals": {
            signal.name: {
                "pv": signal.pv,
                "unit": signal.unit,
                "range": list(signal.range) if signal.range else None,
                "shape": list(signal.shape),
            }
            for signal in query.signals
        },
        "counts": answer.counts,
        "gaps": answer.gaps.as_json(),
    }


def read_sidecar(file: Path) -> dict[str, Any] | None:
    """The sidecar in `file`; None if there is none, or somebody else wrote it."""
    if not file.is_file():
        return None
    try:
        content = read_json(file)
    except BadInput:
        return None
    return content if isinstance(content, dict) and "digest" in content else None


def _extent(query: Query, table: Path) -> tuple[int, str | None, str | None]:
    """Rows, first and last time."""
    source = parquet(table)
    connection = connect(query.folder)
    try:
        columns = {column for column, *_ in connection.execute(f"DESCRIBE SELECT * FROM {source}").fetchall()}
        if query.time not in columns:
            (rows,) = connection.execute(f"SELECT count(*) FROM {source}").fetchone()
            return rows, None, None
        time = f"strftime(CAST({{}}({quoted(query.time)}) AS TIMESTAMP), '%Y-%m-%dT%H:%M:%S.%fZ')"
        return connection.execute(
            f"SELECT count(*), {time.format('min')}, {time.format('max')} FROM {source}"
        ).fetchone()
    finally:
        connection.close()


def table_differences(query: Query, old: Path, new: Path) -> list[str]:
    """Differences of columns, rows and values, each with the first row; empty if the bytes are equal."""
    import duckdb

    if digest_file(old) == digest_file(new):
        return []
    connection = connect(query.folder)
    try:
        return _Comparison(connection, query, old, new).differences()
    except duckdb.Error as error:
        reason = str(error).splitlines()[0].replace(str(old), query.raw)
        return [f"the previous table cannot be read: {reason}"]
    finally:
        connection.close()


class _Comparison:
    def __init__(self, connection: Any, query: Query, old: Path, new: Path):
        self._connection = connection
        self._old, self._new = (parquet(file) for file in (old, new))
        self._before, self._after = (self._columns(source) for source in (self._old, self._new))
        self._shared = [column for column in self._after if column in self._before]
        default_key = [*query.columns, query.time]
        self._key = next((key for key in (query.key, default_key) if set(key) <= set(self._shared)), [])

    def differences(self) -> list[str]:
        differences = [f"column {column} removed" for column in self._before if column not in self._after]
        differences += [f"column {column} added" for column in self._after if column not in self._before]
        differences += [
            f"column {column} was {self._before[column]}, is {self._after[column]}"
            for column in self._shared
            if self._before[column] != self._after[column]
        ]
        differences += self._row_differences()
        if self._key:
            differences += self._value_differences()
        return differences or ["equal rows, different bytes: written in another order or by another version"]

    def _columns(self, source: str) -> dict[str, str]:
        rows = self._connection.execute(f"DESCRIBE SELECT * FROM {source}").fetchall()
        return {column: kind for column, kind, *_ in rows}

    def _row_differences(self) -> list[str]:
        if not self._key:
            (old,), (new,) = (
                self._connection.execute(f"SELECT count(*) FROM {source}").fetchone()
                for source in (self._old, self._new)
            )
            return [] if old == new else [f"{counted(old, 'row')} before, {new} now"]
        differences = []
        keys = ", ".join(f"CAST({quoted(column)} AS VARCHAR) AS {quoted(column)}" for column in self._key)
        order = ", ".join(quoted(column) for column in self._key)
        for change, one, other in (("added", self._new, self._old), ("removed", self._old, self._new)):
            sql = f"(SELECT {keys} FROM {one}) EXCEPT ALL (SELECT {keys} FROM {other})"
            count, first = self._connection.execute(
                f"SELECT count(*), arg_min([{order}], ({order},)) FROM ({sql})"
            ).fetchone()
            if count:
                differences.append(f"{counted(count, 'row')} {change} (first: {self._row(first)})")
        return differences

    def _value_differences(self) -> list[str]:
        differences = []
        same = " AND ".join(f"o.{quoted(column)} IS NOT DISTINCT FROM n.{quoted(column)}" for column in self._key)
        shown = ", ".join(f"CAST(n.{quoted(column)} AS VARCHAR)" for column in self._key)
        for column in (column for column in self._shared if column not in self._key):
            old, new = f"CAST(o.{quoted(column)} AS VARCHAR)", f"CAST(n.{quoted(column)} AS VARCHAR)"
            both = f"coalesce({old}, 'null'), coalesce({new}, 'null')"
            count, first = self._connection.execute(
                f"SELECT count(*), arg_min([{shown}, {both}], [{shown}])"
                f" FROM {self._old} o JOIN {self._new} n ON {same} WHERE {old} IS DISTINCT FROM {new}"
            ).fetchone()
            if count:
                *key, before, after = first
                values = f"{before[:60]} before, {after[:60]} now"
                differences.append(f"{column} changed in {counted(count, 'row')} (first: {self._row(key)}: {values})")
        return differences

    def _row(self, values: list[str]) -> str:
        return ", ".join(f"{column} {str(value)[:60]}" for column, value in zip(self._key, values, strict=True))
