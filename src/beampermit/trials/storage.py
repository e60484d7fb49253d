"""Where studies are kept: a journal in a file, or a database. Only the submitter opens it, never a trial."""

from __future__ import annotations

import json
import os
import shlex
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from beampermit.compute.resources import STORAGE, configuration_file, read_storage
from beampermit.errors import BadInput, Outside
from beampermit.project import Project
from beampermit.trials.addresses import checked, public, said_by_driver
from beampermit.trials.journal import Journal, OtherJournal, State

if TYPE_CHECKING:
    from optuna.storages import BaseStorage

VARIABLE = "BEAMPERMIT_STORAGE"
FOLDER = "trials"
"""In the project's own folder: the journal, and MLflow's database."""
JOURNAL = "journal.log"
OF_TRIALS = frozenset({4, 5, 6, 7, 8, 9})
"""Operations of optuna's journal that are about a trial."""
ENDED = frozenset(map(int, (State.COMPLETE, State.PRUNED, State.FAIL)))
"""States of a trial, as that journal has them."""
PACKAGES = {
    "psycopg": "'beampermit[postgresql]'",
    "psycopg2": "psycopg2-binary",
    "MySQLdb": "mysqlclient",
    "mysql": "mysql-connector-python",
}
"""Of the modules of drivers, where the two have not one name."""


def folder_of(project: Project) -> Path:
    """Of the project's studies on this machine."""
    return project.own / FOLDER


def address_of(storage: str | None) -> str:
    """The address of a database: given, else of the environment, else of the user's configuration; empty for the file.

    Raises `BadInput` for what is none; the message has no password.
    """
    given = [("--storage", storage), (VARIABLE, os.environ.get(VARIABLE))]
    for origin, address in given:
        if address:
            return checked(address, origin)
    address = read_storage()
    return checked(address, f"`{STORAGE}` in {configuration_file()}") if address else ""


def opened(project: Project, storage: str | None) -> BaseStorage:
    """The storage. Raises `Outside` where a database does not answer, `BadInput` for a damaged journal."""
    address = address_of(storage)
    if not address:
        return _journal(_journal_of(project))
    try:
        with storage_errors(address):
            return _database(address)
    except (TypeError, ValueError, RuntimeError) as error:  # such as a driver that does not know an option
        raise BadInput(f"{public(address)}: {said_by_driver(error, address)}") from None
    except ImportError as error:
        inner = error.__cause__ or error.__context__  # optuna says it in words of its own
        name = (error.name or getattr(inner, "name", None) or "").partition(".")[0]
        hint = f"pip install {PACKAGES.get(name, name)}" if name else ""
        reason = name or said_by_driver(inner or error, address)
        raise BadInput(f"the driver of {public(address)} is not installed: {reason}", hint=hint) from None


def _database(address: str) -> BaseStorage:
    from optuna.storages import RDBStorage
    from sqlalchemy.exc import IntegrityError, ProgrammingError
    from tenacity import retry, retry_if_exception_type, stop_after_attempt, wait_random

    # Of two runs that begin in a new database, one finds half of the tables that the other one is making.
    made_by_another = retry_if_exception_type((IntegrityError, ProgrammingError))
    again = retry(retry=made_by_another, stop=stop_after_attempt(5), wait=wait_random(0.2, 1), reraise=True)
    return again(RDBStorage)(address, engine_kwargs={"pool_pre_ping": True})


def opened_to_read(project: Project, storage: str | None) -> BaseStorage | Journal:
    """As `opened`; of a journal that is not there yet, no file is made."""
    if address_of(storage):
        return opened(project, storage)
    try:
        return Journal(_journal_of(project))
    except OtherJournal:
        return opened(project, storage)


def described(project: Project, storage: str | None) -> str:
    """Where studies are kept, for people."""
    address = address_of(storage)
    return public(address) if address else str(folder_of(project) / JOURNAL)


@contextmanager
def storage_errors(address: str) -> Iterator[None]:
    """What a database raises as `Outside`, without a password; the address is empty for a journal."""
    if not address:
        yield
        return
    import sqlalchemy.exc
    from optuna.exceptions import StorageInternalError

    try:
        yield
    except (sqlalchemy.exc.SQLAlchemyError, StorageInternalError) as error:
        raise Outside(f"{public(address)}: {said_by_driver(error, address)}") from None


def _journal_of(project: Project) -> Path:
    file = folder_of(project) / JOURNAL
    if file.is_dir():
        raise BadInput(
            "a journal of studies is a file, and this is a folder",
            file=file,
            hint=shlex.join(["mv", str(file), f"{file}.old"]),
        )
    return file


def _journal(file: Path) -> BaseStorage:
    from filelock import FileLock, Timeout
    from optuna.storages import JournalStorage
    from optuna.storages.journal import JournalFileBackend

    class Lock:
        """Of the operating system, which gives it back when we are killed."""

        def __init__(self) -> None:
            self._lock = FileLock(f"{file}.lock", timeout=120)

        def acquire(self) -> bool:
            try:
                self._lock.acquire()
            except Timeout:
                raise Outside("another process keeps the lock of this journal", file=file) from None
            return True

        def release(self) -> None:
            self._lock.release()

    class Backend(JournalFileBackend):
        def append_logs(self, logs: list[dict[str, Any]]) -> None:
            text = "".join(json.dumps(log, separators=(",", ":")) + "\n" for log in logs)
            lasting = any(map(_lasts, logs))
            lock.acquire()
            try:
                _append(file, text.encode(), lasting=lasting)
            finally:
                lock.release()

    try:
        file.parent.mkdir(parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError):
        raise BadInput("cannot make this folder: a file is in the way", file=file.parent) from None
    lock = Lock()
    lock.acquire()
    try:
        _remove_torn_line(file)
    finally:
        lock.release()
    try:
        return JournalStorage(Backend(str(file), lock_obj=lock))  # type: ignore[arg-type]
    except (ValueError, LookupError, TypeError, AttributeError, AssertionError) as error:
        unknown = isinstance(error, AssertionError)  # how optuna says that it does not know an operation
        what = "it has a line that this version of optuna does not know" if unknown else error
        reason = f"this journal of studies is damaged: {what}"
        raise BadInput(reason, file=file, hint="move it away; MLflow has its trials") from None


def _lasts(log: Mapping[str, Any]) -> bool:
    """Whether the power may fail after this line, and it is still there: that a trial has ended, or what a study is.

    What is said of a trial before its end would be said again in the same words, and a disk takes as long for such a
    line as a sampler to choose it.
    """
    return log["op_code"] not in OF_TRIALS or log.get("state") in ENDED


def _append(file: Path, content: bytes, *, lasting: bool) -> None:
    descriptor = os.open(file, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o666)
    try:
        size = os.fstat(descriptor).st_size
        if size and os.pread(descriptor, 1, size - 1) != b"\n":
            _remove_torn_line(file)  # somebody else was killed since
        while content:
            content = content[os.write(descriptor, content) :]
        if lasting:
            os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _remove_torn_line(file: Path) -> None:
    """A writer that was killed leaves half a line, after which no other could be read."""
    if not file.is_file() or not (size := file.stat().st_size):
        return
    with file.open("rb+") as stream:
        stream.seek(-1, os.SEEK_END)
        if stream.read(1) == b"\n":
            return
        position = size
        while position:
            start = max(position - 2**16, 0)
            stream.seek(start)
            place = stream.read(position - start).rfind(b"\n")
            if place >= 0:
                stream.truncate(start + place + 1)
                return
            position = start
        stream.truncate(0)
