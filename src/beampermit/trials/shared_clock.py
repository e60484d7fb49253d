"""The clock of whatever keeps a study. All machines that share it read the same, however far their own ones are off."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC
from pathlib import Path
from stat import S_IMODE
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
        return lambda: _of_disk(Path(file))
    return time.time


def _of_disk(journal: Path) -> float:
    file = Path(f"{journal}{ENDING}")
    try:
        file.touch()  # without a time of ours, so that the server gives it
        _share(file, journal)
        return file.stat().st_mtime
    except OSError:  # a full disk
        return time.time()


def _share(file: Path, journal: Path) -> None:
    """Whoever may write the journal may read its clock, whoever made that."""
    found, wanted = file.stat(), journal.stat()
    with suppress(OSError):  # it is somebody else's, who did this
        if found.st_gid != wanted.st_gid:
            os.chown(file, -1, wanted.st_gid)
    with suppress(OSError):
        if found.st_mode != wanted.st_mode:
            file.chmod(S_IMODE(wanted.st_mode))


def _of_database(storage: RDBStorage) -> float:
    from sqlalchemy import DateTime, func, select

    # MySQL's `now` is in the time zone of the session, without saying which.
    local = storage.engine.dialect.name in ("mysql", "mariadb")
    asked = func.utc_timestamp(type_=DateTime) if local else func.now()
    with storage.engine.connect() as connection:
        now = connection.execute(select(asked)).scalar_one()
    return (now if now.tzinfo else now.replace(tzinfo=UTC)).timestamp()
