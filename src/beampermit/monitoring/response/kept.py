"""The journal while a monitor runs: one process has it, and each change of it is on disk before the next step."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from beampermit.errors import BadInput, Conflict
from beampermit.files import locked
from beampermit.monitoring.response.journal import (
    FILE,
    REMEMBERED,
    SHOWN,
    Journal,
    Kind,
    Task,
    load_journal,
    store_journal,
)

logger = logging.getLogger(__name__)
LOCK = ".response.lock"


class Kept:
    """The journal of a state folder. Threads of this process may change it; see `opened` for others."""

    def __init__(self, folder: Path):
        self.folder = folder
        self.journal = _load(folder)
        self._lock = threading.RLock()

    def change(self, by: Callable[[Journal], Journal]) -> None:
        with self._lock:
            changed = by(self.journal)
            if changed is not self.journal:
                store_journal(self.folder, changed)
                self.journal = changed

    def update(self, **values: Any) -> None:
        self.change(lambda journal: journal.model_copy(update=values))

    def put(self, *keys: str, **values: Any) -> None:
        """Change the alarms of these keys; what another thread told of them meanwhile stays."""
        of = {*keys}
        self.change(
            lambda journal: journal.model_copy(
                update={
                    "alarms": tuple(
                        alarm.model_copy(update=values) if alarm.key in of else alarm for alarm in journal.alarms
                    )
                }
            )
        )

    def drop(self, keys: set[str]) -> None:
        if keys:
            self.change(
                lambda journal: journal.model_copy(
                    update={"alarms": tuple(alarm for alarm in journal.alarms if alarm.key not in keys)}
                )
            )

    def put_task(self, task: Task) -> Task:
        self.change(
            lambda journal: journal.model_copy(
                update={"tasks": tuple(task if one.id == task.id else one for one in journal.tasks)}
            )
        )
        return task

    def postpone(self, kind: Kind, due: float) -> None:
        """All tasks of a kind, until then."""
        self.change(
            lambda journal: journal.model_copy(
                update={
                    "tasks": tuple(
                        one.model_copy(update={"due": max(one.due, due)}) if one.kind == kind else one
                        for one in journal.tasks
                    )
                }
            )
        )

    def finish(self, task: Task, line: str, **more: Any) -> None:
        self.change(
            lambda journal: journal.model_copy(
                update={
                    "tasks": tuple(one for one in journal.tasks if one.id != task.id),
                    "finished": (*journal.finished, task.id)[-REMEMBERED:],
                    "log": (*journal.log, line)[-SHOWN:],
                    **more,
                }
            )
        )

    def note(self, line: str) -> None:
        self.change(lambda journal: journal.model_copy(update={"log": (*journal.log, line)[-SHOWN:]}))


def _load(folder: Path) -> Journal:
    """A monitor that did not start for a damaged file would watch nothing: it is set aside, and begun anew."""
    try:
        return load_journal(folder)
    except BadInput as error:
        file, aside = folder / FILE, folder / f"{FILE}.damaged"
        try:
            file.replace(aside)
        except OSError:
            raise error from None
        logger.warning("%s; it is now %s: what it had begun is not finished", error.message, aside)
        return Journal()


@contextmanager
def opened(folder: Path) -> Iterator[Kept]:
    """The journal, for this process alone. Raises `Conflict` where another one has it."""
    folder.mkdir(parents=True, exist_ok=True)
    busy = Conflict(
        f"another process responds to the alarms in {folder}", hint="the monitor that runs there tries again by itself"
    )
    with locked(folder / LOCK, busy):
        yield Kept(folder)
