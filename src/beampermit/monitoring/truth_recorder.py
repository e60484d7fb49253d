"""Truth PVs, subscribed: each sample is kept in the monitor's folder until predictions were compared with it.

A sample that is INVALID, of the future, without a time or of another shape is no truth. What a PV said while nobody
was subscribed is not known; an archiver knows it (`truth_archive.py`).
"""

from __future__ import annotations

import logging
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from beampermit.contract import Contract
from beampermit.errors import BadInput
from beampermit.live.epics.addresses import Address, parse_address
from beampermit.live.epics.feed import Feed
from beampermit.live.epics.sample import Sample, Unreadable, reading_of
from beampermit.live.extra import require_live
from beampermit.live.latest import as_number
from beampermit.live.severity import Severity
from beampermit.monitoring.truth_pvs import Samples, TruthPv
from beampermit.monitoring.truth_samples import SampleFiles

if TYPE_CHECKING:
    from beampermit.live.epics.subscriptions import Subscriptions

logger = logging.getLogger(__name__)
CONNECTED = 5.0
"""s that PVs have to say something before a window is judged without them."""
WRITTEN = 60.0
"""s after which samples are in a file: so much is lost where the monitor is killed."""
MOST_NUMBERS = 2**21
"""Of samples that are in no file yet; where the disk is full, the oldest are dropped."""


class _Kept(NamedTuple):
    pv: str
    time: float
    values: np.ndarray


class TruthRecorder:
    """Files are in `folder`, which is made with the first of them. Its threads are those of EPICS."""

    def __init__(self, folder: Path, clock: Callable[[], float] = time.time):
        self._files, self._clock = SampleFiles(folder), clock
        self._lock = threading.Lock()
        self._pending: list[_Kept] = []
        self._written = time.monotonic()
        self._readers: list[_Reader] = []
        self._subscriptions: Subscriptions | None = None
        self._followed: tuple[TruthPv, ...] = ()
        self._keep = 0.0

    def follow(self, pvs: Sequence[TruthPv], contract: Contract) -> None:
        """Subscribe them, unless they are, and wait a moment for what they say. Raises `BadInput` for a name that is
        none."""
        rule = contract.monitoring
        self._keep = 2 * (rule.window + rule.truth_after) + (rule.truth_lag or 0.0)
        if tuple(pvs) == self._followed:
            return
        self._leave()
        if pvs:
            self._subscribe(pvs, contract)
        self._followed = tuple(pvs)

    def read(self, since: float, until: float) -> Mapping[str, Samples]:
        self._write()
        self._files.tidy(until - self._keep)
        with self._lock:
            pending = list(self._pending)
        shapes = {pv.pv: int(np.prod(pv.output.shape)) for pv in self._followed}
        found = self._files.read(since, shapes)
        for pv, size in shapes.items():
            own = [one for one in pending if one.pv == pv and one.time >= since]
            if own:
                before = found.get(pv, Samples(np.zeros(0), np.zeros((0, size))))
                times, values = np.array([one.time for one in own]), np.stack([one.values for one in own])
                found[pv] = Samples(np.append(before.time, times), np.concatenate([before.values, values]))
        return found

    def note(self, pvs: Sequence[TruthPv]) -> str:
        names, skipped = {one.pv for one in pvs}, Counter[str]()
        for reader in self._readers:
            if reader.pv.pv in names:
                skipped += reader.skipped
        return ", ".join(f"{count} {'was' if count == 1 else 'were'} {why}" for why, count in sorted(skipped.items()))

    def faults(self) -> list[str]:
        damaged = [f"{file.name} cannot be read: {why}" for file, why in self._files.damaged.items()]
        return damaged + [f"{reader.pv.pv} {reader.fault}" for reader in self._readers if reader.fault]

    def close(self) -> None:
        self._leave()
        self._write()

    def keep(self, pv: str, at: float, values: np.ndarray) -> None:
        """Called by the threads of EPICS."""
        with self._lock:
            self._pending.append(_Kept(pv, at, values))
            full = len(self._pending) * values.size > MOST_NUMBERS
        if full or time.monotonic() - self._written > WRITTEN:
            self._write()

    def _subscribe(self, pvs: Sequence[TruthPv], contract: Contract) -> None:
        require_live("to read truth PVs")
        from beampermit.live.epics.subscriptions import Subscriptions

        worst, ahead = Severity[contract.serving.worst], contract.serving.ahead
        readers: dict[Address, list[_Reader]] = defaultdict(list)
        for pv in pvs:
            address = parse_address(pv.pv)
            readers[address.whole].append(_Reader(self, pv, address.column, worst, lambda: self._clock() + ahead))
        changed = threading.Event()
        feeds = [Feed(one.name, one.protocols, list(those), changed.set) for one, those in readers.items()]
        self._readers = [reader for those in readers.values() for reader in those]
        self._subscriptions = Subscriptions(feeds, changed)
        end = time.monotonic() + CONNECTED
        for reader in self._readers:
            reader.heard.wait(max(end - time.monotonic(), 0.0))

    def _leave(self) -> None:
        if self._subscriptions:
            self._subscriptions.close()
        self._subscriptions, self._readers, self._followed = None, [], ()

    def _write(self) -> None:
        """What cannot be written is tried again, and read from memory meanwhile."""
        with self._lock:
            pending, self._written = self._pending, time.monotonic()
            if not pending:
                return
            try:
                self._files.write(
                    [one.pv for one in pending], [one.time for one in pending], [one.values for one in pending]
                )
                self._pending = []
            except (OSError, BadInput) as error:
                most = MOST_NUMBERS // max(pending[-1].values.size, 1)
                self._pending = pending[-most:]
                logger.warning("what truth PVs said cannot be written: %s", error)


class _Reader:
    """Of one truth PV; `column` of a table. `latest` is the time from which on a sample is of the future."""

    fresh_for = float("inf")
    words = False

    def __init__(self, recorder: TruthRecorder, pv: TruthPv, column: str, worst: Severity, latest: Callable[[], float]):
        self.pv, self.heard = pv, threading.Event()
        self.fault = "has sent nothing yet"
        self.skipped = Counter[str]()
        self._recorder, self._column, self._worst, self._latest = recorder, column, worst, latest

    def take(self, sample: Sample) -> None:
        value = reading_of(sample.value, self._column)
        if isinstance(value, Unreadable):
            self.refuse(value.words)
            return
        number, fault, why = as_number(value, self.pv.output.shape)
        if fault:
            self.refuse(why)
            return
        self.fault = ""
        if odd := self._odd(sample, number):
            self.skipped[odd] += 1
        else:
            self._recorder.keep(self.pv.pv, sample.at, np.ravel(np.asarray(number, float)))
        self.heard.set()

    def refuse(self, words: str) -> None:
        self._fail(f"has {words}")

    def fail(self, words: str) -> None:
        self.refuse(words)

    def lose(self) -> None:
        self._fail("is disconnected")

    def _odd(self, sample: Sample, number: object) -> str:
        """Why a sample is no truth."""
        if sample.severity > self._worst or not np.isfinite(sample.at):
            return Severity(sample.severity).name
        if sample.at > self._latest():
            return "of the future"
        return "" if np.isfinite(np.asarray(number, float)).all() else "no number"

    def _fail(self, words: str) -> None:
        self.fault = words
        self.heard.set()
