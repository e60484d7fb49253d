"""How soon the service shows what is wrong: a loop in its thread, by the clock of the machine.

From the fault, as its source has said it, to the update that the loop publishes.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest

from beampermit.live.bypassed import Bypassed
from beampermit.live.epics.feed import Feed, InputReader
from beampermit.live.epics.sample import Choice, Sample
from beampermit.live.epics.subscriptions import Subscriptions
from beampermit.live.lane import Lane
from support.epics import until
from support.served import SIGNALS, Serve, Served
from support.truth import ALLOWANCE, MODELS, Situation, truth_case

GOOD = (1.0, 2.0, 3.0)
WATCH = 0.2
"""s after which inputs are judged again, as docs/truth.md says it."""
SOON = 1.0
"""s until something is too old."""
SNAPSHOT = {"serving": {"snapshot": "RING:SHOT"}}
SHOTS = {"serving": {"snapshot": "RING:SHOT", "within": 1.0}}
QUICK = {"signals": {**SIGNALS, "inputs": [{**SIGNALS["inputs"][0], "stale_after": SOON}, *SIGNALS["inputs"][1:]]}}
HOLD = {"fallback": {"on_invalid": "hold", "hold_for": "1h"}}


@dataclass
class Live:
    """A service whose loop runs in its thread; all devices are answered."""

    served: Served
    lane: Lane

    def put(self, value: Any = GOOD, device: str = "B2", **sample: Any) -> None:
        self.served.at = time.time()
        self.served.put(value, device=device, **sample)

    def stand(self, **words: Any) -> None:
        """As the follower of the ledger tells it."""
        loop = self.served.loop
        loop.standing = replace(loop.standing, **words)

    def answer(self, score: float) -> None:
        self.served.model.gives = lambda answers: {**answers, "score": np.full_like(answers["score"], score)}
        self.put()

    def say(self, value: Any, device: int = 1) -> None:
        """The valve of a device."""
        reader = InputReader(self.served.loop.latest, 3, device, words=True)
        reader.take(Sample(value, time.time(), 0, ""))

    @property
    def answered(self) -> set[str]:
        """Outputs that were shown with an answer, though it may have become old since."""
        updates = tuple(self.served.updates)
        return {pv for update in updates for pv, value in update.values.items() if value.origin == "model"}

    def shown(self, truth: Situation, since: int, began: float, fault: float = 0.0) -> float:
        """How long after `began` the first update after number `since` came that shows it.

        No update since then, or since `fault` by the clock of the service, shows an answer where there is to be none.
        """
        took = self._shown(truth, since, began)
        if truth.value != MODELS:
            seen = len(self.served.updates)
            until(lambda: len(self.served.updates) > seen or not self.lane.alive)
            values = [update.values.get("B2:FAULT") for update in self.served.updates[since:] if update.at >= fault]
            assert [value for value in values if value and value.origin == "model"] == []
        return took

    def _shown(self, truth: Situation, since: int, began: float) -> float:
        end = time.monotonic() + 4 * ALLOWANCE
        while time.monotonic() < end:
            took = time.monotonic() - began
            for update in self.served.updates[since:]:
                value = update.values.get("B2:FAULT")
                at_all = value and (value.severity, value.status) == (truth.severity, truth.status)
                if value and at_all and truth.says(value.message):
                    assert truth.holds(value)
                    return took
            time.sleep(0.002)
        raise AssertionError(self.served.loop.shown().get("B2:FAULT"))


@contextmanager
def live(serve: Serve, **sections: Any) -> Iterator[Live]:
    served = serve(**sections)
    served.loop.latest.clock = time.monotonic
    running = Live(served, Lane("version 3", served.loop, [], lambda: None))
    running.lane.start()
    try:
        served.at = time.time()
        served.current()
        if len(served.loop.wiring.inputs) > len(SIGNALS["inputs"]):
            for device in range(3):
                running.say(Choice(2, "IN"), device)
        running.put(device="")
        served.loop.trigger.fire()
        until(lambda: len(running.answered) == 6)
        yield running
    finally:
        running.lane.stop()


def unreadable(running: Live) -> None:
    feed = Feed("B2:TBT", ("pva",), [InputReader(running.served.loop.latest, 0, 1)], lambda: None)
    reading = object.__new__(Subscriptions)  # without its thread
    reading._failed = {}
    reading._fail([feed], OSError("no sockets left"))


def fails(running: Live) -> None:
    running.served.model.fails = "the model raised ValueError: no"
    running.put()


def fails_for_another(running: Live) -> None:
    running.served.model.raises_for = (9.0,)
    running.put((9.0, 9.0, 9.0), device="B1")
    running.put((2.0, 2.0, 2.0))


def leaves_out(running: Live) -> None:
    running.served.model.gives = lambda answers: {"orbit": answers["orbit"]}
    running.put()


def has_another_shape(running: Live) -> None:
    running.served.model.gives = lambda answers: {**answers, "score": answers["score"][:, None]}
    running.put()


def breaks(running: Live) -> None:
    running.served.loop.latest.read = lambda: 1 / 0  # pyright: ignore[reportAttributeAccessIssue]
    running.put()


def ends(running: Live) -> None:
    loop = running.served.loop
    running.lane.stop(lambda: loop._publish(loop.ended()))


def bypass(running: Live) -> None:
    words = "bypassed until 2027-01-15T09:00:00Z by Ada: a study"
    running.stand(bypassed=(Bypassed("score.high", "", time.time() + 600, words),))
    running.answer(50.0)


def overload(running: Live) -> None:
    for turn in range(2, 6):
        running.put((turn, turn, turn), severity=2 if turn < 5 else 0, message="HIHI")


VALVES = {"name": "valve", "pv": "{device}:VALVE", "words": ["OUT", "MOVING", "IN"], "stale_after": "5s"}
WITH_WORDS = {"signals": {**SIGNALS, "inputs": [*SIGNALS["inputs"], VALVES]}}
BAD = (1.0, np.nan, 3.0)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("sections", "begin"),
    [
        truth_case("all is well", {}, lambda running: running.put((2.0, 2.0, 2.0)), measured=True),
        truth_case("nan", {}, lambda running: running.put(BAD), measured=True),
        truth_case("infinite", {}, lambda running: running.put((1.0, -np.inf, 3.0)), measured=True),
        truth_case("outside", {}, lambda running: running.put((1.0, 20.001, 3.0)), measured=True),
        truth_case("invalid", {}, lambda running: running.put(severity=3, message="UDF"), measured=True),
        truth_case(
            "too severe",
            {"serving": {"worst": "MINOR"}},
            lambda running: running.put(severity=2, message="HIHI"),
            measured=True,
        ),
        truth_case("severe", {}, lambda running: running.put(severity=2, message="HIHI"), measured=True),
        truth_case("stale", {}, lambda running: running.put(age=5.01), measured=True),
        truth_case("disconnected", {}, lambda running: running.served.disconnect("B2"), measured=True),
        truth_case("unreadable", {}, unreadable, measured=True),
        truth_case("future", {}, lambda running: running.put(age=-60.0), measured=True),
        truth_case("no time", {}, lambda running: running.put(age=np.nan), measured=True),
        truth_case("apart", {"serving": {"within": 1.0}}, lambda running: running.put(age=3.0), measured=True),
        truth_case(
            "overtaken",
            SHOTS,
            lambda running: running.served.loop.trigger.snap(time.time() + 3),
            measured=True,
        ),
        truth_case(
            "no snapshot",
            SNAPSHOT,
            lambda running: running.served.loop.trigger.lose("RING:SHOT is disconnected"),
            measured=True,
        ),
        truth_case("shape", {}, lambda running: running.put((1.0, 2.0)), measured=True),
        truth_case("type", {}, lambda running: running.put("open"), measured=True),
        truth_case(
            "other device",
            {},
            lambda running: (running.put(BAD, device="B1"), running.put((2.0, 2.0, 2.0))),
            measured=True,
        ),
        truth_case("alarm", {}, lambda running: running.answer(90.0), measured=True),
        truth_case("warning", {}, lambda running: running.answer(50.0), measured=True),
        truth_case("bypassed", {}, bypass, measured=True),
        truth_case("raises", {}, fails, measured=True),
        truth_case("raises for another", {}, fails_for_another, measured=True),
        truth_case("answers nan", {}, lambda running: running.answer(np.nan), measured=True),
        truth_case("answers infinity", {}, lambda running: running.answer(np.inf), measured=True),
        truth_case("answers outside", {}, lambda running: running.answer(100.1), measured=True),
        truth_case("answers shape", {}, has_another_shape, measured=True),
        truth_case("answers nothing", {}, leaves_out, measured=True),
        truth_case("service fails", {}, breaks, measured=True),
        truth_case("ended", {}, ends, measured=True),
        truth_case("held", HOLD, lambda running: running.put(BAD), measured=True),
        truth_case("default", {"fallback": {"on_invalid": "default"}}, lambda running: running.put(BAD), measured=True),
        truth_case(
            "no permit",
            {},
            lambda running: running.stand(refused="its permit is signed with an unknown key"),
            measured=True,
        ),
        truth_case(
            "retired",
            {},
            lambda running: running.stand(refused="retired by A at 2026-11-29: drifted", retired=True),
            measured=True,
        ),
        truth_case(
            "unreachable",
            {},
            lambda running: (running.stand(note="no answer"), running.put((2.0, 2.0, 2.0))),
            measured=True,
        ),
        truth_case(
            "frozen",
            {},
            lambda running: (running.stand(note="by A", routine=True), running.put((2.0, 2.0, 2.0))),
            measured=True,
        ),
        truth_case("overload", {}, overload, measured=True),
        truth_case("unknown word", WITH_WORDS, lambda running: running.say(Choice(1, "JAMMED")), measured=True),
        truth_case("no word", WITH_WORDS, lambda running: running.say(2.0), measured=True),
        truth_case("renumbered", WITH_WORDS, lambda running: running.say(Choice(0, "IN")), measured=True),
    ],
)
def test_it_is_shown_in_the_next_cycle(
    serve: Serve, truth: Situation, sections: dict[str, Any], begin: Callable[[Live], object]
) -> None:
    with live(serve, **sections) as running:
        since, began = len(running.served.updates), time.monotonic()
        begin(running)
        assert running.shown(truth, since, began) < WATCH + ALLOWANCE


@pytest.mark.slow
@pytest.mark.parametrize(
    ("sections", "age"),
    [
        truth_case("silent", {}, 5 - SOON, measured=True),
        truth_case("ahead", QUICK, -9.0, measured=True),
        truth_case("no row", SNAPSHOT, 5 - SOON, measured=True),
        truth_case("held too long", {"fallback": {"on_invalid": "hold", "hold_for": SOON}}, 0.0, measured=True),
        truth_case(
            "held too long, then the default",
            {"fallback": {"on_invalid": "hold", "hold_for": SOON, "then": "default"}},
            0.0,
            measured=True,
        ),
    ],
)
def test_what_lasts_too_long_is_shown_when_it_does(
    serve: Serve, truth: Situation, sections: dict[str, Any], age: float
) -> None:
    with live(serve, **sections) as running:
        since, asked = len(running.served.updates), len(running.served.model.asked)
        began, fault = time.monotonic() + SOON, 0.0
        if age:
            running.put((2.0, 2.0, 2.0), device="", age=age)
            fault = running.served.at + SOON
            running.served.loop.trigger.fire()
            until(lambda: len(running.served.model.asked) > asked)
        if "serving" in sections or not age:
            running.put((2.0, 2.0, 2.0) if age else BAD)
        took = running.shown(truth, since, began, fault)
        assert took < WATCH + ALLOWANCE
        assert not age or took > 0, "and no sooner; a value is held since it was last seen to be good"


@pytest.mark.slow
@pytest.mark.parametrize("name", [truth_case("nothing yet", 1, measured=True), truth_case("restart", 0, measured=True)])
def test_from_the_first_cycle_on_nothing_is_shown_that_is_no_answer(serve: Serve, truth: Situation, name: int) -> None:
    """0: also the device itself has sent nothing, and the model is not loaded."""
    served = serve(fallback={"on_invalid": "hold", "hold_for": "1h"})
    running = Live(served, Lane("version 3", served.loop, [], lambda: None))
    if name:
        running.put()
    began = time.monotonic()
    running.lane.start()
    try:
        assert running.shown(truth, 0, began) < WATCH + ALLOWANCE
    finally:
        running.lane.stop()
