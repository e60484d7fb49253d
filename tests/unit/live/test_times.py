"""Under which time a value is shown: an archiver keeps each one, and none has a time that is not true of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from math import inf, nan
from typing import Any

import numpy as np
import pytest

from beampermit.live.severity import Severity, Status
from beampermit.live.times import FARTHEST, STEP, timed
from beampermit.live.update import Update, Value
from support.served import NOW, Serve, Served

SCORE = "B2:FAULT"
AHEAD = 10.0
"""`serving.ahead`, as it is by default."""
INVALID, DEFAULT = {"on_invalid": "invalid"}, {"on_invalid": "default"}
HOLD = {"on_invalid": "hold", "hold_for": "3s", "then": "default"}


@dataclass
class Archiver:
    """What the EPICS Archiver Appliance keeps of one PV: nothing as old as what it had, or half an hour ahead."""

    times: list[float] = field(default_factory=list)

    def keeps(self, value: Value, now: float) -> bool:
        kept = value.time <= now + 1800 and (not self.times or value.time > self.times[-1])
        if kept:
            self.times.append(value.time)
        return kept


def _standing(served: Served, **words: Any) -> None:
    served.loop.standing = replace(served.loop.standing, **words)


def _limit(served: Served, value: float) -> None:
    served.loop.limits.set(SCORE, "high", value)


def _model(served: Served, fails: str) -> None:
    served.model.fails = fails
    served.put()


Act = Callable[[Served], object]
SITUATIONS: tuple[tuple[str, Act, bool], ...] = (
    ("good", lambda served: served.put(), True),
    ("good, and newer", lambda served: served.put(), True),
    ("disconnected", lambda served: served.disconnect("B2"), False),
    ("back, with what it sent before", lambda served: served.put(device="B2", age=0.1), True),
    ("NaN", lambda served: served.put((1.0, np.nan, 3.0), device="B2"), False),
    ("good after NaN", lambda served: served.put(), True),
    ("older than allowed when it comes", lambda served: served.put(device="B2", age=5.1), False),
    ("good after a stale value", lambda served: served.put(), True),
    ("a clock a little ahead", lambda served: served.put(device="B2", age=1 - AHEAD), True),
    ("disconnected while it is", lambda served: served.disconnect("B2"), False),
    ("that clock is right", lambda served: served.put(device="B2"), True),
    ("a clock far ahead", lambda served: served.put(device="B2", age=-1200.0), False),
    ("right again", lambda served: served.put(device="B2"), True),
    ("a lower limit", lambda served: _limit(served, 3.0), True),
    ("the limit as before", lambda served: _limit(served, 50.0), True),
    ("the model fails", lambda served: _model(served, "the model raised ValueError: no"), False),
    ("the model answers", lambda served: _model(served, ""), True),
    ("retired", lambda served: _standing(served, refused="retired by A", retired=True), False),
    ("in service again", lambda served: _standing(served, refused="", retired=False), True),
    ("an alarm of an input", lambda served: served.put(device="B2", severity=2, message="HIHI"), True),
    ("disconnected at last", lambda served: served.disconnect("B2"), False),
)


@pytest.mark.parametrize("fallback", [INVALID, DEFAULT, HOLD], ids=["invalid", "default", "hold"])
def test_an_archiver_keeps_each_value_of_a_pv(serve: Serve, fallback: dict[str, Any]) -> None:
    served, archiver = serve(fallback=fallback), Archiver()
    served.loop._clock = lambda: served.at

    def shows(update: Update, situation: str) -> Value:
        value = update.values.get(SCORE)
        assert value, f"{situation}: nothing is published"
        assert archiver.keeps(value, served.at), f"{situation}: the archiver drops {value.time - NOW:.6f} s"
        return value

    shows(served.cycle(), "at the start")
    served.current()
    for situation, act, answered in SITUATIONS:
        served.at += 0.1
        act(served)
        value = shows(served.cycle(), situation)
        assert (value.origin == "model") == answered, situation
    if fallback is HOLD:
        assert shows(served.cycle(after=4.0), "held long enough").origin == "default"
    served.at += 0.1
    shows(served.loop.ended(), "ended")


def test_an_answer_has_the_time_of_its_newest_input(serving: Served) -> None:
    assert serving.shown(SCORE).time == NOW
    serving.at += 3.0
    serving.put(device="B2", age=0.5)
    serving.cycle()
    assert serving.shown(SCORE).time == NOW + 2.5
    serving.put(device="B2", age=-AHEAD)
    serving.cycle()
    assert serving.shown(SCORE).time == NOW + 3.0 + AHEAD


def test_a_value_without_an_answer_has_the_time_from_which_it_is_shown(serving: Served) -> None:
    serving.disconnect("B2")
    assert serving.cycle(after=0.5).values[SCORE].time == NOW + 0.5, "nothing came, so it is the moment"
    serving.put(device="B2")
    serving.cycle(after=0.5)
    serving.at += 0.5
    serving.put((1.0, np.nan, 3.0), device="B2", age=0.25)
    assert serving.cycle().values[SCORE].time == NOW + 1.25, "of the input that made it so"


def test_an_input_of_the_future_moves_no_time_into_the_future(serving: Served) -> None:
    serving.put(device="B2", age=-1200.0)
    assert serving.cycle(after=0.5).values[SCORE].time == NOW + 0.5
    serving.at += 0.5
    serving.put(device="B2")
    assert serving.cycle().values[SCORE].time == NOW + 1.0


def test_what_says_the_same_keeps_its_time_and_is_not_published(serving: Served) -> None:
    serving.put((1.0, np.nan, 3.0), device="B2")
    since = serving.cycle(after=0.1).values[SCORE].time
    for _ in range(3):
        serving.at += 0.1
        serving.put((1.0, np.nan, 3.0), device="B2")
        assert SCORE not in serving.cycle().values
    assert serving.shown(SCORE).time == since


def test_an_answer_of_inputs_older_than_what_was_shown_is_published_once_and_a_microsecond_later(
    serving: Served,
) -> None:
    serving.disconnect("B2")
    serving.cycle(after=1.0)
    serving.put(device="B2", age=0.75)
    later = serving.cycle(after=0.1).values[SCORE]
    assert (later.time, later.newest) == (pytest.approx(NOW + 1.0 + STEP, abs=1e-7), NOW + 0.25)
    assert later.time > NOW + 1.0
    assert SCORE not in serving.cycle(after=0.1).values
    assert SCORE not in serving.cycle(after=0.1, due=False).values


def test_the_first_value_of_a_service_has_the_time_of_its_cycle(serve: Serve) -> None:
    served = serve()
    served.put(age=4.0)
    assert {value.time for value in served.cycle().values.values()} == {NOW}


def test_no_time_is_of_before_the_start_of_the_service(serve: Serve) -> None:
    """The process before it may have ended with INVALID, later than the newest input."""
    served = serve()
    served.loop._clock = lambda: served.at
    served.put(age=3.0)
    served.current(age=4.0)
    served.run_once()
    value = served.shown(SCORE)
    assert (value.origin, value.newest) == ("model", NOW - 3.0)
    assert NOW < value.time < NOW + 2 * STEP


def test_an_error_of_the_service_itself_has_its_own_time(serving: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    serving.at += 0.5
    serving.loop._clock = lambda: serving.at
    monkeypatch.setattr("beampermit.live.loop.assemble", lambda *_: 1 / 0)
    serving.run_once()
    assert serving.shown(SCORE).time == NOW + 0.5
    serving.at += 0.5
    assert {value.time for value in serving.loop.ended().values.values()} == {NOW + 1.0}


ANSWER = Value(1.0, Severity.NO_ALARM, Status.NO_ALARM, "", NOW)
NOTHING = Value(nan, Severity.INVALID, Status.LINK, "x", NOW, "none")


@pytest.mark.parametrize(
    ("value", "before", "now", "time"),
    [
        pytest.param(ANSWER, -inf, NOW + 5, NOW, id="the first answer"),
        pytest.param(ANSWER, NOW - 1, NOW + 5, NOW, id="an answer"),
        pytest.param(ANSWER, NOW, NOW + 5, NOW + STEP, id="an answer of the same time"),
        pytest.param(ANSWER, NOW + 3, NOW + 5, NOW + 3 + STEP, id="an answer that is older"),
        pytest.param(NOTHING, -inf, NOW + 5, NOW + 5, id="the first that is none"),
        pytest.param(NOTHING, NOW - 1, NOW + 5, NOW, id="none, of a newer input"),
        pytest.param(NOTHING, NOW, NOW + 5, NOW + 5, id="none, and nothing new"),
        pytest.param(NOTHING, NOW - 9, NOW - 5, NOW - 5, id="none, of an input of the future"),
        pytest.param(NOTHING, NOW - 1, NOW - 5, NOW - 1 + STEP, id="none, and a clock that was set back"),
        pytest.param(replace(NOTHING, newest=nan), NOW - 1, NOW, NOW, id="none, without an input"),
        pytest.param(ANSWER, NOW + FARTHEST, NOW, NOW + FARTHEST + STEP, id="as far ahead as archivers keep it"),
        pytest.param(ANSWER, NOW + FARTHEST + 1, NOW, NOW, id="an answer, after what no archiver kept"),
        pytest.param(NOTHING, NOW + FARTHEST + 2, NOW + 1, NOW + 1, id="none, after what no archiver kept"),
    ],
)
def test_the_time_of_a_value(value: Value, before: float, now: float, time: float) -> None:
    shown = timed(value, before, now)
    assert shown == replace(value, time=shown.time) or np.isnan(value.value)
    assert shown.time == pytest.approx(time, abs=STEP / 2)
    assert shown.time > before or before > now + FARTHEST
