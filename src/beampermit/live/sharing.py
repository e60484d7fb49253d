"""One model for the inference loop, which goes first, and for whoever else asks it."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    import numpy as np


class ModelError(Exception):
    """The model did not answer; the message says why, in the words of an operator."""


class NotLoaded(ModelError):
    """It is being loaded for the first time: nothing failed, and there is no answer yet."""


class Raised(ModelError):
    """Its own code raised an error: it may answer for other rows."""


class Busy(Exception):
    """The model had no time."""


class Model(Protocol):
    """A loaded model. `ask` is called by one thread at a time."""

    @property
    def restarts(self) -> int: ...

    def ask(self, inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Input -> array of shape (rows, *shape) gives output -> array of shape (rows, *shape).

        Raises `Raised` where the model raises, another `ModelError` where it hangs, ends or is not there; it never
        waits longer than `serving.timeout`.
        """
        ...


class SharedModel:
    """Asks `model` from one thread at a time. The loop waits for one answer at most, never for a queue."""

    def __init__(self, model: Model):
        self._model = model
        self._free = threading.Condition()
        self._taken = self._loop_waits = False

    @property
    def restarts(self) -> int:
        return self._model.restarts

    @property
    def ready(self) -> bool:
        """Whether it is loaded; a model that does not say so is."""
        return getattr(self._model, "ready", True)

    @contextmanager
    def taken(self) -> Iterator[Model]:
        """The model, for all questions of a cycle of the loop."""
        with self._free:
            self._loop_waits = True
            self._free.wait_for(lambda: not self._taken)
            self._taken, self._loop_waits = True, False
        with self._released():
            yield self._model

    def ask_after_the_loop(self, inputs: Mapping[str, np.ndarray], until: float) -> dict[str, np.ndarray]:
        """For others, with no more rows than the loop itself asks for: it may have to wait for this answer.

        Raises `ModelError`, or `Busy` where the model has no time before `until`, by the monotonic clock.
        """
        with self._free:
            if not self._free.wait_for(lambda: not self._taken and not self._loop_waits, until - time.monotonic()):
                raise Busy
            if time.monotonic() >= until:  # the model is free, and the one question before took all the time
                raise Busy
            self._taken = True
        with self._released():
            return self._model.ask(inputs)

    @contextmanager
    def _released(self) -> Iterator[None]:
        try:
            yield
        finally:
            with self._free:
                self._taken = False
                self._free.notify_all()
