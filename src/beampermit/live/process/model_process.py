"""The model of a version in service, in a process of its own that is started again whenever it fails."""

from __future__ import annotations

import logging
import tempfile
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from beampermit.errors import BeampermitError
from beampermit.live.loop import ModelError, NotLoaded
from beampermit.live.process.child import Child, Gone
from beampermit.live.process.policy import next_wait, too_much_memory
from beampermit.live.promoted.words import plain

if TYPE_CHECKING:
    import numpy as np

    from beampermit.contract import Contract
    from beampermit.environments import Environment

logger = logging.getLogger(__name__)
LOADING = 120.0
"""Seconds until a model has to be loaded, and to have answered for the first time."""
LOADS = "the model is being loaded"
LOOK = 1.0
"""Seconds between two looks at the process."""


class ModelProcess:
    """A `Model`. A thread starts the process, looks after it, and starts another one where it fails.

    `verify` is called before each start and raises a `BeampermitError` where the folder must not be loaded; `on_ready`
    is called, from that thread, when a process is ready to be asked.
    """

    def __init__(
        self,
        environment: Environment,
        folder: Path,
        contract: Contract,
        *,
        rows: int = 1,
        verify: Callable[[], None] = lambda: None,
        on_ready: Callable[[], None] = lambda: None,
    ):
        self._environment, self._folder, self._contract, self._rows = environment, folder, contract, rows
        self._verify, self._on_ready = verify, on_ready
        self._asking = threading.Lock()
        self._changed = threading.Condition()
        """Guards what follows; taken after `_asking` where both are."""
        self._child: Child | None = None
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

    def start(self) -> None:
        """Begin to load the model; `ask` says so until it is ready."""
        self._thread.start()

    def ask(self, inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        with self._asking:
            child = self._child
            if child is None:
                raise NotLoaded(LOADS) if self._problem == LOADS else ModelError(self._problem)
            try:
                return child.ask(inputs)
            except Gone as error:
                raise ModelError(self._lose(child, str(error))) from None

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
                self._child = None
                self._dead.append(child)
                self._fail(reason, child.answered_for)
                self._changed.notify()
            return self._problem

    def _fail(self, reason: str, answered_for: float = 0.0) -> None:
        self._waited = next_wait(self._waited, answered_for)
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
            self._child = None
            self._dead.append(child)
            self._fail(ended, child.answered_for)
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
                self._fail(reason)
            return
        with self._asking, self._changed:
            if self._child is not None:
                self._dead.append(self._child)
            self._child, self._loading = child, None
            self._replace, self._settled = "", child.resident()
        self._on_ready()

    def _loaded(self) -> Child:
        """A process that can be asked. Raises `ModelError`, `OSError`, and what `verify` raises."""
        self._verify()
        child = Child(self._environment, self._folder, self._contract, self._working_folder())
        with self._changed:
            self._loading = child
            if self._closed:
                child.kill()
        try:
            child.wait_until_ready(self._rows, time.monotonic() + LOADING)
        except BaseException:
            with self._changed:
                self._loading = None
                self._dead.append(child)
            raise
        return child

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
