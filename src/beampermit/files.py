"""Write files atomically: under a temporary name, then renamed."""

from __future__ import annotations

import json
import os
import shutil
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from beampermit.errors import EXHAUSTED, BadInput, Conflict


def write_text(path: Path, text: str) -> None:
    """Replace `path` by `text` (UTF-8, `\\n`) atomically: a kill leaves the old file or the new one.

    What is not UTF-8, as the name of a file may be, is written as escapes, which JSON has too.
    """
    write_bytes(path, text.encode(errors="backslashreplace"))


def write_bytes(path: Path, content: bytes) -> None:
    with replacing(path) as temporary:
        temporary.write_bytes(content)


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside `path`, which is renamed to `path` at the end or, after an error, removed.

    Raises `BadInput` where `path` is a folder, or its parent is a file.
    """
    if path.is_dir():
        raise BadInput("cannot write this file: it is a folder", file=path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except (FileExistsError, FileNotFoundError, NotADirectoryError):
        raise BadInput("cannot make this folder: a file is in the way", file=path.parent) from None
    try:
        descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    except OSError as error:
        error.filename = str(path)  # the path that a user knows, not the temporary one
        raise
    os.close(descriptor)
    temporary = Path(name)
    try:
        yield temporary
        temporary.chmod(path.stat().st_mode & 0o777 if path.exists() else 0o666 & ~_umask())
        temporary.replace(path)
    except OSError as error:
        if error.errno in EXHAUSTED and error.filename in (None, name):  # a full disk names none
            error.filename = str(path)
        raise
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def new_folder(place: Path) -> Iterator[Path]:
    """Yield a temporary folder beside `place`, which is renamed to `place` at the end or, after an error, removed.

    Of several processes that make the same, the first one's stays. The folder around it must be there.
    """
    folder = Path(tempfile.mkdtemp(prefix=".new-", dir=place.parent))
    try:
        yield folder
        folder.chmod(0o755)
        try:
            folder.rename(place)
        except OSError:
            if not place.is_dir():
                raise
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def remove(path: Path) -> None:
    """Remove a file, a link or a folder with all that is in it, whatever their modes; no link is followed.

    Where nothing is, nothing happens.
    """
    try:
        folder = stat.S_ISDIR(path.lstat().st_mode)
    except FileNotFoundError:
        return
    if not folder:
        path.unlink(missing_ok=True)
        return
    path.chmod(0o700)
    for place, folders, _ in os.walk(path):
        for name in folders:
            below = Path(place, name)
            if not below.is_symlink():
                below.chmod(0o700)
    shutil.rmtree(path)


def write_json(path: Path, value: Any) -> None:
    """Write indented JSON. Raises `ValueError` for NaN and infinities, which are not JSON."""
    write_text(path, json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def _umask() -> int:
    current = os.umask(0)
    os.umask(current)
    return current


@contextmanager
def locked(file: Path, busy: Conflict) -> Iterator[None]:
    """The lock of this file, held while the block runs. Raises `busy` at once where another process has it."""
    from filelock import FileLock, Timeout

    lock = FileLock(file)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        raise busy from None
    try:
        yield
    finally:
        lock.release()
