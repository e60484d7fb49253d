"""What tells that a file may have changed: cheap to read, and no program can set all of it."""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Iterable, Iterator
from pathlib import Path


def state_of(paths: Iterable[Path | str], *, below: bool = True) -> str:
    """A digest of names, sizes and times of files and of what is below folders, and of what links lead to.

    Cheap to read, and different once anything is written: the time of the last change of a file's status cannot be set
    by a program, unlike that of its content.
    """
    digest = hashlib.sha256()
    for path in paths:
        for name, status in statuses(str(path), below):
            digest.update(f"{name}\0{status}\n".encode(errors="surrogateescape"))
    return digest.hexdigest()


def statuses(path: str, below: bool) -> Iterator[tuple[str, str]]:
    try:
        status = os.lstat(path)
        yield path, _shown(status)
        if stat.S_ISLNK(status.st_mode):
            status = os.stat(path)  # noqa: PTH116
            yield os.path.realpath(path), _shown(status)
    except OSError:
        yield path, "absent"
        return
    if below and stat.S_ISDIR(status.st_mode):
        yield from _below(path)


def _below(folder: str) -> Iterator[tuple[str, str]]:
    """A link to a folder is not followed."""
    waiting = [folder]
    while waiting:
        with os.scandir(waiting.pop()) as entries:
            for entry in sorted(entries, key=lambda entry: entry.name):
                if entry.is_dir(follow_symlinks=False):
                    waiting.append(entry.path)
                elif entry.is_symlink():
                    yield from statuses(entry.path, below=False)
                else:
                    yield entry.path, _shown(entry.stat(follow_symlinks=False))


def _shown(status: os.stat_result) -> str:
    if stat.S_ISDIR(status.st_mode):
        return "folder"
    return f"{status.st_mode} {status.st_size} {status.st_ino} {status.st_mtime_ns} {status.st_ctime_ns}"
