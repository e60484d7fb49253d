"""The clock of whatever keeps a study. All machines that share it read the same, however far their own ones are off."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC
from pathlib import Path
from typing import Any

from optuna.storages import JournalStorage, RDBStorage

ENDING = ".clock"
"""Of the file beside a journal whose time is read."""


def clock_of(storage: Any) -> Callable[[], float]:
    """Gives the seconds since 1970: of the database; of the disk of a journal, which is that of its server."""
    kept = getattr(storage, "_backend", None)  # optuna keeps a cache in front of a database
    if isinstance(kept, RDBStorage):
        return lambda: _of_database(kept)
    if isinstance(storage, JournalStorage) and (file := getattr(kept, "_file_path", "")):
        return lambda: _of_disk(Path(f"{file}{ENDING}"))
    return time.time


def _of_disk(file: Path) -> float:
    try:
        file.touch(mode=0o600)  # without a time of ours, so that the server gives it
        return file.stat().st_mtime
    except OSError:  # a full disk, or a file of somebody else
        return time.time()


def _of_database(storage: RDBStorage) -> float:
    from sqlalchemy import func, select

    with storage.engine.connect() as connection:
        now = connection.execute(select(func.now())).scalar_one()
    return (now if now.tzinfo else now.replace(tzinfo=UTC)).timestamp()
