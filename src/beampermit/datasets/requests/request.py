"""`beampermit data request`: ask, compare with what is here, and put table and sidecar in their places."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from beampermit.contract import FILE_NAME
from beampermit.datasets.paths import fault
from beampermit.datasets.requests import sidecar
from beampermit.datasets.requests.asked import Asked, Worker, ask
from beampermit.datasets.requests.difference import differences
from beampermit.datasets.requests.inputs import plain_file
from beampermit.datasets.requests.source import Answer, Watch, source_of
from beampermit.errors import BadInput, Conflict, Tripped
from beampermit.files import replacing, write_text
from beampermit.project import Project

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
    watch: Watch = lambda *_: None,
) -> Delivered:
    """Answer the request of the project's contract into `dataset.raw` (or `out`, inside the project).

    Raises `Tripped`, and leaves everything as it is, where the answer is not the one that is here and `accept` is
    False; `BadInput`, `Outside` as the source does. A run that was killed goes on where it stopped.
    """
    with _alone(project) as folder:
        asked = ask(project, folder, work)
        table = _place(project, out or asked.raw)
        asked = _in_own_folder(asked, accept)
        answer, said = _answer(asked, watch)
        first = not table.exists()
        changes = () if first else tuple(_changes(asked, answer, table, said))
        if changes and not accept and not _asked_otherwise(table, said):
            raise Tripped(
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


def _answer(asked: Asked, watch: Watch) -> tuple[Answer, dict[str, Any]]:
    try:
        answer = source_of(asked).answer(watch)
        said = sidecar.describe(asked, answer)
        _judge(answer, said)
    except Tripped:
        # What was wrong may be mended where it came from: it is all asked for again.
        shutil.rmtree(asked.folder, ignore_errors=True)
        raise
    (asked.folder / ANSWERED).touch()
    return answer, said


def _judge(answer: Answer, said: dict[str, Any]) -> None:
    if not said["rows"]:
        raise Tripped(
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
    before = sidecar.kept(table.with_suffix(".json"))
    if found and before and before["digest"] != said["digest"]:
        old, new = before.get("request", {}), said["request"]
        keys = sorted(key for key in {*old, *new} if old.get(key) != new.get(key) and key != "version")
        yield f"the request itself changed ({', '.join(keys) or 'its signals or devices'})"
    yield from found


def _asked_otherwise(table: Path, said: dict[str, Any]) -> bool:
    """Whether the version says that this is another request than the one that was answered here."""
    before = sidecar.kept(table.with_suffix(".json"))
    return bool(before and before.get("version") != said["version"])


def _deliver(answer: Answer, table: Path, said: dict[str, Any]) -> None:
    text = sidecar.as_text(said) if answer.sidecar is None else answer.sidecar.read_text(encoding="utf-8")
    with replacing(table) as temporary:
        shutil.move(answer.table, temporary)
    write_text(table.with_suffix(".json"), text)
