"""What tests do to a DVC repository: lock and push it, take its data away, plant what must be refused."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable
from contextlib import chdir
from pathlib import Path

from beampermit.project import Project


def remake(root: Path) -> None:
    """Lock and push what lies in the work tree, as `dvc repro` and `dvc push` would after making it."""
    from dvc.repo import Repo

    with chdir(root), Repo(str(root)) as repository:
        repository.commit(force=True)
        repository.push()


def leaf(root: Path, store: Path, path: str) -> Path:
    """Where `store` (`.dvc/cache` or a remote) keeps the file `path` of the work tree."""
    value = hashlib.md5((root / path).read_bytes(), usedforsecurity=False).hexdigest()
    return store / "files/md5" / value[:2] / value[2:]


def replace(file: Path, before: str, after: str) -> None:
    text = file.read_text()
    assert before in text
    file.write_text(text.replace(before, after, 1))


def without_data(project: Project) -> None:
    """A fresh clone: neither data nor cache."""
    shutil.rmtree(project.root / ".dvc/cache")
    shutil.rmtree(project.root / "data/dataset")
    (project.root / "data/raw.parquet").unlink()
    (project.root / "data/labels.parquet").unlink()


def plant_manifest(project: Project, storage: Path, entries: object) -> None:
    """Put a manifest on the remote and in the cache, and make dvc.lock name it."""
    content = json.dumps(entries).encode()
    value = hashlib.md5(content, usedforsecurity=False).hexdigest()
    for store in (storage, project.root / ".dvc/cache"):
        file = store / "files/md5" / value[:2] / f"{value[2:]}.dir"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content)
    lock = project.root / "dvc.lock"
    before = next(line.split()[-1] for line in lock.read_text().splitlines() if line.endswith(".dir"))
    replace(lock, before, f"{value}.dir")


def halve(file: Path) -> None:
    """What a copy leaves that was cut off."""
    content = file.read_bytes()
    file.unlink()
    file.write_bytes(content[: len(content) // 2])


def edit(file: str, before: str, after: str) -> Callable[[Project], None]:
    return lambda project: replace(project.root / file, before, after)


def append(file: str) -> Callable[[Project], None]:
    return lambda project: replace_bytes(project.root / file, b"more")


def replace_bytes(file: Path, more: bytes) -> None:
    content = file.read_bytes()
    file.chmod(0o644)
    file.unlink()
    file.write_bytes(content + more)
