"""A question that ends the model's process costs the PVs one start of it, and not one after the other."""

from __future__ import annotations

import logging
from types import SimpleNamespace
from typing import Any

import pytest

from beampermit.live.http import protocol
from beampermit.live.process import model_process
from support.http_service import Browse
from support.planted_processes import Plant, loop_of, shown

MODEL = "/v2/models/bpm-faults"
REFUSED = "the model answers no questions until it has recovered from one before: "


def turns(value: float) -> dict[str, Any]:
    """To zeros the process answers as it should."""
    return {"name": "turns", "datatype": "FP64", "shape": [1, 3], "data": [value] * 3}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("does", "timeout", "reason"),
    [
        ("os._exit(7)", "60s", "the model's process ended: exit status 7; its process is started again"),
        ("time.sleep(60)", "2s", "the model did not answer within 2 s; its process is started again"),
    ],
)
def test_after_a_question_that_ends_the_process_the_loop_alone_asks_until_it_is_well(
    plant: Plant,
    browse: Browse,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    does: str,
    timeout: str,
    reason: str,
) -> None:
    asked = plant(does, sections={"serving": {"timeout": timeout}, "fallback": {"on_invalid": "invalid"}})
    asked.until_ready()
    loop = loop_of(asked)
    http = browse(SimpleNamespace(loop=loop))  # pyright: ignore[reportArgumentType]
    assert shown(loop).origin == "model"
    assert http.ask(turns(0)).status_code == 200
    lost = http.ask(turns(1))
    assert (lost.status_code, lost.json()) == (500, {"error": reason})
    assert shown(loop).message == reason
    for number in (0, 1):  # others pay for it too: nobody knows who asks
        refused = http.ask(turns(number))
        assert (refused.status_code, refused.json()) == (503, {"error": REFUSED + reason})
        assert 0 < int(refused.headers["Retry-After"]) <= 60
    asked.until_ready(2)
    assert http.ask(turns(1)).status_code == 503, "it has just started"
    assert shown(loop).origin == "model"
    assert http.get(f"{MODEL}/ready").status_code == 503, "a client that looks does not ask"
    monkeypatch.setattr(model_process, "GOOD", 0.0)  # a minute later
    assert http.get(f"{MODEL}/ready").status_code == 200
    assert http.ask(turns(0)).status_code == 200
    assert asked.process.restarts == 1
    assert "a question that is not the inference loop's has cost the model's process" in caplog.text


@pytest.mark.slow
def test_starts_do_not_come_later_and_later_where_each_minute_has_such_a_question(
    plant: Plant, browse: Browse, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    asked = plant("os._exit(7)")
    asked.until_ready()
    http = browse(SimpleNamespace(loop=loop_of(asked)))  # pyright: ignore[reportArgumentType]
    monkeypatch.setattr("beampermit.live.process.policy.GOOD", 0.01)
    monkeypatch.setattr(model_process, "GOOD", 0.0)
    for starts in (2, 3):
        assert http.ask(turns(1)).status_code == 500
        asked.until_ready(starts)
    assert caplog.text.count("a start follows in 0.5 s") == 2


@pytest.mark.slow
def test_a_question_that_the_loop_asked_stops_no_others(plant: Plant, browse: Browse) -> None:
    asked = plant("os._exit(7)")
    asked.until_ready()
    loop = loop_of(asked)
    http = browse(SimpleNamespace(loop=loop))  # pyright: ignore[reportArgumentType]
    shown(loop, 1.0)
    asked.until_ready(2)
    assert shown(loop).origin == "model"
    assert http.ask(turns(0)).status_code == 200


def test_a_pause_is_rounded_up_to_seconds() -> None:
    paused = protocol._no_time(protocol.Paused("it has to recover", 0.2))
    assert (paused.status_code, paused.headers["Retry-After"]) == (503, "1")
