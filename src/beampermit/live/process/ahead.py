"""A process for the model that answered last, started before the ledger is read: its imports take most of a start.

Nothing of a model is read in it until a permit is believed. It is of use where that permit asks for the same
environment; else it ends.
"""

from __future__ import annotations

import os
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from pydantic import ValidationError

from beampermit.environments.environment import VARIABLE, Environment, shared_environments, stamp_of
from beampermit.errors import BeampermitError
from beampermit.files import write_json
from beampermit.live.process.starting import Start, Started
from beampermit.processes import called_after
from beampermit.reading import read_json
from beampermit.record import Record

FILE = "ahead.json"
UNTAKEN = 120.0
"""Seconds after which no version is expected any more: what waits has hundreds of MB in memory."""


class _Kept(Record):
    start: Start
    stamp: str
    """Of the environment."""


class Ahead:
    """At most one process. Any thread may call the methods."""

    def __init__(self, start: Start | None = None, started: Started | None = None):
        self._lock = threading.Lock()
        self._start, self._started = start, started

    def take(self, start: Start) -> Started | None:
        """The process, where it was started with just this; whoever takes it has to end it. Else it ends."""
        with self._lock:
            started, self._started = self._started, None
        if started and start != self._start:
            started.end()
            return None
        return started

    def end(self) -> None:
        """End the process that nobody took."""
        with self._lock:
            left, self._started = self._started, None
        if left:
            left.end()


def keep_start(state: Path, start: Start) -> None:
    """For the next start of the service, which does without where the disk does not take it."""
    kept = _Kept(start=start, stamp=stamp_of(start.prefix))
    with suppress(OSError):
        write_json(state / FILE, kept.model_dump(mode="json"))


@contextmanager
def started_ahead(state: Path, checkout: Path | None = None) -> Iterator[Ahead]:
    """By the thread that calls it, with which the process ends.

    As the last service in `state` needed it; at the very first start, as the project in `checkout` would. No process
    where neither says it, or the environment is not there.
    """
    with tempfile.TemporaryDirectory(prefix="beampermit-", ignore_cleanup_errors=True) as folder:
        ahead = _begin(state, checkout, Path(folder))
        try:
            with called_after(UNTAKEN, ahead.end):
                yield ahead
        finally:
            ahead.end()


def _begin(state: Path, checkout: Path | None, folder: Path) -> Ahead:
    try:
        kept = _Kept.model_validate(read_json(state / FILE)) if (state / FILE).exists() else _expected(checkout)
        if kept and _is_ours(kept.start.prefix) and stamp_of(kept.start.prefix) == kept.stamp:
            return Ahead(kept.start, kept.start.begin(folder))
    except (BeampermitError, OSError, ValidationError):
        pass  # it only takes longer, and who needs the environment says what is wrong with it
    return Ahead()


def _expected(checkout: Path | None) -> _Kept | None:
    """By contract and lock of a checkout, of which nothing is believed: its version in service mostly has the same.

    None where they let variables of ours through.
    """
    if checkout is None:
        return None
    from beampermit.environments.choice import backend_of
    from beampermit.environments.installation import prefix_for
    from beampermit.project import Project

    project = Project.find(checkout)
    contract, lock = project.contract, backend_of(project.root).read(project.root)
    if contract.environment.variables:
        return None
    return _Kept(start=Start.of(Environment(prefix_for(lock)), contract), stamp=lock.stamp)


def _is_ours(prefix: Path) -> bool:
    """Whether this user's own Beampermit installed it: the file may have come with a branch."""
    return prefix.parent == shared_environments() or str(prefix) == os.environ.get(VARIABLE)
