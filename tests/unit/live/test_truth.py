"""Each row of docs/truth.md that needs no process and no network: the others stand where those are tested."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from beampermit.live.bypassed import Bypassed
from beampermit.live.epics.feed import Feed, InputReader
from beampermit.live.epics.sample import Choice, Sample
from beampermit.live.epics.subscriptions import Subscriptions
from beampermit.live.loop import NotLoaded, Standing
from beampermit.live.severity import Severity, Status
from support.served import DEVICES, NOW, SIGNALS, Serve, Served
from support.truth import Situation, truth_case

GOOD = (1.0, 2.0, 3.0)


@pytest.mark.truth("all is well")
def test_good_inputs(serving: Served, truth: Situation) -> None:
    assert truth.holds(serving.shown("B2:FAULT"))
    assert truth.holds(serving.shown("B2:ORBIT"))


@pytest.mark.truth("nothing yet")
def test_an_input_that_has_sent_nothing(serve: Serve, truth: Situation) -> None:
    served = serve()
    served.put()
    served.cycle()
    assert truth.holds(served.shown("B2:FAULT"))
    assert truth.holds(served.shown("B2:ORBIT"))


@pytest.mark.parametrize(
    ("value", "sample"),
    [
        truth_case("nan", (1.0, np.nan, 3.0), {}),
        truth_case("infinite", (1.0, -np.inf, 3.0), {}),
        truth_case("outside", (1.0, 20.001, 3.0), {}),
        truth_case("invalid", GOOD, {"severity": 3, "message": "UDF"}),
        truth_case("stale", GOOD, {"age": 5.01}),
        truth_case("future", GOOD, {"age": -10.01}),
        truth_case("shape", (1.0, 2.0), {}),
        truth_case("type", "open", {}),
        truth_case("type", "12.5", {}),
        truth_case("type", 10**400, {}),
        truth_case("no time", GOOD, {"age": np.nan}),
    ],
)
def test_a_bad_input_is_seen_where_it_is(serving: Served, truth: Situation, value: Any, sample: dict[str, Any]) -> None:
    before = serving.shown("B1:FAULT")
    serving.put(value, device="B2", **sample)
    update = serving.cycle()
    assert truth.holds(update.values["B2:FAULT"])
    assert truth.holds(update.values["B2:ORBIT"])
    assert serving.shown("B1:FAULT") == before
    assert update.health.status == "DEGRADED"
    assert "(2 of 6 outputs)" in update.health.reason
    serving.at += 0.1
    serving.put(device="B2")
    assert serving.cycle().values["B2:FAULT"].value == 4.0


@pytest.mark.parametrize(
    ("value", "sample"),
    [((1.0, 20.0, -20.0), {}), (GOOD, {"age": 4.99}), (GOOD, {"age": -9.99}), (GOOD, {"severity": 1})],
    ids=["at the end of the range", "not yet stale", "a little ahead", "MINOR"],
)
def test_just_inside_a_bound_is_good(serving: Served, value: Any, sample: dict[str, Any]) -> None:
    serving.put(value, device="B2", **sample)
    serving.cycle()
    assert serving.shown("B2:FAULT").origin == "model"


VALVES = {"name": "valve", "pv": "{device}:VALVE", "words": ["OUT", "MOVING", "IN"], "stale_after": "5s"}


@pytest.mark.parametrize(
    ("value", "good"),
    [
        truth_case("renumbered", Choice(0, "IN"), True),
        pytest.param("IN", True, id="text"),
        truth_case("unknown word", Choice(2, "JAMMED"), False),
        truth_case("unknown word", "in", False),
        truth_case("unknown word", "IN ", False),
        truth_case("unknown word", "", False),
        truth_case("no word", 2, False),
        truth_case("no word", 2.0, False),
        truth_case("no word", True, False),
    ],
)
def test_a_word_has_the_number_of_the_contract(
    serve: Serve, request: pytest.FixtureRequest, value: Any, good: bool
) -> None:
    served = _answered(serve(signals={**SIGNALS, "inputs": [*SIGNALS["inputs"], VALVES]}))
    readers = [InputReader(served.loop.latest, 3, place, words=True) for place in range(3)]
    assert served.says("B2:FAULT")[2] == "B2:VALVE has sent nothing yet"
    for reader in readers:
        reader.take(Sample(Choice(2, "IN"), NOW, 0, ""))
    readers[1].take(Sample(value, NOW, 0, ""))
    update = served.cycle()
    assert served.model.asked[0]["valve"].tolist() == [2.0] * (3 if good else 2)
    assert update.values["B1:FAULT"].value == 4.0
    if request.node.get_closest_marker("truth"):
        assert request.getfixturevalue("truth").holds(update.values["B2:FAULT"])
    readers[1].take(Sample(Choice(7, "MOVING"), NOW, 0, ""))
    served.cycle()
    assert served.shown("B2:FAULT").value == 4.0
    assert 1.0 in served.model.asked[-1]["valve"]


@pytest.mark.truth("severe")
def test_an_alarm_of_an_input_goes_to_its_outputs(serving: Served, truth: Situation) -> None:
    serving.put(device="B2", severity=2, message="HIHI")
    assert truth.holds(serving.cycle().values["B2:FAULT"])


@pytest.mark.truth("too severe")
def test_an_alarm_that_the_contract_does_not_allow(serve: Serve, truth: Situation) -> None:
    served = serve(serving={"worst": "MINOR"})
    served.put(severity=2, message="HIHI")
    served.current()
    assert truth.holds(served.cycle().values["B2:FAULT"])


@pytest.mark.truth("silent")
def test_silence_is_seen_though_nothing_arrives(serving: Served, truth: Situation) -> None:
    assert not serving.cycle(after=4.9, due=False).values
    assert truth.holds(serving.cycle(after=0.2, due=False).values["B2:FAULT"])
    assert serving.updates[-1].health.status == "INVALID"


@pytest.mark.truth("ahead")
def test_a_clock_that_is_ahead_hides_no_silence(serving: Served, truth: Situation) -> None:
    for device in DEVICES:
        serving.put(device=device, age=-9.0)
    assert serving.cycle().health.input_age == 0
    assert not serving.cycle(after=4.99, due=False).values
    assert serving.updates[-1].health.input_age == pytest.approx(4.99)
    assert truth.holds(serving.cycle(after=0.02, due=False).values["B2:FAULT"])
    serving.put(device="B2", age=-9.0)
    assert serving.cycle().values["B2:FAULT"].value == 4.0


def test_a_time_that_does_not_move_is_nothing_new_however_often_it_is_read(serving: Served) -> None:
    """Of a server that answers, while nothing processes its records any more."""
    for after in (0.0, 4.9, 0.2):
        serving.at += after
        serving.loop.latest.put(0, 1, GOOD, NOW + 9.0, 0)
        serving.put(device="B1")
        serving.cycle()
    assert serving.says("B2:FAULT") == (Severity.INVALID, Status.TIMEOUT, "B2:TBT is older than 5 s")
    assert serving.shown("B1:FAULT").origin == "model"


@pytest.mark.truth("disconnected")
def test_a_disconnected_input(serving: Served, truth: Situation) -> None:
    serving.disconnect("B2")
    assert truth.holds(serving.cycle(due=False).values["B2:FAULT"])
    assert truth.holds(serving.shown("B2:ORBIT"))


@pytest.mark.truth("unreadable")
def test_an_input_that_the_service_fails_to_read(serving: Served, truth: Situation) -> None:
    feed = Feed("B2:TBT", ("pva",), [InputReader(serving.loop.latest, 0, 1)], lambda: None)
    reading = object.__new__(Subscriptions)  # without its thread
    reading._failed = {}
    reading._fail([feed], OSError("no sockets left"))
    assert truth.holds(serving.cycle(due=False).values["B2:FAULT"])
    assert serving.shown("B1:FAULT").origin == "model"


@pytest.mark.truth("apart")
def test_inputs_that_are_too_far_apart(serve: Serve, truth: Situation) -> None:
    served = serve(serving={"within": 1.0})
    served.put()
    served.current(age=1.01)
    assert truth.holds(served.cycle().values["B2:FAULT"])
    served.current(age=0.99)
    assert served.cycle().values["B2:FAULT"].value == 4.0


@pytest.mark.truth("overtaken")
def test_a_snapshot_that_overtakes_an_input(serve: Serve, truth: Situation) -> None:
    served = _answered(serve(serving={"snapshot": "RING:SHOT", "within": 0.5, "gather": 0.001}))
    trigger = served.loop.trigger
    served.at += 0.5
    trigger.snap(served.at)
    assert trigger.wait()
    served.cycle()
    assert served.shown("B2:FAULT").origin == "model", "as old as the contract allows"
    served.at += 0.01
    trigger.snap(served.at)
    assert trigger.wait()
    served.cycle()
    assert truth.holds(served.shown("B2:FAULT")), "all inputs are of the shot before, so none is apart from another"
    for device in ("B1", "B3"):
        served.put(device=device)
    served.current()
    served.cycle(due=False)
    assert served.says("B2:FAULT")[2] == "B2:TBT is more than 0.5 s older than RING:SHOT"
    assert served.shown("B1:FAULT").origin == "model"
    served.put(device="B2")
    assert served.cycle(due=False).values["B2:FAULT"].value == 4.0, "late, and right"


@pytest.mark.truth("no row")
def test_an_answer_grows_old_where_nothing_makes_rows(serve: Serve, truth: Situation) -> None:
    served = _answered(serve(serving={"snapshot": "RING:SHOT"}))
    for after in (4.9, 0.2):
        served.at += after
        served.put()
        served.cycle(due=False)
        old = served.shown("B2:FAULT")
        assert old.origin == "model" if after == 4.9 else truth.holds(old)
    served.put()
    assert served.cycle().values["B2:FAULT"].value == 4.0


@pytest.mark.truth("other device")
def test_one_bad_device_of_120(serve: Serve, truth: Situation) -> None:
    served = serve(devices=120)
    served.put()
    served.put((1.0, np.nan, 3.0), device="B60")
    served.current()
    update = served.cycle()
    assert served.model.asked[0]["turns"].shape == (119, 3)
    assert truth.holds(served.shown("B59:FAULT"))
    assert truth.holds(served.shown("B61:ORBIT"))
    assert update.health.reason == "B60:TBT is NaN (2 of 240 outputs)"


@pytest.mark.truth("warning")
def test_an_answer_beyond_high(serving: Served, truth: Situation) -> None:
    serving.model.gives = lambda answers: {**answers, "score": np.full(3, 50.0)}
    serving.at += 0.1
    serving.put()
    assert truth.holds(serving.cycle().values["B2:FAULT"])


@pytest.mark.truth("bypassed")
def test_a_bypassed_alarm_says_so_until_it_ends_and_is_no_less_an_alarm(serving: Served, truth: Situation) -> None:
    serving.model.gives = lambda answers: {**answers, "score": np.full(3, 50.0)}
    serving.at += 0.1
    end = serving.at + 1
    words = "bypassed until 2027-01-15T09:00:00Z by Ada: a study"

    def shown(*bypassed: Bypassed) -> dict[str, str]:
        serving.loop.standing = replace(serving.loop.standing, bypassed=bypassed)
        serving.at += 0.1
        serving.put()
        return {pv: value.message for pv, value in serving.cycle().values.items() if pv.endswith("FAULT")}

    shown(Bypassed("score.high", "", end, words))
    assert truth.holds(serving.shown("B2:FAULT"))
    assert set(shown(Bypassed("score.high", "B2", end, words), Bypassed("score.hihi", "", end, "x")).items()) == {
        ("B1:FAULT", ""),
        ("B2:FAULT", words),
        ("B3:FAULT", ""),
    }
    assert shown(Bypassed("score.high", "B1:FAULT", end, words))["B1:FAULT"] == words
    # It is not worse service: the reason says it, the status does not.
    health = serving.cycle().health
    bypassed = f"score.high B1:FAULT is {words}"
    assert (health.status, health.reason) == ("SERVING", bypassed)
    # Whatever else is wrong stands beside it, and not in its place.
    standing = serving.loop.standing
    serving.loop.standing = replace(standing, note="the registry does not answer")
    assert serving.cycle().health.reason == f"the registry does not answer; {bypassed}"
    serving.loop.standing = standing
    serving.at = end
    assert set(shown(Bypassed("score.high", "", end, words)).values()) == {""}


@pytest.mark.truth("alarm")
def test_an_answer_beyond_hihi(serving: Served, truth: Situation) -> None:
    serving.model.gives = lambda answers: {**answers, "score": np.full(3, 90.0)}
    serving.at += 0.1
    serving.put()
    assert truth.holds(serving.cycle().values["B2:FAULT"])


@pytest.mark.truth("raises")
def test_a_model_that_raises(serving: Served, truth: Situation) -> None:
    serving.model.fails = "the model raised ValueError: no"
    serving.at += 0.1
    serving.put()
    update = serving.cycle()
    for device in DEVICES:
        assert truth.holds(update.values[f"{device}:FAULT"])
    assert update.health.status == "INVALID"


@pytest.mark.truth("raises for another")
def test_a_model_that_raises_for_one_device_of_120(serve: Serve, truth: Situation) -> None:
    served = _answered(serve(devices=120))
    served.model.raises_for = (9.0,)
    served.at += 0.1
    served.put((4.0, 4.0, 4.0))
    served.put((9.0, 9.0, 9.0), device="B60")
    update = served.cycle()
    for device in (name for name in served.devices if name != "B60"):
        assert truth.holds(update.values[f"{device}:FAULT"])
        assert update.values[f"{device}:FAULT"].value == 8.0, "of this cycle"
    assert served.says("B60:FAULT") == (Severity.INVALID, Status.CALC, "the model raised ValueError: no beam")
    assert np.isnan(served.shown("B60:ORBIT").value).all()
    assert update.health.status == "DEGRADED"
    assert update.health.reason == "the model raised ValueError: no beam (2 of 240 outputs)"


@pytest.mark.parametrize(
    "outputs",
    [
        truth_case("answers nan", {"score": np.full(3, np.nan)}),
        truth_case("answers infinity", {"score": np.full(3, -np.inf)}),
        truth_case("answers outside", {"score": np.full(3, 100.1)}),
        truth_case("answers shape", {"score": np.zeros((3, 1))}),
        truth_case("answers nothing", {"score": None}),
    ],
)
def test_an_answer_that_cannot_be_true(serving: Served, truth: Situation, outputs: dict[str, Any]) -> None:
    def instead(answers: dict[str, Any]) -> dict[str, Any]:
        return {name: values for name, values in {**answers, **outputs}.items() if values is not None}

    serving.model.gives = instead
    serving.at += 0.1
    serving.put()
    update = serving.cycle()
    assert truth.holds(update.values["B2:FAULT"])
    assert update.values["B2:ORBIT"].origin == "model"
    serving.model.gives = None
    serving.at += 0.1
    serving.put()
    assert serving.cycle().values["B2:FAULT"].value == 4.0


@pytest.mark.slow
@pytest.mark.truth("held")
def test_hold(serve: Serve, truth: Situation) -> None:
    served = _answered(serve(fallback={"on_invalid": "hold", "hold_for": "30s"}))
    served.put((1.0, np.nan, 3.0), device="B2")
    shown = served.cycle().values["B2:FAULT"]
    assert truth.holds(shown)
    assert shown.value == 4.0
    served.at += 29.9
    served.put((1.0, np.nan, 3.0), device="B2")
    assert "B2:FAULT" not in served.cycle().values
    assert truth.holds(served.shown("B2:FAULT"))


@pytest.mark.slow
def test_a_held_value_ends_though_no_row_is_made(serve: Serve) -> None:
    """Its reason may be over meanwhile; nobody has asked the model again."""
    served = _answered(serve(fallback={"on_invalid": "hold", "hold_for": "10s"}, serving={"snapshot": "RING:SHOT"}))
    served.put((1.0, np.nan, 3.0), device="B2")
    served.cycle(due=False)
    served.put(device="B2")
    served.cycle(due=False)
    assert served.says("B2:FAULT")[2] == "held, because no row was made since nothing is wrong with its inputs any more"
    served.at += 10.1
    served.put()
    served.cycle(due=False)
    assert served.shown("B2:FAULT").origin == "none"


@pytest.mark.truth("ended")
def test_what_is_shown_when_the_service_ends(serving: Served, truth: Situation) -> None:
    for value in serving.loop.ended().values.values():
        assert truth.holds(value)


@pytest.mark.truth("held too long")
def test_hold_ends(serve: Serve, truth: Situation) -> None:
    served = _answered(serve(fallback={"on_invalid": "hold", "hold_for": "30s"}))
    for after in (0.0, 30.1):
        served.at += after
        served.put((1.0, np.nan, 3.0), device="B2")
        served.cycle()
    assert truth.holds(served.shown("B2:FAULT"))


@pytest.mark.truth("held too long, then the default")
def test_hold_ends_with_the_default(serve: Serve, truth: Situation) -> None:
    served = _answered(serve(fallback={"on_invalid": "hold", "hold_for": "30s", "then": "default"}))
    for after, origin in ((0.0, "held"), (29.9, "held"), (0.2, "default")):
        served.at += after
        served.put((1.0, np.nan, 3.0), device="B2")
        served.cycle()
        assert served.shown("B2:FAULT").origin == origin
    assert truth.holds(served.shown("B2:FAULT"))
    assert served.shown("B2:FAULT").value == 0.0
    assert truth.holds(served.shown("B2:ORBIT"))
    assert np.array_equal(served.shown("B2:ORBIT").value, np.zeros(3))
    assert served.updates[-1].health.status == "DEGRADED"


@pytest.mark.truth("default")
def test_default(serve: Serve, truth: Situation) -> None:
    served = _answered(serve(fallback={"on_invalid": "default"}))
    served.put((1.0, np.nan, 3.0), device="B2")
    shown = served.cycle().values["B2:FAULT"]
    assert truth.holds(shown)
    assert shown.value == 0.0
    assert served.updates[-1].health.status == "DEGRADED"


@pytest.mark.parametrize("fallback", [{"on_invalid": "default"}, {"on_invalid": "hold", "hold_for": "1h"}])
@pytest.mark.truth("no permit")
def test_no_fallback_shows_what_nothing_permits(serve: Serve, truth: Situation, fallback: dict[str, Any]) -> None:
    served = _answered(serve(fallback=fallback))
    served.loop.standing = Standing(3, "sha256:p", refused="its permit is signed with an unknown key")
    served.put()
    assert truth.holds(served.cycle(after=0.1).values["B2:FAULT"])
    assert len(served.model.asked) == 1


def test_what_is_permitted_again_is_asked_though_nothing_arrives(serving: Served) -> None:
    serving.at += 0.1
    serving.loop.standing = Standing(3, "sha256:p", refused="its key is not listed")
    serving.put()
    serving.cycle()
    serving.loop.standing = Standing(3, "sha256:p")
    assert serving.cycle(due=False).values["B2:FAULT"].value == 4.0


def test_rows_that_were_due_are_asked_for_once_their_inputs_are_sound(serving: Served) -> None:
    serving.put(age=-12.0)
    serving.cycle()
    assert serving.shown("B2:FAULT").origin == "none"
    assert serving.cycle(after=3.0, due=False).values["B2:FAULT"].value == 4.0


def test_a_limit_that_an_operator_changes_counts_before_the_next_row(serve: Serve) -> None:
    served = _answered(serve(serving={"snapshot": "RING:SHOT"}))
    served.put()
    served.loop.limits.set("B2:FAULT", "high", 3.0)
    served.cycle(due=False)
    assert served.says("B2:FAULT") == (Severity.MINOR, Status.HIGH, "")


@pytest.mark.truth("retired")
def test_a_retired_version(serving: Served, truth: Situation) -> None:
    serving.loop.standing = Standing(3, "sha256:p", refused="retired by A at 2026-11-29: drifted", retired=True)
    update = serving.cycle(due=False)
    assert truth.holds(update.values["B2:FAULT"])
    assert update.health.status == "RETIRED"


@pytest.mark.parametrize(
    ("note", "routine"),
    [
        pytest.param("the ledger has not answered since 12:03", False, marks=pytest.mark.truth("unreachable")),
        pytest.param("promotions are frozen by A", True, marks=pytest.mark.truth("frozen")),
    ],
)
def test_what_stops_no_champion_is_said(serving: Served, truth: Situation, note: str, routine: bool) -> None:
    serving.loop.standing = Standing(3, "sha256:p", note=note, routine=routine)
    serving.at += 0.1
    serving.put()
    update = serving.cycle()
    assert truth.holds(update.values["B2:FAULT"])
    assert (update.health.status, update.health.reason) == ("SERVING" if routine else "DEGRADED", note)
    serving.put(device="B2", severity=3)
    assert serving.cycle().health.status == "DEGRADED"


@pytest.mark.parametrize("fallback", [{"on_invalid": "default"}, {"on_invalid": "hold", "hold_for": "1h"}])
@pytest.mark.truth("restart")
def test_a_restart_shows_nothing_until_the_first_answer(
    serve: Serve, truth: Situation, monkeypatch: pytest.MonkeyPatch, fallback: dict[str, Any]
) -> None:
    before = _answered(serve(fallback=fallback))
    before.disconnect("B2")
    before.cycle()
    assert before.shown("B2:FAULT").origin in ("held", "default")
    served = serve(fallback=fallback)
    served.cycle()
    assert truth.holds(served.shown("B2:FAULT"))

    def load(_: object) -> None:
        raise NotLoaded("the model is being loaded")

    monkeypatch.setattr(served.model, "ask", load)
    served.put()
    served.current()
    update = served.cycle()
    assert truth.holds(served.shown("B2:FAULT"))
    assert truth.holds(served.shown("B2:ORBIT"))
    assert update.health.status == "STARTING"
    served.disconnect("B1")  # what was held before is gone
    served.cycle()
    assert (served.shown("B1:FAULT").origin == "held", update.health.version) == (False, 0)
    monkeypatch.undo()
    served.put()
    assert served.cycle().values["B2:FAULT"].value == 4.0


@pytest.mark.truth("overload")
def test_overload(serving: Served, truth: Situation) -> None:
    for turn in range(1, 6):
        serving.at += 0.1
        serving.put((turn, turn, turn))
    update = serving.cycle()
    assert truth.holds(update.values["B2:FAULT"])
    assert update.values["B2:FAULT"].value == 10.0
    assert update.health.dropped == 12


@pytest.mark.truth("service fails")
def test_a_fault_of_the_service(serving: Served, truth: Situation, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("beampermit.live.loop.assemble", lambda *_: 1 / 0)
    serving.run_once()
    assert truth.holds(serving.shown("B2:FAULT"))


def _answered(served: Served) -> Served:
    served.put()
    served.current()
    served.cycle()
    return served
