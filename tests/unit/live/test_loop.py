"""A cycle of the service: rows are judged alone, transitions are published once, and nothing untrue is shown."""

from __future__ import annotations

import numpy as np
import pytest

from beampermit.live.severity import Severity, Status
from support.served import DEVICES, Serve, Served


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
    serving.model.fails = "the model raised ValueError: no"
    serving.put(device="B1")
    serving.cycle()
    assert {serving.says(f"{device}:FAULT")[1:] for device in DEVICES} == {
        (Status.CALC, "the model raised ValueError: no")
    }
    serving.model.fails = ""
    serving.cycle(after=0.2, due=False)
    assert serving.shown("B1:FAULT").value == 4.0


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
