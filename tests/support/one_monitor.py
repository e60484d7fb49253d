"""One monitor of the machine in the hands of a test: what it says, it says five times a second until told otherwise."""

from __future__ import annotations

import csv
import math
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from beampermit.contract import FILE_NAME
from support.epics import Ioc, Network, soft_ioc

EVERY = 0.2
FIRST = 631_152_000.0
"""1990, with which EPICS begins, in s since 1970: the time of who has none."""
PATIENCE = 60.0
NO_TIME = math.inf
"""The `age` of a sample without a time."""


@dataclass
class OneMonitor:
    pv: str
    good: Any
    _ioc: Ioc
    _said: Mapping[str, Any] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _ended: threading.Event = field(default_factory=threading.Event)

    def say(self, value: Any = None, **sample: Any) -> None:
        """From now on; by default what is good. `age` in s: below 0 in the future."""
        with self._lock:
            self._said = {"value": self.good if value is None else value, **sample}
        self.say_again()

    def say_again(self) -> None:
        with self._lock:
            sample = dict(self._said)
            if sample and not self._ended.is_set():
                at = max(time.time() - sample.pop("age", 0.0), FIRST)
                self._ioc.set(self.pv, sample.pop("value"), timestamp=at, **sample)

    def pause(self) -> None:
        """Its IOC hangs, with its sockets open."""
        with self._lock:
            self._ioc.pause()

    def go_on(self) -> None:
        self._ioc.go_on()

    def go(self) -> None:
        """Its IOC is gone."""
        with self._lock:
            self._said = {}
            self._ioc.kill()

    def come_as(self, record: Any) -> None:
        """Its IOC is there again, and has another record of this name."""
        with self._lock:
            self._ioc.start({self.pv: record})

    def speak(self) -> None:
        while not self._ended.wait(EVERY):
            self.say_again()

    def end(self) -> None:
        self.go_on()
        self._ended.set()


@contextmanager
def one_monitor(network: Network, pv: str, good: list[float]) -> Iterator[OneMonitor]:
    """Says what is `good` at first."""
    with soft_ioc(network, {pv: good}) as ioc:
        monitor = OneMonitor(pv, good, ioc)
        monitor.say()
        thread = threading.Thread(target=monitor.speak)
        thread.start()
        try:
            yield monitor
        finally:
            monitor.end()
            thread.join(PATIENCE)


def without(root: Path, pv: str, folder: Path) -> Path:
    """A folder with the contract and the devices of a project but for the one whose input is this PV."""
    device, plane, _ = pv.split(":")
    folder.mkdir()
    (folder / FILE_NAME).write_text((root / FILE_NAME).read_text())
    with (root / "devices.csv").open(newline="") as source, (folder / "devices.csv").open("w", newline="") as left:
        rows = csv.writer(left)
        rows.writerows(row for row in csv.reader(source) if row[:2] != [device, plane])
    return folder
