"""How much goes through a service: many scalars for a long time, and ever faster until something gives way."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import psutil
import pytest

from support.epics import Network, epics
from support.timed_service import (
    Machine,
    Process,
    machine,
    post_until_seen,
    read,
    running,
    scalars,
    spent,
    watching,
)

__all__ = ["epics"]
pytestmark = [pytest.mark.bench, pytest.mark.timeout(1800)]
Say = Callable[[str], None]
PVS, RATE = 500, 15.0
SECONDS = float(os.environ.get("BENCH_SECONDS", "60"))
"""Of the long one; 600 are what docs/performance.md has."""
EACH, FASTER, FASTEST = 10.0, 1.2, 500.0
"""Seconds of each rate, its part of the one before, and the last one in Hz."""
FULL = 0.9
"""Of a core: a thread with more has no time left."""
FEED, CLIENT, MODEL, MACHINE = "feed", "client", "model's process", "machine"
THREADS = {"PVXCTCP": FEED, "python": "loop"}
"""Name of a thread of the service -> what it does: p4p hands over samples; a loop judges, asks and publishes. Python
runs one of them at a time."""


@dataclass
class Load:
    """What went through at one rate."""

    posted: int
    whole: int
    """Rows of one tick, each as one update of the output."""
    torn: int
    dropped: float
    age: np.ndarray
    """Seconds from post to client, of each update."""
    cores: dict[str, float]
    """Who -> how much of a core."""
    busy: float
    """How much of all cores, by whatever runs on this machine."""

    @property
    def kept_up(self) -> bool:
        return self.dropped == 0 and self.torn == 0 and self.whole >= 0.99 * self.posted

    @property
    def full(self) -> str:
        """What has no time left; of several the fullest."""
        python = sum(self.cores.get(who, 0.0) for who in THREADS.values())
        of = {**self.cores, "the service's Python (feed and loop)": python}
        who = max(of, key=lambda one: of[one])
        if of[who] >= FULL:
            return who
        return f"{'all cores' if self.busy >= FULL else 'nothing that is full'}; {who} has most to do"

    def __str__(self) -> str:
        p50, p99 = np.percentile(self.age * 1000, [50, 99]) if len(self.age) else (np.nan, np.nan)
        cores = ", ".join(f"{who} {of:.2f}" for who, of in sorted(self.cores.items(), key=lambda one: -one[1]))
        return (
            f"{self.whole} of {self.posted} rows shown, {self.torn} of several ticks, {self.dropped:g} samples "
            f"replaced; p50 {p50:.1f} ms, p99 {p99:.1f} ms; of a core: {cores}"
        )


def loaded(posting: Machine, service: Process, rate: float, seconds: float) -> Load:
    """Post for so long, and look at what comes of it."""
    before, dropped = _spent(posting, service), read("BENCH:DROPPED")
    psutil.cpu_percent()
    with watching("SCORE") as seen:
        posted = posting.post(rate, seconds)
        busy = psutil.cpu_percent() / 100
        time.sleep(0.5)
    after = _spent(posting, service)
    cores = {who: (after[who] - before.get(who, 0.0)) / seconds for who in after}
    values = np.array([value for _, _, value in seen[1:]])  # a monitor begins with what was there before
    whole = len(set(values[values == np.round(values)].tolist()))
    age = np.array([arrived - at for arrived, at, _ in seen[1:]])
    return Load(
        posted,
        whole,
        len(values) - int((values == np.round(values)).sum()),
        read("BENCH:DROPPED") - dropped,
        age,
        {who: of for who, of in cores.items() if of >= 0.005},
        busy,
    )


def _spent(posting: Machine, service: Process) -> dict[str, float]:
    """Who -> seconds of CPU so far."""
    found = {THREADS.get(name, f"service's {name}"): of for name, of in spent(service.seen).items()}
    others = {MODEL: _model(service), MACHINE: posting.seen, CLIENT: psutil.Process()}
    return {**found, **{who: sum(process.cpu_times()[:2]) for who, process in others.items()}}


def _model(service: Process) -> psutil.Process:
    (process,) = service.seen.children()
    return process


@contextmanager
def serving(network: Network, *folders: Path) -> Iterator[tuple[Machine, Process]]:
    with machine(network, PVS) as posting, running(network, "service_child.py", *map(str, folders)) as service:
        post_until_seen(posting, "SCORE")
        yield posting, service


@pytest.mark.parametrize("log", [(), ("log",)], ids=["alone", "with log and metrics"])
def test_five_hundred_pvs_at_fifteen_hertz(
    say: Say, epics: Network, tmp_path: Path, contract_text: str, log: tuple[str, ...]
) -> None:
    scalars(tmp_path, contract_text, PVS)
    with serving(epics, tmp_path, *(tmp_path / one for one in log)) as (posting, service):
        loaded(posting, service, RATE, 5.0)
        processes = {"service": service.seen, MODEL: _model(service)}
        before = {who: process.memory_info().rss for who, process in processes.items()}
        load = loaded(posting, service, RATE, SECONDS)
        grown = {who: (process.memory_info().rss - before[who]) / 2**20 for who, process in processes.items()}
    say(f"{PVS} PVs at {RATE:g} Hz for {SECONDS:g} s{', with log and metrics' if log else ''}: {load}")
    say("memory: " + ", ".join(f"{who} {before[who] / 2**20:.0f} MiB {of:+.1f}" for who, of in grown.items()))


def test_until_it_drops(say: Say, epics: Network, tmp_path: Path, contract_text: str) -> None:
    scalars(tmp_path, contract_text, PVS)
    rate, load = RATE, None
    with serving(epics, tmp_path) as (posting, service):
        while rate <= FASTEST and (load is None or load.kept_up):
            load = loaded(posting, service, rate, EACH)
            say(f"{PVS} PVs at {rate:.3g} Hz: {load}")
            rate *= FASTER
    assert load
    say(f"what gives way first at {rate / FASTER:.3g} Hz: {'nothing' if load.kept_up else load.full}")
