"""An IOC posts faster than the model answers: what a client reads of the service's own PVs."""

from __future__ import annotations

import threading
import time

import numpy as np
import pytest

from beampermit.live.epics.inputs import EpicsInputs
from beampermit.live.lane import Lane
from beampermit.live.update import Update
from support.epics import Client, Network, soft_ioc, until
from support.served import SIGNALS, Serve
from support.served_records import SCORE, Records, pvapy, served, start
from support.truth import Situation, truth

__all__ = ["pvapy", "served", "start", "truth"]
PATIENCE = 60.0
POSTS = 10
PATIENT = [{**signal, **({"stale_after": "10min"} if "pv" in signal else {})} for signal in SIGNALS["inputs"]]


@pytest.mark.slow
@pytest.mark.truth("overload")
def test_the_newest_is_shown_and_the_rest_is_counted(
    served: Records, epics: Network, pvapy: Client, serve: Serve, truth: Situation
) -> None:
    service = serve(devices=1, signals={**SIGNALS, "inputs": PATIENT})
    asked, answered = list[float](), threading.Event()

    def slowly(answers: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        asked.append(float(answers["score"][0]))
        answered.wait(PATIENCE)
        return answers

    def publish(update: Update) -> None:
        values = {
            pv: {
                "value": one.value,
                "severity": one.severity.name,
                "status": one.status.name,
                "message": one.message,
                "time": one.time,
            }
            for pv, one in update.values.items()
            if pv == SCORE
        }
        served.publish(values, dropped=update.health.dropped)

    loop, lane = service.loop, Lane("version 3", service.loop, [EpicsInputs()], lambda: None)
    service.model.gives, loop._publish, loop.latest.clock = slowly, publish, time.monotonic
    with soft_ioc(epics, {"B1:TBT": [0.0, 0.0, 0.0], "RING:CURRENT": 300.0}) as ioc:
        lane.start()
        try:
            until(lambda: asked, PATIENCE)
            before = loop.latest.dropped
            at = time.time()
            for post in range(1, POSTS + 1):
                ioc.set("B1:TBT", [float(post)] * 3, timestamp=at + post / 100)
                until(lambda post=post: loop.latest.dropped >= before + post - 1, PATIENCE)
            answered.set()
            until(lambda: pvapy.get(SCORE)["value"] == 2.0 * POSTS, PATIENCE)
            assert asked == [0.0, 2.0 * POSTS], "none of those between, which are old"
            assert truth.holds(service.shown(SCORE))
            assert pvapy.get(SCORE)["timestamp"] == pytest.approx(at + POSTS / 100, abs=1e-3)
            until(lambda: pvapy.get("FAULTS:DROPPED")["value"] == before + POSTS - 1, PATIENCE)
        finally:
            answered.set()
            lane.stop()
