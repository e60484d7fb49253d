"""Versions of a dataset, by name: a git revision whose data DVC keeps, the work tree, or Parquet files."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from beampermit.contract import FILE_NAME, parse_contract
from beampermit.datasets.bound import bound
from beampermit.datasets.profile import Shape
from beampermit.datasets.remote import hash_of
from beampermit.datasets.repository import HASH, Kept, Repository
from beampermit.datasets.tables import Table, open_tables
from beampermit.errors import BadInput, Tripped
from beampermit.files import replacing
from beampermit.project import Project

HERE = "."


@dataclass(frozen=True)
class Version:
    """A version: what it is called, its tables by split, and what its contract says of their columns, if it has one."""

    name: str
    tables: dict[str, Table]
    shape: Shape | None


def version(project: Project | None, word: str, *, remote: bool = True) -> Version:
    """The version that `word` names: `.` (the work tree), a Parquet file or a folder of them, or a git revision.

    With `remote`, what this machine does not have of a revision is brought, and verified, from the DVC remote.
    Raises `BadInput` for a name of nothing, `Tripped` for data that are missing or wrong, `Outside`.
    """
    if word == HERE and project is not None:
        splits = project.contract.dataset.splits
        absent = [path for path in splits.values() if not project.path(path).is_file()]
        if absent:
            raise Tripped(f"{absent[0]} is not here", hint="beampermit data pull")
        return Version("the work tree", _tables(project.root, splits), Shape.of(project.contract))
    path = Path(word)
    if path.is_file() or path.is_dir():
        return _files(path)
    commit = project.git.resolve(word) if project is not None else None
    if project is None or commit is None:
        raise BadInput(
            f"{word!r} is neither a Parquet file, nor a folder of them, nor a revision of this project",
            hint="git fetch, if it is somebody else's revision",
        )
    return _revision(project, word, commit, remote)


def _files(path: Path) -> Version:
    files = [path] if path.is_file() else sorted(path.glob("*.parquet"))
    if not files:
        raise BadInput("there is no Parquet file in this folder", file=path)
    folder = files[0].parent
    return Version(str(path), _tables(folder, {file.stem: file.name for file in files}), None)


def _tables(root: Path, splits: Mapping[str, str]) -> dict[str, Table]:
    return {table.split: table for table in open_tables(root, splits)}


def _revision(project: Project, word: str, commit: str, remote: bool) -> Version:
    text = project.git.read(commit, FILE_NAME)
    if text is None:
        raise BadInput(f"revision {word} has no contract", file=FILE_NAME, hint="name a revision that has one")
    contract = parse_contract(text, f"{word}:{FILE_NAME}")
    repository = Repository.of(project)
    objects = _objects(repository, commit)
    folder = project.own / "versions"
    folder.mkdir(exist_ok=True)
    places: dict[str, str] = {}
    for split, path in contract.dataset.splits.items():
        if path not in objects:
            raise BadInput(f"revision {word} names no data for {path}", file="dvc.lock")
        places[split] = (
            _brought(repository, objects[path], path, folder, remote).relative_to(repository.root).as_posix()
        )
    return Version(word, _tables(repository.root, places), Shape.of(contract))


def _objects(repository: Repository, commit: str) -> dict[str, str]:
    """Path -> hash of the files that `dvc.lock` of a revision binds, those in folders too."""
    try:
        outputs = bound(repository.project.git.read(commit, "dvc.lock") or "", "dvc.lock")
    except BadInput:
        raise BadInput(f"dvc.lock of {commit[:12]} is not YAML", file="dvc.lock") from None
    found: dict[str, str] = {}
    for path, output in outputs.items():
        if not HASH.fullmatch(output.hash) or PurePosixPath(path).is_absolute():
            continue
        kept = Kept(path, "", "dvc.lock", output.hash, "md5")
        if not kept.folder:
            found[path] = kept.oid
        elif (manifest := repository.manifest(kept)) and not manifest.faults:
            found |= {f"{path}/{name}": value for name, value in manifest.files.items()}
    return found


def _brought(repository: Repository, oid: str, path: str, folder: Path, remote: bool) -> Path:
    """A file with the object's bytes: in the cache, or in `folder`. Its hash is looked at, wherever it lies."""
    for place in (repository.cached(oid), folder / oid):
        if place.is_file() and place.is_relative_to(repository.root) and hash_of(place) == oid:
            return place
    if not remote:
        raise Tripped(f"{path} (object {oid[:8]}) is not on this machine")
    with replacing(folder / oid) as temporary:
        came = repository.remote().fetch(oid, temporary)
        if came != oid:
            why = "is not on the remote" if came is None else "has other bytes on the remote than its hash says"
            raise Tripped(f"{path} {why} (object {oid[:8]})", hint="dvc push, where it was made")
    return folder / oid
