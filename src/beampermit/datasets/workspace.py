"""What lies in the work tree where data and code are expected, looked at before anything reads it."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path

KINDS = {
    stat.S_IFIFO: "a named pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}


def oddities(path: Path, root: Path, cache: Path) -> Iterator[tuple[str, str]]:
    """Each thing at or below `path` that is neither file nor folder, as (path relative to `root`, what it is).

    A link is odd unless it leads into DVC's cache, or from one file of the project to another. Reading a pipe would
    wait for ever, and writing through a link would leave the project.
    """
    inside = (cache.resolve(), root.resolve())
    for part in _above(path, root):
        if part.is_symlink():
            yield part.relative_to(root).as_posix(), f"a link to {os.readlink(part)}"  # noqa: PTH115
            return
    for found in _walk(path):
        if what := _odd(found, *inside):
            yield found.relative_to(root).as_posix(), what


def _above(path: Path, root: Path) -> list[Path]:
    parts = path.relative_to(root).parts
    return [root.joinpath(*parts[:depth]) for depth in range(1, len(parts))]


def _walk(path: Path) -> Iterator[Path]:
    yield path
    if path.is_symlink() or not path.is_dir():
        return
    for folder, folders, files in os.walk(path, followlinks=False):
        if "__pycache__" in folders:
            folders.remove("__pycache__")
        yield from (Path(folder, name) for name in (*folders, *files))


def _odd(path: Path, cache: Path, root: Path) -> str | None:
    try:
        mode = path.lstat().st_mode
    except FileNotFoundError:
        return None
    if stat.S_ISLNK(mode):
        target = path.resolve()
        if target.is_file() and target.is_relative_to(cache):
            return None
        if target.is_file() and target.is_relative_to(root) and ".git" not in target.relative_to(root).parts:
            return None
        return f"a link to {os.readlink(path)}"  # noqa: PTH115
    return KINDS.get(stat.S_IFMT(mode))
