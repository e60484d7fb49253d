"""The process of a model that is on its way: what models need is imported while the model is fetched and verified."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from beampermit.environments import Environment
    from beampermit.live.process.ahead import Ahead
    from beampermit.live.process.model_process import ModelProcess
    from beampermit.live.promoted.promoted import Declared, Promoted


class EarlyProcess:
    """At most one, of the version that was begun last. It waits for its model. Any thread may call the methods.

    It is the one that was started `ahead` of the ledger, where that was started as this version needs it.
    """

    def __init__(self, ahead: Ahead | None = None) -> None:
        self._ahead = ahead
        self._lock = threading.Lock()
        self._of: tuple[object, ...] = ()
        self._process: ModelProcess | None = None
        self._closed = False

    def begin(self, declared: Declared, environment: Environment) -> None:
        """Start a process in the environment of a version whose permit is believed."""
        from beampermit.live.process.model_process import ModelProcess

        process = ModelProcess(environment, declared.contract, self._ahead)
        self._end_begun()
        with self._lock:
            if self._closed:
                return
            self._of, self._process = _key(declared, environment), process
            process.start()

    def take(self, promoted: Promoted) -> ModelProcess | None:
        """The process that was begun for this version; whoever takes it has to close it."""
        with self._lock:
            if self._of == _key(promoted, promoted.environment):
                taken, self._process, self._of = self._process, None, ()
                return taken
            unused = None if self._of else self._ahead
        if unused:  # the environment is installed only now
            unused.end()
        return None

    def end(self) -> None:
        """End the process that nobody took."""
        self._end_begun()
        if self._ahead:
            self._ahead.end()

    def _end_begun(self) -> None:
        with self._lock:
            left, self._process, self._of = self._process, None, ()
        if left:
            left.close()

    def close(self) -> None:
        """End it, and begin no other one."""
        with self._lock:
            self._closed = True
        self.end()


def _key(declared: Declared, environment: Environment) -> tuple[object, ...]:
    return declared.version, declared.statement.digest, environment
