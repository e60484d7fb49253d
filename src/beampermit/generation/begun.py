"""A folder beside the projects in which one is made; those of runs that were killed are removed by the next one."""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

PREFIX = ".beampermit-new-"
IN_USE = ".in-use"
"""Its maker holds a lock on this file. The number of a process would not do: folders are shared between machines."""


@contextmanager
def begun_in(folder: Path) -> Iterator[Path]:
    """A new folder in `folder`, removed at the end. Raises `OSError`."""
    remove_left(folder)
    with tempfile.TemporaryDirectory(dir=folder, prefix=PREFIX) as temporary:
        # Its name comes with the lock: whoever finds the name without a lock finds a maker that is gone.
        lock = os.open(Path(temporary) / f"{IN_USE}.new", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_EXCL, 0o600)
        try:
            with suppress(OSError):  # a file system without locks: what is left there is left
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                (Path(temporary) / f"{IN_USE}.new").rename(Path(temporary) / IN_USE)
            yield Path(temporary)
        finally:
            os.close(lock)  # before the folder goes: a file that is open cannot be removed on NFS


def remove_left(folder: Path) -> None:
    """Remove what killed runs have left, and nothing of one that is still at work, or of someone else."""
    for left in folder.glob(f"{PREFIX}*"):
        with suppress(OSError):
            lock = os.open(left / IN_USE, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            finally:
                os.close(lock)
            shutil.rmtree(left, ignore_errors=True)  # which follows no link
