"""Data and models that git tracks, where DVC and the registry should keep them."""

from __future__ import annotations

import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from beampermit.datasets import formats
from beampermit.git import Git

LARGEST = 2 * 2**20
LOCKS = {"uv.lock", "conda-lock.yml", "pixi.lock", "poetry.lock"}
"""May be larger: they are text that one command writes and reviewers do not read."""


@dataclass(frozen=True)
class Stray:
    """A tracked file that should not be in git, and what it is."""

    path: str
    what: str


def strays(git: Git) -> Iterator[Stray]:
    """Tracked files of the work tree that are data or models by name or by first bytes, or too large to be text."""
    for path in git.tracked():
        if what := _look(git.root / path, path):
            yield Stray(path, what)


def _look(file: Path, path: str) -> str | None:
    try:
        found = file.lstat()
    except (FileNotFoundError, NotADirectoryError):
        return None
    if not stat.S_ISREG(found.st_mode):
        return None
    with file.open("rb") as stream:
        return unfit(path, stream.read(formats.HEAD), found.st_size)


def unfit(path: str, head: bytes, size: int) -> str | None:
    """What a file called `path`, with these first bytes and `size`, is that does not belong in git; None if it does."""
    if name := formats.recognise(path, head, size):
        return f"{name}, {_size(size)}"
    if size > LARGEST and PurePosixPath(path).name not in LOCKS:
        return f"{_size(size)}; {_size(LARGEST)} is the limit"
    return None


def _size(count: int) -> str:
    return (
        f"{count} bytes" if count < 1024 else f"{count / 1024:.0f} KiB" if count < 2**20 else f"{count / 2**20:.1f} MiB"
    )
