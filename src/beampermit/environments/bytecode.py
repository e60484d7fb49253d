"""Modules that the Pythons we start have compiled: kept in our cache, below the path of each module."""

from __future__ import annotations

import os
import shutil
import stat
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from beampermit.cache import cache_folder

SECONDS = 2.0


def bytecode_folder() -> Path:
    """Where the Pythons that we start keep compiled modules."""
    return cache_folder() / "bytecode"


def is_compiled_by_root(prefix: Path) -> bool:
    """Whether modules lie compiled beside the sources of an environment where only root could put them, as in an image.

    False for root itself, who also runs what other users have written.
    """
    try:
        compiled = next(prefix.glob("lib/python*/site-packages/*/__pycache__"), None)
        folders = (prefix, compiled.parents[1], compiled) if compiled else ()
        return os.geteuid() != 0 and bool(folders) and all(_is_roots(folder) for folder in folders)
    except OSError:
        return False


def _is_roots(folder: Path) -> bool:
    found = folder.stat()
    return found.st_uid == 0 and not found.st_mode & (stat.S_IWGRP | stat.S_IWOTH)


def forget_gone(seconds: float = SECONDS) -> None:
    """Remove what was compiled of folders that are gone: of a rehearsal's environment, say, hundreds of megabytes.

    After `seconds`, no further folder is begun: the next call goes on.
    """
    ends = time.monotonic() + seconds
    with suppress(OSError):  # of another user, for instance: nothing depends on it
        for folder in _gone(bytecode_folder(), Path("/")):
            if time.monotonic() > ends:
                return
            shutil.rmtree(folder, ignore_errors=True)


def _gone(compiled: Path, source: Path) -> Iterator[Path]:
    """The topmost folders of `compiled` whose modules' folder is gone; an environment is there as a whole."""
    if not compiled.is_dir() or (source / "pyvenv.cfg").is_file() or (source / "conda-meta").is_dir():
        return
    for entry in list(compiled.iterdir()):
        if not entry.is_dir() or entry.is_symlink():
            continue
        if (source / entry.name).is_dir():
            yield from _gone(entry, source / entry.name)
        else:
            yield entry
