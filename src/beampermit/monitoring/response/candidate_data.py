"""Candidates become data of the project: copied, added to DVC and pushed to the remote, for others to request them."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from beampermit.datasets.repository import dvc_errors
from beampermit.digest import manifest
from beampermit.errors import Failed, Outside
from beampermit.monitoring.response.candidates import ABOUT, FOLDER, load_candidate, stored
from beampermit.project import Project


def add_candidates(project: Project, state: Path) -> tuple[str, ...]:
    """Paths of those in `state` that the project's DVC has now and had not before; what is there already is pushed.

    Raises `Failed` for a candidate whose tables are not those that were stored, `Outside` where the remote fails.
    """
    added = [name for folder in stored(state / FOLDER) if (name := _copied(project, folder))]
    if added:
        with _dvc(project) as repository:
            repository.add([str(project.root / name) for name in added])
    with _dvc(project) as repository:
        repository.push([str(file) for file in sorted((project.root / FOLDER).glob("*.dvc"))])
    return tuple(added)


def _copied(project: Project, folder: Path) -> str:
    """The path in the project; empty where DVC has it."""
    about = load_candidate(folder)
    tables = {path: digest for path, digest in manifest(folder).items() if path != ABOUT}
    if tables != about.files:
        raise Failed("its tables are not those that were stored", file=folder)
    name = f"{FOLDER}/{folder.name}"
    target = project.root / name
    if target.with_name(f"{folder.name}.dvc").exists():
        return ""
    if not target.exists():
        target.parent.mkdir(exist_ok=True)
        with tempfile.TemporaryDirectory(dir=target.parent, prefix=f".{folder.name}.") as scratch:
            shutil.copytree(folder, Path(scratch, "copy")).rename(target)
    return name


@contextmanager
def _dvc(project: Project) -> Iterator[Any]:
    from dvc.exceptions import DvcException
    from dvc.repo import Repo

    with dvc_errors(project.root), Repo(str(project.root)) as repository:
        try:
            yield repository
        except DvcException as error:
            raise Outside(f"DVC cannot keep the candidates: {' '.join(str(error).split())}"[:300]) from None
