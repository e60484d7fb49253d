"""The clock of a study is read right in every database, and by every account that may write the journal."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from stat import S_IMODE
from typing import Any

import pytest

from beampermit.trials.shared_clock import ENDING, clock_of


@contextmanager
def umask(mask: int) -> Iterator[None]:
    before = os.umask(mask)
    try:
        yield
    finally:
        os.umask(before)


@pytest.mark.slow
@pytest.mark.parametrize("mode", [0o600, 0o660, 0o666])
def test_who_may_write_the_journal_may_read_its_clock(tmp_path: Path, mode: int) -> None:
    from optuna.storages import JournalStorage
    from optuna.storages.journal import JournalFileBackend

    file = tmp_path / "journal.log"
    clock = clock_of(JournalStorage(JournalFileBackend(str(file))))
    file.chmod(mode)
    with umask(0o077):
        assert abs(clock() - time.time()) < 60
    made = Path(f"{file}{ENDING}").stat()
    assert (S_IMODE(made.st_mode), made.st_gid) == (mode, file.stat().st_gid)


@pytest.mark.slow
@pytest.mark.parametrize("dialect", ["mysql", "mariadb", "sqlite"])
def test_a_database_whose_time_is_that_of_a_zone_is_asked_for_universal_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, dialect: str
) -> None:
    """SQLite answers as MySQL does, whose `now` jumps by an hour when summer begins."""
    from optuna.storages import RDBStorage, get_storage
    from sqlalchemy import event

    database = RDBStorage(f"sqlite:///{tmp_path}/studies.db")
    engine = database.engine

    @event.listens_for(engine, "connect")
    def _(connection: Any, _: object) -> None:
        connection.create_function("utc_timestamp", 0, lambda: "2026-03-29 01:00:00")

    engine.dispose()
    monkeypatch.setattr(engine.dialect, "name", dialect)
    try:
        seen = clock_of(get_storage(database))()
    finally:
        engine.dispose()
    if dialect == "sqlite":
        assert abs(seen - time.time()) < 60
    else:
        assert seen == 1774746000.0  # 2026-03-29T01:00:00Z
