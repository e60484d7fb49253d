"""The model of a version in service, in a process of its own that is started again whenever it fails."""

from __future__ import annotations

import logging
import tempfile
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from beampermit.errors import BeampermitError
from beampermit.live.process.child import Child
from beampermit.live.process.policy import GOOD, next_wait, too_much_memory
from beampermit.live.process.starting import Start
from beampermit.live.promoted.words import plain
from beampermit.live.sharing import Gone, ModelError, NotLoaded

if TYPE_CHECKING:
    import numpy as np

    from beampermit.contract import Contract
    from beampermit.environments import Environment
    from beampermit.live.process.ahead import Ahead

logger = logging.getLogger(__name__)
LOADING = 120.0
"""Seconds until a model has to be loaded, and to have answered for the first time."""
LOADS = "the model is being loaded"
LOOK = 1.0
"""Seconds between two looks at the process."""


@dataclass(frozen=True)
class _Saved:
    """A model that may be loaded."""

    folder: Path
    rows: int
    verify: Callable[[], None]
    on_ready: Callable[[], None]


class ModelProcess:
    """A `Model`. A thread starts the process, looks after it, and starts another one where it fails.

    It may be started before the model is there: its process then imports what models need, and waits for `load`.
    """

    def __init__(self, environment: Environment, contract: Contract, ahead: Ahead | None = None):
        """`ahead` may have the first process."""
        self._environment, self._contract, self._ahead = environment, contract, ahead
        self._saved: _Saved | None = None
        self._asking = threading.Lock()
        self._changed = threading.Condition()
        """Guards what follows; taken after `_asking` where both are."""
        self._child: Child | None = None
        self._ready_since = 0.0
        """When it became ready, by the monotonic clock."""
        self._loading: Child | None = None
        self._dead: list[Child] = []
        self._problem = LOADS
        self._replace = ""
        """Why another process is to take over from the one that answers."""
        self._settled = 0
        self._starts = 0
        self._waited, self._next_start = 0.0, 0.0
        self._closed = False
        self._scratch: tempfile.TemporaryDirectory[str] | None = None
        # One thread for all starts: a process ends with the thread that started it.
        self._thread = threading.Thread(target=self._look_after, name="model's process", daemon=True)

    @property
    def restarts(self) -> int:
        return max(self._starts - 1, 0)

    @property
    def ready(self) -> bool:
        """Whether a process is there that has loaded the model."""
        return self._child is not None

    @property
    def recovers_in(self) -> float:
        """Seconds until a process has been ready for long enough that failures before are forgotten."""
        return max(GOOD - self._ready_for, 0.0)

    @property
    def _ready_for(self) -> float:
        return time.monotonic() - self._ready_since if self._child else 0.0

    @property
    def closed(self) -> bool:
        return self._closed

    def start(self) -> None:
        """Start a process; `ask` says that the model is being loaded until it is."""
        self._thread.start()

    def load(
        self,
        folder: Path,
        *,
        rows: int = 1,
        verify: Callable[[], None] = lambda: None,
        on_ready: Callable[[], None] = lambda: None,
    ) -> None:
        """Let this saved model be loaded, once, and be asked for `rows` before it is ready.

        `verify` is called before each time and raises a `BeampermitError` where the folder must not be loaded;
        `on_ready` is called, from the thread that looks after the process, when one is ready to be asked.
        """
        with self._changed:
            self._saved = _Saved(folder, rows, verify, on_ready)
            self._changed.notify()

    def ask(self, inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        with self._asking:
            child = self._child
            if child is None:
                raise NotLoaded(LOADS) if self._problem == LOADS else ModelError(self._problem)
            try:
                return child.ask(inputs)
            except Gone as error:
                problem = self._lose(child, str(error))
                raise (ModelError if self._closed else Gone)(problem) from None

    def restart(self) -> None:
        """Replace the process; the one that answers goes on until the other is ready."""
        with self._changed:
            self._replace, self._next_start = "somebody asked for it", 0.0
            self._changed.notify()

    def close(self) -> None:
        """End the process and all that it started."""
        with self._changed:
            self._closed = True
            for child in filter(None, (self._child, self._loading)):
                child.kill()
            self._changed.notify()
        if self._thread.ident:
            self._thread.join()

    def _lose(self, child: Child, reason: str) -> str:
        """The process is of no more use. Gives the words for whoever asks until there is another."""
        child.kill()
        with self._changed:
            if self._child is child:
                self._end(child, reason)
                self._changed.notify()
            return self._problem

    def _end(self, child: Child, reason: str) -> None:
        ready_for, self._child = self._ready_for, None
        self._dead.append(child)
        self._fail(reason, ready_for)

    def _fail(self, reason: str, ready_for: float = 0.0) -> None:
        self._waited = next_wait(self._waited, ready_for)
        self._next_start = time.monotonic() + self._waited
        logger.warning("%s; a start follows in %g s", reason, self._waited)
        if self._child is None:
            self._problem = f"{reason}; its process is started again"

    def _look_after(self) -> None:
        try:
            while self._wait_for_a_start():
                self._start_one()
        finally:
            self._dead += filter(None, (self._child, self._loading))
            self._bury()
            if self._scratch:
                self._scratch.cleanup()

    def _wait_for_a_start(self) -> bool:
        """False where there is none to wait for: it is closed."""
        while True:
            if self._dead:
                self._bury()
            with self._changed:
                if self._closed:
                    return False
                self._look()
                wanted = self._child is None or bool(self._replace)
                left = self._next_start - time.monotonic() if wanted else LOOK
                if left <= 0:
                    return True
                if not self._dead:
                    self._changed.wait(min(left, LOOK))

    def _look(self) -> None:
        """Whether the process is there, and not too large."""
        child = self._child
        if child is None:
            return
        if ended := child.ended:
            child.kill()
            self._end(child, ended)
        elif not self._replace:
            self._replace = too_much_memory(child.resident(), self._settled, self._contract.budget.memory)

    def _start_one(self) -> None:
        if self._replace and self._child is not None:
            logger.warning("the model gets another process: %s", self._replace)
        self._starts += 1
        try:
            child = self._loaded()
        except Exception as error:
            reason = str(error)
            if not isinstance(error, ModelError):
                reason = f"the model's process cannot be started: {plain(error)}"
            if not isinstance(error, ModelError | BeampermitError | OSError):
                logger.exception("a start failed")
            with self._changed:
                if not self._closed:
                    self._fail(reason)
            return
        with self._asking, self._changed:
            if self._child is not None:
                self._dead.append(self._child)
            self._ready_since = time.monotonic()  # before anybody sees the process
            self._child, self._loading = child, None
            self._replace, self._settled = "", child.resident()
            ready = self._saved
        if ready:
            ready.on_ready()

    def _loaded(self) -> Child:
        """A process that can be asked. Raises `ModelError`, `OSError`, and what `verify` raises."""
        with self._changed:
            saved = self._saved
        if saved:
            saved.verify()  # no process is started for a model that must not be loaded
        ahead, self._ahead = self._ahead, None
        started = ahead.take(Start.of(self._environment, self._contract)) if ahead else None
        child = Child(self._environment, self._contract, self._working_folder(), started)
        with self._changed:
            self._loading = child
            if self._closed:
                child.kill()
        try:
            if saved is None:
                saved = self._awaited()
                saved.verify()
            child.wait_until_ready(saved.folder, saved.rows, time.monotonic() + LOADING)
        except BaseException:
            with self._changed:
                self._loading = None
                self._dead.append(child)
            raise
        return child

    def _awaited(self) -> _Saved:
        """The model, once it is there. Raises `Gone` where it is closed before."""
        with self._changed:
            while self._saved is None:
                if self._closed:
                    raise Gone("no model came to be loaded")
                self._changed.wait()
            return self._saved

    def _working_folder(self) -> Path:
        """An empty one, for all processes. Raises `OSError`. Looked for at each start: a cleaner may take it away."""
        if self._scratch and not Path(self._scratch.name).is_dir():
            self._scratch.cleanup()
            self._scratch = None
        if self._scratch is None:
            self._scratch = tempfile.TemporaryDirectory(prefix="beampermit-", ignore_cleanup_errors=True)
        return Path(self._scratch.name)

    def _bury(self) -> None:
        """Wait for processes that were killed: not in `ask`, for it may take a while until their memory is free."""
        with self._asking:  # nobody asks one of them any more
            dead, self._dead = self._dead, []
        for child in dead:
            child.end()
