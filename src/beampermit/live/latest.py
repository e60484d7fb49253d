"""The latest sample of each input PV, written by the threads of the sources and read once a cycle."""

from __future__ import annotations

import math
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import IntEnum
from itertools import islice
from math import inf, nan
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from beampermit.contract.words import listed, number_of, unknown

if TYPE_CHECKING:
    from beampermit.live.wiring import Wiring

WAITING = 8
"""Rows that may wait: at 15 Hz, those of half a second."""
ROOM = 64 * 2**20
"""Bytes of their arrays; one row may wait however large they are."""
WAITS = 0.5
"""Seconds that rows wait while newer ones are there: a model that is too slow for good shows what is not much older."""


class Fault(IntEnum):
    """Why a PV has no value, in the order in which one is told of several."""

    NONE = 0
    NEVER = 1
    """Nothing has arrived yet."""
    DISCONNECTED = 2
    WRONG_TYPE = 3
    WRONG_SHAPE = 4
    UNKNOWN_WORD = 5


@dataclass(frozen=True)
class Readings:
    """A copy of all PVs. Each array has one place a PV, input after input, as `Layout` of the wiring has them."""

    lowest: np.ndarray
    """The smallest number of a value: of a scalar the value itself. NaN where a number is."""
    highest: np.ndarray
    time: np.ndarray
    """Of the source, s since 1970."""
    arrived: np.ndarray
    """When that time was seen first, by the clock of `Latest`: the same time again is nothing new."""
    severity: np.ndarray
    fault: np.ndarray
    count: np.ndarray
    """Samples and disconnects so far: tells whether something is new."""
    messages: tuple[str, ...]
    """What the source says beside a severity or a fault."""
    arrays: Mapping[int, np.ndarray]
    """Number of an input that is no scalar -> (pvs, *shape)."""


class _Sample(NamedTuple):
    """What has arrived of a PV and is judged; `number` is None where there is a fault."""

    wire: int
    pv: int
    number: object
    lowest: float
    """The smallest of its numbers; NaN where there is a fault."""
    highest: float
    fault: Fault
    message: str
    at: float
    severity: int
    arrived: float
    """By the clock of `Latest`."""
    since: float
    """By the monotonic clock."""


class Latest:
    """Thread-safe. `on_change` is called after each sample, from the thread of its source or of whoever reads, with
    input and PV number, the time of the source, s since 1970, and when it arrived, by the monotonic clock. Of a PV that
    has no value, that time is infinite: there is nothing to wait for.
    """

    def __init__(
        self,
        wiring: Wiring,
        on_change: Callable[[int, int, float, float], object] = lambda *_: None,
        *,
        newest: Callable[[], bool] | None = None,
    ):
        """`newest`, of snapshots: whether the newest of the rows that wait are those of the shot that is to come; else
        their times say it. Of no snapshots, rows that have waited for long are passed over.
        """
        self._lock = threading.Lock()
        self._on_change = on_change
        self._shapes = [wire.signal.shape for wire in wiring.inputs]
        self._words = [wire.signal.words for wire in wiring.inputs]
        layout = wiring.layout
        self._first, self._low, self._high = layout.first, layout.low.tolist(), layout.high.tolist()
        places = len(layout.pvs)
        self.clock: Callable[[], float] = time.monotonic
        """Arrivals are by this clock, which nobody sets; of a replay it is the recorded one."""
        self._lowest, self._highest, self._time, self._arrivals = (np.full(places, np.nan) for _ in range(4))
        self._severity = np.zeros(places, np.int8)
        self._fault = np.full(places, Fault.NEVER, np.int8)
        self._count = np.zeros(places, np.int64)
        self._messages = [""] * places
        self._unread = [False] * places
        self._due = False
        """Whether all that the next rows are made of is there."""
        self._begins = False
        """Whether rows that waited have begun, of which it is not known yet."""
        self._coming: set[int] = set()
        """Places of PVs with a sample of which no rows were made."""
        self._waiting: deque[dict[int, _Sample]] = deque()
        """Rows after the next, while those are due: place of a PV -> its sample."""
        numbers = sum(len(wire.pvs) * math.prod(wire.signal.shape) for wire in wiring.inputs)
        self._most = max(1, min(WAITING, ROOM // (8 * max(numbers, 1))))
        self._newest = newest
        self._patience = float(np.min(layout.stale_after, initial=2 * WAITS)) / 2
        self._arrays = {
            number: np.full((len(wire.pvs), *wire.signal.shape), np.nan)
            for number, wire in enumerate(wiring.inputs)
            if wire.signal.shape and wire.pvs
        }
        self._dropped = 0
        self._arrived = 0.0

    def put(self, wire: int, pv: int, value: object, at: float, severity: int, message: str = "") -> None:
        """The value of PV number `pv` of input number `wire`; `at` in s since 1970, by the source's clock.

        A value that is no number, or of another shape than the contract's, is a fault of that PV. Of an input with
        words the value is one of them, as text.
        """
        shape = self._shapes[wire]
        if words := self._words[wire]:
            number, fault, why = as_number_of_word(value, words)
        else:
            plain = not shape and type(value) is float
            number, fault, why = (value, Fault.NONE, "") if plain else as_number(value, shape)
        ends = _ends(number) if fault == Fault.NONE else (nan, nan)  # before the lock, which others wait for
        now = time.monotonic()
        sample = _Sample(wire, pv, number, *ends, fault, why or message, float(at), int(severity), self.clock(), now)
        place = self._first[wire] + pv
        with self._lock:
            if self._is_of_later_rows(place, sample):
                self._wait(place, sample)
                return
            self._catch_up(place)
            self._store(place, sample)
        self._on_change(wire, pv, sample.at, now)

    def fail(self, wire: int, pv: int, fault: Fault, message: str = "") -> None:
        """The PV has no value: disconnected, or of a type that is not read."""
        now = time.monotonic()
        place = self._first[wire] + pv
        with self._lock:
            self._catch_up(place)
            self._note(place, fault, message, now)
        self._on_change(wire, pv, inf, now)

    def rows_are_due(self) -> None:
        """What there is now is for the rows of the next `read`, and what arrives until then for those after them."""
        with self._lock:
            self._due = True

    def read(self, due: bool = True) -> Readings:
        """What there is now; from here on, what is replaced before the next call counts as dropped.

        Where rows are `due`, they are made of it: the rows that waited after them take its place, until some are due.
        """
        with self._lock:
            self._unread = [False] * len(self._unread)
            readings = Readings(
                self._lowest.copy(),
                self._highest.copy(),
                self._time.copy(),
                self._arrivals.copy(),
                self._severity.copy(),
                self._fault.copy(),
                self._count.copy(),
                tuple(self._messages),
                {number: values.copy() for number, values in self._arrays.items()},
            )
            if not due:
                return readings
            self._coming.clear()
            self._due = False
            begun = self._begin_rows()
        try:
            while begun:
                for sample in begun:
                    self._on_change(sample.wire, sample.pv, sample.at, sample.since)
                with self._lock:
                    begun = self._begin_rows()
        finally:
            self._begins = False
        return readings

    @property
    def dropped(self) -> int:
        """Samples that newer ones replaced before they were read."""
        return self._dropped

    @property
    def arrived(self) -> float:
        """When the last sample arrived, by the monotonic clock; 0 before the first."""
        return self._arrived

    def _is_of_later_rows(self, place: int, sample: _Sample) -> bool:
        """What is worse than what came before it never waits."""
        if not (self._due or self._begins) or place not in self._coming:
            return False
        before = next((rows[place] for rows in reversed(self._waiting) if place in rows), None)
        if before:
            severity, sound = before.severity, self._is_sound(place, before.fault, before.lowest, before.highest)
        else:
            severity = self._severity[place]
            sound = self._is_sound(place, self._fault[place], self._lowest[place], self._highest[place])
        if sample.severity > severity:
            return False
        return not sound or self._is_sound(place, sample.fault, sample.lowest, sample.highest)

    def _is_sound(self, place: int, fault: int, lowest: float, highest: float) -> bool:
        # NaN is neither.
        return fault == Fault.NONE and self._low[place] <= lowest and highest <= self._high[place]

    def _begin_rows(self) -> list[_Sample]:
        """The next of the rows that wait; none where rows are due, or none waits."""
        self._begins = bool(self._waiting) and not self._due
        if not self._begins:
            return []
        while len(self._waiting) > 1 and self._is_passed_over(*islice(self._waiting, 2)):
            self._dropped += len(self._waiting.popleft())
        return self._begin_next()

    def _is_passed_over(self, rows: dict[int, _Sample], after: dict[int, _Sample]) -> bool:
        """Whether rows are not wanted any more, and those after them are whole."""
        if len(after) < len(rows):
            return False
        if self._newest:
            return self._newest()
        return time.monotonic() - min(sample.since for sample in rows.values()) > self._patience

    def _wait(self, place: int, sample: _Sample) -> None:
        """Where as many wait as may, the oldest rows are lost: as a whole, once the last ones are complete."""
        for rows in self._waiting:
            if place not in rows:
                rows[place] = sample
                return
        if self._waiting and len(last := self._waiting[-1]) < len(self._coming):
            self._dropped += 1
            last[place] = sample
            return
        if len(self._waiting) == self._most:
            self._begin_next()
        self._waiting.append({place: sample})

    def _catch_up(self, place: int) -> None:
        """What waits takes its place: rows with something worse are of the newest of all PVs. They are due already, so
        nobody is told. What is late for the rows that are due leaves what waits."""
        if place not in self._coming:
            return
        while self._waiting and len(self._waiting[0]) >= len(self._coming):
            self._begin_next()
        if self._waiting:  # nothing of this PV that is older comes after it
            self._dropped += sum(rows.pop(place, None) is not None for rows in self._waiting)
            self._waiting = deque(filter(None, self._waiting))

    def _begin_next(self) -> list[_Sample]:
        """The first rows that wait take their place."""
        begun = self._waiting.popleft()
        for place, sample in begun.items():
            self._store(place, sample)
        return [*begun.values()]

    def _store(self, place: int, sample: _Sample) -> None:
        if sample.fault == Fault.NONE:
            if self._shapes[sample.wire]:
                self._arrays[sample.wire][sample.pv] = sample.number
            self._lowest[place], self._highest[place] = sample.lowest, sample.highest
        if sample.at != self._time[place]:
            self._time[place], self._arrivals[place] = sample.at, sample.arrived
        self._severity[place] = sample.severity
        self._note(place, sample.fault, sample.message, sample.since)

    def _note(self, place: int, fault: Fault, message: str, since: float) -> None:
        self._dropped += self._unread[place]
        self._unread[place] = True
        self._coming.add(place)
        self._fault[place], self._messages[place] = fault, message
        self._count[place] += 1
        self._arrived = since


def _ends(number: Any) -> tuple[float, float]:
    """The smallest and the largest number."""
    return (number, number) if isinstance(number, float) else (np.min(number), np.max(number))


def as_number(value: object, shape: tuple[int, ...]) -> tuple[object, Fault, str]:
    """The value as what can be stored, of the shape, or what is wrong with it."""
    try:
        if type(value) is int and not shape:
            return float(value), Fault.NONE, ""
        raw = np.asarray(value)
        number = raw.astype(np.float64) if _is_numbers(raw) else None
    except (TypeError, ValueError, OverflowError):
        number = None
    if number is None:
        return None, Fault.WRONG_TYPE, f"{type(value).__name__} instead of a number"
    if number.shape == shape:
        return number, Fault.NONE, ""
    if number.ndim <= 1 and number.size == int(np.prod(shape)):
        return number.reshape(shape), Fault.NONE, ""  # an image row after row; a waveform of one element as a scalar
    return None, Fault.WRONG_SHAPE, f"{_words(number.shape)} instead of {_words(shape)}"


def as_number_of_word(value: object, words: tuple[str, ...]) -> tuple[object, Fault, str]:
    """The number of a word, or what is wrong with it; NaN, which no source has for a word, where nothing was said."""
    if isinstance(value, float) and np.isnan(value):
        return value, Fault.NONE, ""
    if isinstance(value, str):
        number = number_of(value, words)
        known = number is not None
        return number, Fault.NONE if known else Fault.UNKNOWN_WORD, "" if known else unknown(value, words)
    return None, Fault.WRONG_TYPE, f"{type(value).__name__} instead of one of the words {listed(words)}"


def _is_numbers(raw: np.ndarray) -> bool:
    """No text, though it may look like a number; objects such as decimals are for numpy to judge."""
    kind = raw.dtype.kind
    return kind in "biuf" or (kind == "O" and not any(isinstance(one, str | bytes) for one in raw.flat))


def _words(shape: tuple[int, ...]) -> str:
    return f"{' x '.join(map(str, shape))} values" if shape else "one value"
