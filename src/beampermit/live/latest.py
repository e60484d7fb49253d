"""The latest sample of each input PV, written by the threads of the sources and read once a cycle."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from enum import IntEnum
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from beampermit.live.wiring import Wire, Wiring


class Fault(IntEnum):
    """Why a PV has no value, in the order in which one is told of several."""

    NONE = 0
    NEVER = 1
    """Nothing has arrived yet."""
    DISCONNECTED = 2
    WRONG_TYPE = 3
    WRONG_SHAPE = 4


@dataclass(frozen=True)
class Readings:
    """A copy of all PVs of one input, each array with one place a PV."""

    values: np.ndarray
    """(pvs, *shape), float64."""
    time: np.ndarray
    """Of the source, s since 1970."""
    severity: np.ndarray
    fault: np.ndarray
    count: np.ndarray
    """Samples and disconnects so far: tells whether something is new."""
    messages: tuple[str, ...]
    """What the source says beside a severity or a fault."""


class Latest:
    """Thread-safe. `on_change` is called after each sample, from the thread of its source, with input and PV number."""

    def __init__(self, wiring: Wiring, on_change: Callable[[int, int], None] | None = None):
        self._lock = threading.Lock()
        self._on_change = on_change
        self._inputs = [_Input(wire) for wire in wiring.inputs]
        self._dropped = 0
        self._arrived = 0.0

    def put(self, wire: int, pv: int, value: object, at: float, severity: int, message: str = "") -> None:
        """The value of PV number `pv` of input number `wire`; `at` in s since 1970, by the source's clock.

        A value that is no number, or of another shape than the contract's, is a fault of that PV.
        """
        one = self._inputs[wire]
        number, fault, why = _number(value, one.shape)
        with self._lock:
            one.fault[pv], one.messages[pv] = fault, why or message
            one.time[pv], one.severity[pv] = at, severity
            if fault == Fault.NONE:
                one.values[pv] = number
            self._note(one, pv)
        if self._on_change:
            self._on_change(wire, pv)

    def fail(self, wire: int, pv: int, fault: Fault, message: str = "") -> None:
        """The PV has no value: disconnected, or of a type that is not read."""
        one = self._inputs[wire]
        with self._lock:
            one.fault[pv], one.messages[pv] = fault, message
            self._note(one, pv)
        if self._on_change:
            self._on_change(wire, pv)

    def read(self) -> tuple[Readings, ...]:
        """One for each input, in the contract's order; a constant has one PV that never changes."""
        with self._lock:
            for one in self._inputs:
                one.unread[:] = False
            return tuple(one.readings() for one in self._inputs)

    @property
    def dropped(self) -> int:
        """Samples that newer ones replaced before they were read."""
        return self._dropped

    @property
    def arrived(self) -> float:
        """When the last sample arrived, by the monotonic clock; 0 before the first."""
        return self._arrived

    def _note(self, one: _Input, pv: int) -> None:
        self._dropped += bool(one.unread[pv])
        one.unread[pv] = True
        one.count[pv] += 1
        self._arrived = time.monotonic()


class _Input:
    """The arrays behind `Readings`."""

    def __init__(self, wire: Wire):
        signal = wire.signal
        self.shape = signal.shape
        places = max(len(wire.pvs), 1)
        self.values = np.full((places, *self.shape), np.nan if signal.value is None else signal.value)
        self.time = np.full(places, np.nan)
        self.severity = np.zeros(places, np.int8)
        self.fault = np.full(places, Fault.NEVER if wire.pvs else Fault.NONE, np.int8)
        self.count = np.zeros(places, np.int64)
        self.messages = [""] * places
        self.unread = np.zeros(places, bool)

    def readings(self) -> Readings:
        return Readings(
            self.values.copy(),
            self.time.copy(),
            self.severity.copy(),
            self.fault.copy(),
            self.count.copy(),
            tuple(self.messages),
        )


def _number(value: object, shape: tuple[int, ...]) -> tuple[object, Fault, str]:
    """The value as what can be stored, or what is wrong with it."""
    try:
        number = np.asarray(value, np.float64)
    except (TypeError, ValueError):
        return None, Fault.WRONG_TYPE, f"{type(value).__name__} instead of a number"
    if number.shape == shape:
        return number, Fault.NONE, ""
    if number.ndim == 1 and number.size == int(np.prod(shape)) and shape:
        return number.reshape(shape), Fault.NONE, ""  # a waveform of an image, row after row
    return None, Fault.WRONG_SHAPE, f"{_words(number.shape)} instead of {_words(shape)}"


def _words(shape: tuple[int, ...]) -> str:
    return f"{' x '.join(map(str, shape))} values" if shape else "one value"
