"""One model for the inference loop, which goes first, and for whoever else asks it."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    import numpy as np

logger = logging.getLogger(__name__)


class ModelError(Exception):
    """The model did not answer; the message says why, in the words of an operator."""


class NotLoaded(ModelError):
    """It is being loaded for the first time: nothing failed, and there is no answer yet."""


class Raised(ModelError):
    """Its own code raised an error: it may answer for other rows."""


class Gone(ModelError):
    """Its process ended, or has to be, and everybody is without answers until there is another."""


class Busy(Exception):
    """The model had no time for anybody but the loop."""


class Paused(Busy):
    """It has none for `left` seconds, or longer; the message says why."""

    def __init__(self, why: str, left: float):
        super().__init__(why)
        self.left = left


class Model(Protocol):
    """A loaded model. `ask` is called by one thread at a time."""

    @property
    def restarts(self) -> int: ...

    def ask(self, inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Input -> array of shape (rows, *shape) gives output -> array of shape (rows, *shape).

        Raises `Raised` where the model raises, `Gone` where it hangs or ends, another `ModelError` where it is not
        there; it never waits longer than `serving.timeout`.
        """
        ...


class SharedModel:
    """Asks `model` from one thread at a time. The loop waits for one answer at most, never for a queue.

    A question of others that costs the model's process is followed by a pause, in which the loop alone asks: else
    whoever repeats it would keep the loop without answers.
    """

    def __init__(self, model: Model):
        self._model = model
        self._free = threading.Condition()
        self._taken = self._loop_waits = False
        self._cost = ""
        """What a question of others has done to the model's process, until that is over."""

    @property
    def restarts(self) -> int:
        return self._model.restarts

    @property
    def ready(self) -> bool:
        """Whether it is loaded; a model that does not say so is."""
        return getattr(self._model, "ready", True)

    def pause(self) -> float:
        """Seconds for which nobody but the loop may ask, or longer where another process is still to come."""
        with self._free:
            left: float = getattr(self._model, "recovers_in", 0.0) if self._cost else 0.0
            if not left:
                self._cost = ""
            return left

    @contextmanager
    def taken(self) -> Iterator[Model]:
        """The model, for all questions of a cycle of the loop."""
        with self._free:
            self._loop_waits = True
            self._free.wait_for(lambda: not self._taken)
            self._taken, self._loop_waits = True, False
            self.pause()  # if it is over, what comes now is not the fault of others
        with self._released():
            yield self._model

    def ask_after_the_loop(self, inputs: Mapping[str, np.ndarray], until: float) -> dict[str, np.ndarray]:
        """For others, with no more rows than the loop itself asks for: it may have to wait for this answer.

        Raises `ModelError`, or `Busy` where the model has no time before `until`, by the monotonic clock.
        """
        if left := self.pause():
            raise Paused(f"the model answers no questions until it has recovered from one before: {self._cost}", left)
        with self._free:
            if not self._free.wait_for(lambda: not self._taken and not self._loop_waits, until - time.monotonic()):
                raise Busy
            if time.monotonic() >= until:  # the model is free, and the one question before took all the time
                raise Busy
            self._taken = True
        with self._released():
            try:
                return self._model.ask(inputs)
            except Gone as error:
                with self._free:
                    self._cost = str(error)
                logger.warning("a question that is not the inference loop's has cost the model's process: %s", error)
                raise

    @contextmanager
    def _released(self) -> Iterator[None]:
        try:
            yield
        finally:
            with self._free:
                self._taken = False
                self._free.notify_all()
