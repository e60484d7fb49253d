"""One PV, whoever reads it, and the protocol that answers for it."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Protocol as Interface

from beampermit.live.epics.addresses import Protocol
from beampermit.live.epics.sample import Choice, Sample, Unreadable, reading_of, word_of
from beampermit.live.latest import Fault, Latest
from beampermit.live.trigger import Trigger


class Reader(Interface):
    """Of a PV: an input, or what makes rows."""

    fresh_for: float
    """s; a sample that is older may be read again. Infinite where any will do."""
    words: bool
    """Whether it needs the labels of an enum."""

    def take(self, sample: Sample) -> None: ...

    def refuse(self, words: str) -> None:
        """The server answers, and gives no value; `words` follow "NAME has"."""
        ...

    def lose(self) -> None:
        """The PV is disconnected."""
        ...

    def fail(self, words: str) -> None:
        """Nobody knows whether it is there: the service cannot ask. `words` follow "NAME has"."""
        ...


class Feed:
    """Two protocols may be asked for a PV: the first that answers is read, until it is disconnected.

    Called by the threads of both protocols. `wake` tells whoever asks that something has changed.
    """

    def __init__(self, name: str, protocols: tuple[Protocol, ...], readers: list[Reader], wake: Callable[[], None]):
        self.name, self.protocols, self.readers = name, protocols, readers
        self.answering: Protocol | None = None
        self.silent_since = time.monotonic()
        """Since when nobody answers, by the monotonic clock."""
        self.arrived = self.silent_since
        self.words = any(reader.words for reader in readers)
        """Whether labels of an enum are read; over CA they come in place of its index."""
        self._fresh_for = min(reader.fresh_for for reader in readers)
        self._wake, self._lock = wake, threading.Lock()

    def take(self, protocol: Protocol, sample: Sample) -> None:
        if self.answering != protocol and not self._claim(protocol):
            return
        self.arrived = time.monotonic()
        for reader in self.readers:
            reader.take(sample)

    def refuse(self, protocol: Protocol, words: str) -> None:
        """The server answers, and gives no value."""
        if self.answering == protocol or self._claim(protocol):
            for reader in self.readers:
                reader.refuse(words)

    def fresh(self, now: float) -> bool:
        """Whether there is no need to read the PV: a record that is processed and keeps its value sends nothing."""
        return now - self.arrived < self._fresh_for

    def lose(self, protocol: Protocol) -> None:
        with self._lock:
            if self.answering != protocol:
                return
            for reader in self.readers:
                reader.lose()
            self.answering, self.silent_since = None, time.monotonic()
        self._wake()

    def fail(self, words: str) -> None:
        """The service itself cannot read the PV; it is asked for anew."""
        with self._lock:
            self.answering, self.silent_since = None, time.monotonic()
        for reader in self.readers:
            reader.fail(words)

    def _claim(self, protocol: Protocol) -> bool:
        with self._lock:
            if self.answering is None:
                self.answering = protocol
        self._wake()
        return self.answering == protocol


class InputReader:
    """Writes the samples of one input's PV; `column` of a table. `words`: the input is a text or an enum's label."""

    def __init__(
        self,
        latest: Latest,
        wire: int,
        pv: int,
        column: str = "",
        stale_after: float | None = None,
        *,
        words: bool = False,
    ):
        self._latest, self._wire, self._pv, self._column, self.words = latest, wire, pv, column, words
        self.fresh_for = float("inf") if stale_after is None else stale_after / 3

    def take(self, sample: Sample) -> None:
        value, at, severity, message = sample
        if type(value) is not float or self._column:
            value = word_of(value) if self.words else reading_of(value, self._column)
            if isinstance(value, Unreadable):
                self.refuse(value.words)
                return
        self._latest.put(self._wire, self._pv, value, at, severity, message)

    def refuse(self, words: str) -> None:
        self._latest.fail(self._wire, self._pv, Fault.WRONG_TYPE, words)

    def lose(self) -> None:
        self._latest.fail(self._wire, self._pv, Fault.DISCONNECTED)

    def fail(self, words: str) -> None:
        self.refuse(words)


class SnapshotReader:
    """Rows are made at each update of `serving.snapshot`, whatever it says; the first after a connection is none."""

    fresh_for = float("inf")
    words = False

    def __init__(self, trigger: Trigger, name: str):
        self._trigger, self._name = trigger, name
        self._last: Sample | None = None
        trigger.lose(f"{name} has sent nothing yet")

    def take(self, sample: Sample) -> None:
        last, self._last = self._last, sample
        if last is None or _read_again(sample, last):
            self._trigger.find()
        else:
            self._trigger.snap(sample.at)

    def refuse(self, words: str) -> None:
        self._trigger.lose(f"{self._name} has {words}")

    def fail(self, words: str) -> None:
        self._last = None
        self.refuse(words)

    def lose(self) -> None:
        self._last = None
        self._trigger.lose(f"{self._name} is disconnected")


def _read_again(sample: Sample, last: Sample) -> bool:
    """Whether this is no update: the PV is an input too, and was read to see how old it is."""
    kind = type(sample.value)
    if kind not in (float, int, str, Choice) or kind is not type(last.value):
        return False  # an array of one value comes as a number: the one before may have had more
    return (sample.value, sample.at) == (last.value, last.at)
