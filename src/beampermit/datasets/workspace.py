"""Pipes, devices and links in the work tree, found before anything reads or writes there."""

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


def irregular_files(path: Path, root: Path, cache: Path) -> Iterator[tuple[str, str]]:
    """Each (path relative to `root`, kind) at or below `path` that is neither a regular file nor a folder.

    Links are allowed only to files in DVC's cache and in the project. Reading a pipe would block for ever, and writing
    through a link would leave the project.
    """
    allowed = (cache.resolve(), root.resolve())
    for part in _above(path, root):
        if part.is_symlink():
            yield part.relative_to(root).as_posix(), f"a link to {os.readlink(part)}"  # noqa: PTH115
            return
    for entry in _walk(path):
        if kind := _kind_of(entry, *allowed):
            yield entry.relative_to(root).as_posix(), kind


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


def _kind_of(path: Path, cache: Path, root: Path) -> str | None:
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
