"""Pipes, devices and links in the work tree, found before anything reads or writes there; and what DVC leaves out."""

from __future__ import annotations

import os
import re
import shutil
import stat
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from functools import cache, cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from beampermit.contract import FILE_NAME
from beampermit.datasets import configuration
from beampermit.datasets.dvc_lock import locked_outputs
from beampermit.datasets.manifests import path_fault
from beampermit.errors import BadInput
from beampermit.project import Project

if TYPE_CHECKING:
    from beampermit.datasets.repository import Repository

KINDS = {
    stat.S_IFIFO: "a named pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}


OBJECT = re.compile(r"(files/md5/)?[0-9a-f]{2}/[0-9a-f]{30}")
"""Path in DVC's cache of a file that it keeps, named by its hash."""


def irregular_files(path: Path, root: Path, cache: Path | None = None) -> Iterator[tuple[str, str]]:
    """Each (path relative to `root`, kind) at or below `path` that is neither a regular file nor a folder.

    Links are allowed only to objects of DVC's cache, as `cache.type symlink` makes them, and to files of the project.
    Reading a pipe would block for ever, and writing through a link would leave the project. Without `cache`, its place
    is looked up by the configuration where a link needs it.
    """
    allowed = _Allowed(root, cache)
    for part in _above(path, root):
        if part.is_symlink():
            yield part.relative_to(root).as_posix(), f"a link to {os.readlink(part)}"  # noqa: PTH115
            return
    for entry in _walk(path):
        if kind := _kind_of(entry, allowed):
            yield entry.relative_to(root).as_posix(), kind


def _above(path: Path, root: Path) -> list[Path]:
    parts = path.relative_to(root).parts
    return [root.joinpath(*parts[:depth]) for depth in range(1, len(parts))]


def _walk(path: Path) -> Iterator[Path]:
    yield path
    if path.is_symlink() or not path.is_dir():
        return
    for folder, folders, files in os.walk(path, followlinks=False):
        yield from (Path(folder, name) for name in (*folders, *files))


class _Allowed:
    """Where links may lead."""

    def __init__(self, root: Path, cache: Path | None):
        self._root, self._cache = root.resolve(), cache

    @cached_property
    def _objects(self) -> Path:
        return (self._cache or configuration.data_cache(Project(self._root))).resolve()

    def own_file(self, link: Path) -> bool:
        """Whether a link leads to a file of the project, outside of git's folder."""
        target = link.resolve()
        own = target.is_relative_to(self._root) and ".git" not in target.relative_to(self._root).parts
        return own and target.is_file()

    def stored(self, link: Path) -> bool:
        """Whether a link leads to an object of the cache, and by no other link. Other files there are nobody's data."""
        target, objects = link.resolve(), self._objects
        if not target.is_relative_to(objects) or (link.parent / os.readlink(link)).is_symlink():  # noqa: PTH115
            return False
        return bool(OBJECT.fullmatch(target.relative_to(objects).as_posix())) and target.is_file()


def is_plain(file: Path, root: Path) -> bool:
    """Whether there is a file, reached by no link but its own into DVC's cache."""
    if not file.is_file() or any(part.is_symlink() for part in _above(file, root)):
        return False
    return not file.is_symlink() or _Allowed(root, None).stored(file)


@contextmanager
def plain_folder(folder: Path, root: Path) -> Iterator[Path]:
    """A folder of the project where links to objects of DVC's cache are files; itself where it has no such link.

    What is judged, loaded or uploaded is then one set of plain files, which nobody can exchange by turning a link.
    Other links stay what they are, and are refused by whoever reads them.
    """
    allowed = _Allowed(root, None)
    links = [path for path in _walk(folder) if path.is_symlink() and allowed.stored(path)]
    if not links:
        yield folder
        return
    with tempfile.TemporaryDirectory(prefix="beampermit-plain-") as temporary:
        copy = Path(temporary).resolve() / folder.name
        try:
            shutil.copytree(folder, copy, symlinks=True)
        except shutil.Error:
            raise BadInput("there is a pipe, a device or what cannot be read in this folder", file=folder) from None
        for link in links:
            place = copy / link.relative_to(folder)
            place.unlink()
            shutil.copyfile(link.resolve(), place)
        yield copy


def _kind_of(path: Path, allowed: _Allowed) -> str | None:
    try:
        mode = path.lstat().st_mode
    except FileNotFoundError:
        return None
    if stat.S_ISLNK(mode):
        if allowed.own_file(path) or allowed.stored(path):
            return None
        return f"a link to {os.readlink(path)}"  # noqa: PTH115
    return KINDS.get(stat.S_IFMT(mode))


def plain_file(root: Path, path: str) -> Path:
    """The file at `path` below `root`. Raises `BadInput` if it is missing, a link, a pipe, or outside."""
    shown = path.encode("utf-8", "backslashreplace").decode()
    if what := path_fault(path):
        raise BadInput(f"the path {what}", file=shown)
    file = root / path
    if not os.path.lexists(file):
        raise BadInput("the file is missing", file=shown)
    for odd, what in irregular_files(file, root):
        raise BadInput(f"is {what}, not a file", file=odd)
    if not file.is_file():
        raise BadInput("is a folder, not a file", file=shown)
    return file


def plain_files(root: Path, pattern: str) -> list[str]:
    """The sorted paths that match a pattern such as `recordings/*.parquet`, at least one. Raises `BadInput`."""
    if not any(sign in pattern for sign in "*?["):
        plain_file(root, pattern)
        return [pattern]
    if Path(pattern).is_absolute() or ".." in Path(pattern).parts:
        raise BadInput(f"the pattern {pattern!r} leaves the project", file=FILE_NAME)
    paths = sorted(file.relative_to(root).as_posix() for file in root.glob(pattern))
    if not paths:
        raise BadInput(f"no file matches {pattern!r}", file=FILE_NAME)
    for path in paths:
        plain_file(root, path)
    return paths


PIPELINE = "dvc.yaml"
UNREAD = (".md", ".rst", ".ipynb", ".gitignore", ".dvcignore", ".gitkeep", ".pyc")
"""Ends of the names of files beside the code that no stage reads."""


def hidden_files(repository: Repository) -> Iterator[tuple[str, str]]:
    """Path and reason of what DVC does not see although it counts: pipelines, and code that a stage reads.

    Outputs that it does not see are refused by DVC itself. Patterns that hide caches, logs, documents, or a pipeline of
    whose data no stage here reads anything, pass.
    """
    from beampermit.datasets.repository import overlap

    sight = _Sight(repository.repo, repository.root)
    files = repository.project.git.work_files()
    read = [
        repository.relative(dependency.fs_path)
        for stage in repository.stages
        for dependency in stage.deps
        if dependency.is_in_repo
    ]
    for path in files:
        if (Path(path).name == PIPELINE or path.endswith(".dvc")) and (by := sight.hidden_by(path)):
            outputs = _outputs_of(repository.root, path)
            if path == PIPELINE or any(overlap(output, used) for output in outputs for used in read):
                yield path, f"{by} hides it from DVC, so nothing that it names is checked"
        elif _is_read(path, read) and sight.by_dvcignore(path):
            yield path, "`.dvcignore` hides it from DVC, so its changes are not noticed"


class _Sight:
    """What DVC leaves out: by `.dvcignore`, also as the folder of another DVC repository, and of pipelines by git."""

    def __init__(self, repo: Any, root: Path):
        self._ignore, self._root = repo.dvcignore, root
        self._is_ignored_by_git = cache(repo.scm.is_ignored)  # of each folder it is asked for each file

    def hidden_by(self, path: str) -> str:
        """`.dvcignore` or `.gitignore` where it hides a pipeline; empty where nothing does."""
        if self.by_dvcignore(path):
            return "`.dvcignore`"
        folders = [f"{self._root / folder}{os.sep}" for folder in _folders(path)]
        return "`.gitignore`" if any(map(self._is_ignored_by_git, [str(self._root / path), *folders])) else ""

    def by_dvcignore(self, path: str) -> bool:
        return self._ignore.is_ignored_file(str(self._root / path))


def _is_read(path: str, read: Iterable[str]) -> bool:
    """Whether a stage reads a file as part of a folder; of a single file that is hidden DVC says that it is missing."""
    return not path.endswith(UNREAD) and any(path.startswith(f"{folder}/") for folder in read)


def _outputs_of(root: Path, pipeline: str) -> list[str]:
    """The outputs of a pipeline that DVC does not see, by its lock."""
    name = f"{pipeline.removesuffix('.yaml')}.lock" if pipeline.endswith(PIPELINE) else pipeline
    try:
        return list(locked_outputs((root / name).read_text(encoding="utf-8", errors="replace"), name))
    except (OSError, BadInput):
        return []


def _folders(path: str) -> list[str]:
    return [path[:end] for end, letter in enumerate(path) if letter == "/"]
