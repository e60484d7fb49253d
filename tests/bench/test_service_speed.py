"""From an input's post to a client's callback, beside the same path without the service; how long a switch takes."""

from __future__ import annotations

import time
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Literal

import numpy as np
import pytest

from beampermit.live.epics import channel_access, pv_access
from support.epics import Network, epics, until
from support.read_inputs import reading
from support.timed_service import hearing, machine, post_until_seen, read, running, scalars, watching, waveforms

__all__ = ["epics"]
pytestmark = pytest.mark.bench
Say = Callable[[str], None]
SECONDS = 30.0
"""Of each path."""
RATE = 10.0
"""Hz."""
SWITCHED = 30.0
"""Seconds in which the other version has to load, to run beside the first, and to take over."""
CHILDREN = {"plain": "plain_child.py", "service": "service_child.py"}


def test_a_hundred_scalars_at_ten_hertz(say: Say, epics: Network, tmp_path: Path, contract_text: str) -> None:
    scalars(tmp_path, contract_text, 100)
    compare(say, epics, tmp_path, (100, 0), "SCORE", "100 scalars, one row")


def test_a_client_alone(say: Say, epics: Network) -> None:
    """What of the way is p4p's: the aim of a service cannot be below it."""
    pvs = [f"X:{number}" for number in range(100)]
    with machine(epics, len(pvs)) as posting, hearing(pvs) as ages:
        posting.post(RATE, 3.0)
        ages.clear()
        posted = posting.post(RATE, SECONDS)
        time.sleep(0.5)
    p50, p99 = np.percentile(np.array(ages) * 1000, [50, 99])
    say(f"100 scalars heard by p4p and nobody else: {len(ages)} of {posted} ticks, p50 {p50:.2f} ms, p99 {p99:.2f} ms")


@pytest.mark.parametrize("protocol", ["pva", "ca"])
def test_a_sample_of_a_scalar(
    say: Say, epics: Network, monkeypatch: pytest.MonkeyPatch, protocol: Literal["pva", "ca"]
) -> None:
    """From the socket to what keeps the newest, beside threads that Python makes a state for at each call."""
    pvs = {f"{protocol}://X:{number}": () for number in range(500)}
    found = {}
    with machine(epics, len(pvs)) as posting:
        for kept in (True, False):
            if not kept:
                for client in (channel_access, pv_access):
                    monkeypatch.setattr(client, "keep_state", lambda *_: None)
            with reading(pvs) as inputs:
                inputs.wait()
                posting.post(15.0, 1.0)
                before, samples = time.process_time(), inputs.latest.read().count.sum()
                posting.post(15.0, 10.0)
                used, samples = time.process_time() - before, inputs.latest.read().count.sum() - samples
                found[kept] = 1e6 * used / samples
    ratio = found[True] / found[False]
    say(f"a sample of a scalar over {protocol}: {found[True]:.1f} : {found[False]:.1f} us of CPU = {ratio:.2f}")


def test_a_batch_of_waveforms(say: Say, epics: Network, tmp_path: Path, contract_text: str) -> None:
    waveforms(tmp_path, contract_text, 120, 250)
    compare(say, epics, tmp_path, (120, 250), "S:119", "120 waveforms of 250 turns, one batch, the last output")


def compare(say: Say, epics: Network, root: Path, inputs: tuple[int, int], output: str, what: str) -> None:
    """One path after the other, each with a machine of its own."""
    found = {}
    for path, script in CHILDREN.items():
        words = map(str, inputs if path == "plain" else ())
        with machine(epics, *inputs) as posting, running(epics, script, str(root), *words):
            post_until_seen(posting, output)
            with watching(output) as seen:
                posted = posting.post(RATE, SECONDS)
                time.sleep(0.5)
        found[path] = np.array([arrived - at for arrived, at, _ in seen[5:]]) * 1000
        p50, p99 = np.percentile(found[path], [50, 99])
        say(f"{what}, {path}: {len(seen)} of {posted} updates, p50 {p50:.2f} ms, p99 {p99:.2f} ms")
    ratio = np.median(found["service"]) / np.median(found["plain"])
    say(f"{what}: {ratio:.2f} times the plain path at p50 (aim: at most 1.5, p99 under 5 ms on a quiet machine)")


@pytest.mark.parametrize("rate", [2.0, 10.0])
def test_another_champion_takes_over(say: Say, epics: Network, tmp_path: Path, contract_text: str, rate: float) -> None:
    scalars(tmp_path, contract_text, 100)
    with machine(epics, 100) as posting, running(epics, "service_child.py", str(tmp_path)) as service:
        post_until_seen(posting, "SCORE")
        with watching("SCORE") as seen:
            posting.tell(f"{rate} {SWITCHED}")
            service.tell("the next version")
            until(lambda: read("BENCH:VERSION") == 2.0, SWITCHED)
            posting.answer()
    longest = max(later - earlier for (earlier, *_), (later, *_) in pairwise(seen[1:]))
    ticks = {round(value) for _, _, value in seen[1:]}
    missed = max(ticks) - min(ticks) + 1 - len(ticks)
    say(
        f"another champion beside rows at {rate:g} Hz: the longest time between two updates was "
        f"{longest * 1000:.0f} ms, {longest * rate:.1f} cycles (aim: two); {missed} of {len(ticks)} rows not shown"
    )
