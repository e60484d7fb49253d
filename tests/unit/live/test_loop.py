"""A cycle of the service: rows are judged alone, transitions are published once, and nothing untrue is shown."""

from __future__ import annotations

import time
from types import SimpleNamespace

import numpy as np
import pytest

from beampermit.live.http.protocol import _can_answer
from beampermit.live.loop import NotLoaded
from beampermit.live.severity import Severity, Status
from support.served import DEVICES, NOW, Serve, Served


def test_all_devices_are_asked_for_in_one_batch(serving: Served) -> None:
    (asked,) = serving.model.asked
    assert asked["turns"].shape == (3, 3)
    assert asked["gain"].tolist() == [2.0, 2.0, 2.0]
    assert serving.shown("B1:FAULT").value == 4.0
    assert serving.shown("B3:ORBIT").value.tolist() == [2.0, 4.0, 6.0]
    assert serving.says("B1:FAULT") == (Severity.NO_ALARM, Status.NO_ALARM, "")


def test_outputs_are_invalid_before_the_first_sample(serve: Serve) -> None:
    served = serve()
    update = served.cycle()
    value = update.values["B1:FAULT"]
    assert np.isnan(value.value)
    assert (value.severity, value.status) == (Severity.INVALID, Status.UDF)
    assert value.message == "B1:TBT has sent nothing yet"
    assert (update.health.status, update.health.version) == ("STARTING", 0)
    assert not served.model.asked


def test_one_bad_device_leaves_the_others(serving: Served) -> None:
    serving.put(device="B1")
    serving.put([1.0, np.nan, 3.0], device="B2")
    update = serving.cycle()
    assert update.values.keys() == {"B2:FAULT", "B2:ORBIT"}
    assert serving.says("B2:FAULT") == (Severity.INVALID, Status.READ, "B2:TBT is NaN")
    assert serving.shown("B1:FAULT").value == 4.0
    assert len(serving.model.asked[-1]["turns"]) == 1


def test_a_transition_is_published_once_and_so_is_the_recovery(serving: Served) -> None:
    serving.put([0.0, 0.0, np.inf], device="B2")
    assert "B2:FAULT" in serving.cycle().values
    assert not serving.cycle(after=0.2).values
    serving.put(device="B2")
    assert serving.cycle(after=0.2).values["B2:FAULT"].value == 4.0
    assert not serving.cycle(after=0.2).values


def test_what_the_model_cannot_answer_is_asked_again(serving: Served) -> None:
    serving.model.fails = "the model did not answer: output 'score' is of type str, not a number"
    serving.put(device="B1")
    serving.cycle()
    assert {serving.says(f"{device}:FAULT")[1:] for device in DEVICES} == {(Status.CALC, serving.model.fails)}
    serving.model.fails = ""
    serving.cycle(after=0.2, due=False)
    assert serving.shown("B1:FAULT").value == 4.0


def test_rows_that_are_asked_for_again_in_vain_are_told_once(serving: Served) -> None:
    """While the model's process is away for minutes, each look would otherwise put all rows into the log."""
    serving.model.fails = "the model's process ended: killed by SIGKILL; its process is started again"
    serving.put(device="B1")
    assert serving.cycle().rows is not None
    before = len(serving.model.asked)
    assert [serving.cycle(after=0.2, due=False).rows for _ in range(5)] == [None] * 5
    assert len(serving.model.asked) == before + 5
    serving.put(device="B1")
    assert serving.cycle().rows is not None, "what is new and due is told"
    serving.model.fails = ""
    told = serving.cycle(after=0.2, due=False).rows
    assert told is not None
    assert told.names == DEVICES


def test_an_error_of_the_service_itself_makes_every_output_invalid_until_the_next_cycle(
    serving: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("beampermit.live.loop.assemble", lambda *_: 1 / 0)
    serving.run_once()
    assert serving.updates[-1].health.status == "INVALID"
    for pv in ("B1:FAULT", "B2:ORBIT"):
        assert serving.says(pv) == (Severity.INVALID, Status.CALC, "the service failed: ZeroDivisionError")
    monkeypatch.undo()
    assert serving.cycle().values["B1:FAULT"].value == 4.0


def test_while_the_model_is_loaded_for_the_first_time_the_service_starts_and_no_default_is_shown(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    served = serve(fallback={"on_invalid": "default"})

    def load(_: object) -> None:
        raise NotLoaded("the model is being loaded")

    monkeypatch.setattr(served.model, "ask", load)
    served.put()
    served.current()
    update = served.cycle()
    assert served.says("B1:FAULT") == (Severity.INVALID, Status.UDF, "the model is being loaded")
    assert (update.health.status, update.health.version) == ("STARTING", 0)
    monkeypatch.undo()
    served.loop.model_is_back()
    assert served.cycle(due=False).health.status == "SERVING"


def test_a_model_that_fails_at_its_first_answer_is_invalid_and_not_starting(serve: Serve) -> None:
    served = serve()
    served.model.fails = "the model raised ValueError: no"
    served.put()
    served.current()
    assert served.cycle().health.status == "INVALID"


@pytest.mark.parametrize(("step", "origin"), [(-3600.0, "none"), (3600.0, "held")])
def test_a_step_of_the_clock_does_not_change_how_long_a_value_is_held(serve: Serve, step: float, origin: str) -> None:
    served = serve(fallback={"on_invalid": "hold", "hold_for": "30s"})
    served.put()
    served.current()
    served.loop.cycle(served.at, elapsed=100.0)
    served.at += step
    served.current()
    served.put((1.0, np.nan, 3.0), device="B2")
    served.loop.cycle(served.at, elapsed=130.1 if origin == "none" else 129.9)
    assert served.shown("B2:FAULT").origin == origin


def test_the_loop_holds_values_by_the_monotonic_clock(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    served, elapsed = serve(), list[float | None]()
    cycle = served.loop.cycle
    monkeypatch.setattr(served.loop, "cycle", lambda now, due, by: elapsed.append(by) or cycle(now, due, by))
    before = time.monotonic()
    served.run_once()
    assert elapsed[0] is not None
    assert before <= elapsed[0] <= time.monotonic()


def test_what_an_earlier_process_failed_at_says_nothing_once_another_is_ready(serving: Served) -> None:
    """Though no row can be asked for."""
    serving.model.fails = "the model's process ended: killed by SIGKILL; its process is started again"
    serving.put(device="B1")
    serving.cycle()
    assert not _can_answer(serving.loop)
    serving.put([0.0, 0.0, np.nan])
    serving.cycle()
    assert serving.loop.failure
    serving.model.fails = ""
    serving.loop.model_is_back()
    serving.cycle(due=False)
    assert _can_answer(serving.loop)
    assert serving.says("B1:FAULT")[2] == "B1:TBT is NaN"


def test_a_service_that_recovered_has_no_failure_although_no_row_can_be_asked_for(
    serving: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("beampermit.live.loop.assemble", lambda *_: 1 / 0)
    serving.run_once()
    monkeypatch.undo()
    serving.put([0.0, 0.0, np.nan])
    serving.cycle()
    assert not serving.loop.failure
    serving.put()
    assert serving.cycle().values["B1:FAULT"].value == 4.0


def test_after_an_error_of_the_service_rows_are_asked_for_though_nothing_arrives(
    serving: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("beampermit.live.loop.assemble", lambda *_: 1 / 0)
    serving.put([5.0, 5.0, 5.0], device="B1")
    serving.model.restarts = 2
    serving.run_once()
    assert serving.updates[-1].health.restarts == 2
    monkeypatch.undo()
    values = serving.cycle(due=False).values
    assert (values["B1:FAULT"].value, values["B2:FAULT"].value) == (10.0, 4.0)
    assert len(serving.model.asked[-1]["turns"]) == 3, "all rows, from nothing"


@pytest.mark.parametrize(("due", "arrived", "latency"), [(10.0, 7.0, 2.5), (10.0, 12.0, 0.5)])
def test_latency_counts_from_when_a_row_is_due_and_complete_to_its_publication(
    serve: Serve, monkeypatch: pytest.MonkeyPatch, due: float, arrived: float, latency: float
) -> None:
    """Waiting for the period is what the contract asks for."""
    served, clock = serve(serving={"period": "5s"}), [12.4]
    served.put()
    served.current()

    def publish(_: object) -> None:
        clock.append(12.5)
        served.stop.set()

    served.loop._publish = publish
    monkeypatch.setattr("beampermit.live.loop.time", SimpleNamespace(monotonic=lambda: clock[-1], time=lambda: NOW))
    monkeypatch.setattr(served.loop.trigger, "wait", lambda: True)
    served.loop._clock = lambda: served.at
    served.loop.trigger.since, served.loop.latest._arrived = due, arrived
    served.run_once()
    assert served.cycle(due=False).health.latency_p99 == pytest.approx(latency)
