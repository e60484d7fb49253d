"""What an output shows while there is no answer: nothing, the last value for a while, or the contract's default."""

from __future__ import annotations

import numpy as np

from beampermit.contract.service import Fallback
from beampermit.contract.signals import Signal
from beampermit.live.rows import Invalid
from beampermit.live.severity import Severity, Status
from beampermit.live.update import Value

NOTHING_TO_SAY = (Status.DISABLE, Status.UDF)
"""No permit, or no value yet: whatever the contract declares, nothing is shown."""


class LastGood:
    """Of one output PV: its last answer, and what is shown in its place."""

    def __init__(self, output: Signal, fallback: Fallback):
        self._output, self._fallback = output, fallback
        self._value: Value | None = None
        self._at = -np.inf

    def keep(self, value: Value, now: float) -> None:
        """`now` is in s, by a clock that nobody sets."""
        self._value, self._at = value, now

    def instead(self, problem: Invalid, newest: float, now: float) -> Value:
        """What is shown because of `problem`; `newest` is the time of the newest input. Held and default values are
        MAJOR.
        """
        choice = self._choice(problem, now)
        if choice == "held" and self._value is not None:
            held = self._value
            words = f"held, because {problem.message}"
            return Value(held.value, Severity.MAJOR, problem.status, words, held.newest, "held")
        if choice == "default" and self._output.default is not None:
            words = f"default, because {problem.message}"
            return Value(self._filled(self._output.default), Severity.MAJOR, problem.status, words, newest, "default")
        return Value(self._filled(np.nan), Severity.INVALID, problem.status, problem.message, newest, "none")

    def _choice(self, problem: Invalid, now: float) -> str:
        if problem.status in NOTHING_TO_SAY:
            return "none"
        if self._fallback.on_invalid != "hold":
            return self._fallback.on_invalid
        if self._value is not None and now - self._at <= (self._fallback.hold_for or 0.0):
            return "held"
        return self._fallback.then

    def _filled(self, value: float) -> float | np.ndarray:
        return np.full(self._output.shape, value) if self._output.shape else value
