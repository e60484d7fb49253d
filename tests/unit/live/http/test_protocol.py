"""The Open Inference Protocol over a real connection: an answer says how true it is, and is a number only then."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import numpy as np
import pytest

from beampermit import __version__
from beampermit.live.http import inference, protocol
from beampermit.live.http.question import MOST_BYTES
from beampermit.live.loop import ModelError, Standing
from support.http_service import CURRENT, TURNS, Browse, Browsed
from support.served import Serve, Served

MODEL = "/v2/models/bpm-faults"


@pytest.fixture
def held(serving: Served, browse: Browse) -> Iterator[tuple[Browsed, threading.Event]]:
    """A question is being answered until the event is set, and others wait."""
    http = browse(serving)
    begun, go_on = threading.Event(), threading.Event()

    def hold() -> None:
        begun.set()
        assert go_on.wait(60)  # longer than the client waits

    assert http.server._answerer
    http.server._answerer.submit(hold)
    assert begun.wait(20)
    yield http, go_on
    go_on.set()


def until_waiting(http: Browsed, questions: int = 1) -> None:
    assert http.server._answerer
    until = time.monotonic() + 20
    while http.server._answerer._work_queue.qsize() < questions and time.monotonic() < until:
        time.sleep(0.01)


def test_the_service_and_its_model_are_described(serving: Served, browse: Browse) -> None:
    http = browse(serving)
    assert http.get("/v2").json() == {"name": "beampermit", "version": __version__, "extensions": []}
    metadata = http.get(MODEL).json()
    assert metadata == http.get(f"{MODEL}/versions/3").json()
    assert (metadata["name"], metadata["versions"], metadata["platform"]) == ("bpm-faults", ["3"], "mlflow")
    assert metadata["inputs"] == [  # the constant is not asked for
        {"name": "turns", "datatype": "FP64", "shape": [-1, 3]},
        {"name": "current", "datatype": "FP64", "shape": [-1]},
    ]
    assert [output["name"] for output in metadata["outputs"]] == ["score", "orbit"]


def test_an_answer_has_the_value_of_each_row_with_its_alarm(serving: Served, browse: Browse) -> None:
    http = browse(serving)
    high = {**TURNS, "data": [[1, 2, 3], [20, 20, 20]]}
    serving.model.gives = lambda answers: {**answers, "score": answers["score"] * 1.5}
    answer = http.ask(high, CURRENT, id="shot 7")
    assert answer.status_code == 200
    assert {key: answer.json()[key] for key in ("model_name", "model_version", "id")} == {
        "model_name": "bpm-faults",
        "model_version": "3",
        "id": "shot 7",
    }
    score, orbit = answer.json()["outputs"]
    assert score == {
        "name": "score",
        "datatype": "FP64",
        "shape": [2],
        "data": [6.0, 60.0],
        "parameters": {"severity": ["NO_ALARM", "MINOR"], "status": ["NO_ALARM", "HIGH"], "reason": ["", ""]},
    }
    assert (orbit["shape"], orbit["data"]) == ([2, 3], [2.0, 4.0, 6.0, 40.0, 40.0, 40.0])


def test_one_bad_row_is_null_with_its_reason_and_leaves_the_others(serving: Served, browse: Browse) -> None:
    http = browse(serving)
    rows = {**TURNS, "shape": [3, 3], "data": [[1, 2, 3], [1, None, 3], [1, 2, 21]]}
    answer = http.ask(rows, {**CURRENT, "shape": [3], "data": [300, 300, 300]}).json()
    score, orbit = answer["outputs"]
    assert score["data"] == [4.0, None, None]
    assert orbit["data"] == [2.0, 4.0, 6.0, *[None] * 6]
    assert score["parameters"] == {
        "severity": ["NO_ALARM", "INVALID", "INVALID"],
        "status": ["NO_ALARM", "READ", "READ"],
        "reason": ["", "turns of row 1 is NaN", "turns of row 2 is 21, outside its range [-20, 20]"],
    }
    assert serving.model.asked[-1]["turns"].shape == (1, 3)


@pytest.mark.slow
@pytest.mark.parametrize("fallback", [{"on_invalid": "default"}, {"on_invalid": "hold", "hold_for": "10s"}])
def test_a_fallback_value_is_no_answer(serve: Serve, browse: Browse, fallback: dict[str, Any]) -> None:
    http = browse(serve(fallback=fallback))
    for turns in ([1, 2, 3, 4, 5, 6], [1, 2, None, 4, 5, 6]):
        answer = http.ask({**TURNS, "data": turns}, CURRENT).json()
    assert answer["outputs"][0]["data"] == [None, 10.0]


def test_severity_and_time_of_inputs_count_as_they_do_for_pvs(serving: Served, browse: Browse) -> None:
    http = browse(serving)
    turns = {**TURNS, "shape": [3, 3], "data": [1, 2, 3] * 3}
    severities = {"severity": ["NO_ALARM", "MINOR", "INVALID"]}
    answer = http.ask(turns, {**CURRENT, "shape": [3], "data": [300] * 3, "parameters": severities}).json()
    assert answer["outputs"][0]["data"] == [4.0, 4.0, None]
    assert answer["outputs"][0]["parameters"] == {
        "severity": ["NO_ALARM", "MINOR", "INVALID"],
        "status": ["NO_ALARM", "LINK", "LINK"],
        "reason": ["", "current of row 1 has severity MINOR", "current of row 2 has severity INVALID"],
    }
    answer = http.ask({**TURNS, "parameters": {"time": [1.0, 4e9]}}, CURRENT).json()
    assert answer["outputs"][0]["data"] == [None, None]
    assert answer["outputs"][0]["parameters"]["status"] == ["TIMEOUT", "TIMEOUT"]


@pytest.mark.parametrize(
    ("wrong", "reason"),
    [
        ({"score": np.array([1.0, np.nan])}, "the model gave NaN for score"),
        ({"score": np.array([1.0, 101.0])}, "the model gave 101 for score, outside its range [-100, 100]"),
        ({"score": np.ones((2, 3))}, "the model gave score in shape (2, 3) instead of (2,)"),
        ({}, "the model gave no score"),
    ],
)
def test_what_the_model_must_not_have_said_is_null(
    serving: Served, browse: Browse, wrong: dict[str, np.ndarray], reason: str
) -> None:
    http = browse(serving)
    serving.model.gives = lambda answers: {"orbit": answers["orbit"], **wrong}
    score = http.ask().json()["outputs"][0]
    assert score["data"][1] is None
    assert (score["parameters"]["severity"][1], score["parameters"]["reason"][1]) == ("INVALID", reason)


def test_a_row_for_which_the_model_raises_is_null_and_leaves_the_others(serving: Served, browse: Browse) -> None:
    http = browse(serving)
    serving.model.raises_for = (9.0,)
    rows = {**TURNS, "shape": [4, 3], "data": [[1, 2, 3], [9, 0, 0], [1, 2, 3], [9, 9, 9]]}
    current = {**CURRENT, "shape": [4], "data": [300] * 4}
    score, orbit = http.ask(rows, current).json()["outputs"]
    assert score["data"] == [4.0, None, 4.0, None], "the fourth is a batch of its own"
    assert orbit["data"][:6] == [2.0, 4.0, 6.0, None, None, None]
    assert score["parameters"]["reason"] == ["", "the model raised ValueError: no beam"] * 2
    assert score["parameters"]["status"][1] == "CALC"


def test_a_model_that_fails_is_an_error_and_no_answer(serving: Served, browse: Browse) -> None:
    http = browse(serving)
    serving.model.fails = "the model raised ValueError: no"
    answer = http.ask()
    assert (answer.status_code, answer.json()) == (500, {"error": "the model raised ValueError: no"})


def test_nothing_is_answered_by_a_version_that_may_not_serve(serve: Serve, browse: Browse) -> None:
    http = browse(served := serve(Standing(3, "", refused="no permit for version 3")))
    answer = http.ask()
    assert (answer.status_code, answer.json()) == (503, {"error": "no permit for version 3"})
    assert not served.model.asked
    assert http.get(f"{MODEL}/ready").status_code == 503


def test_readiness_is_that_of_an_answer(serving: Served, browse: Browse) -> None:
    http = browse(serving)
    assert http.get("/v2/health/live").json() == {"live": True}
    assert http.get("/v2/health/ready").json() == {"ready": True}
    assert http.get(f"{MODEL}/ready").json() == {"name": "bpm-faults", "ready": True}
    serving.model.fails = "the model's process ended"
    serving.put(device="B1")
    serving.cycle()
    assert http.get("/v2/health/ready").status_code == 503
    assert http.get(f"{MODEL}/versions/3/ready").status_code == 503
    http.loops.clear()
    assert http.get("/v2/health/ready").status_code == 503
    assert http.ask().json() == {"error": "no version is in service yet"}


def test_a_model_that_is_not_loaded_is_not_ready_before_it_is_asked(serve: Serve, browse: Browse) -> None:
    http = browse(served := serve())
    served.model.ready = False
    served.cycle()  # no inputs: the loop does not ask
    assert http.get("/v2/health/ready").status_code == 503
    assert http.get(f"{MODEL}/ready").json() == {"name": "bpm-faults", "ready": False}
    served.model.ready = True
    assert http.get("/v2/health/ready").status_code == 200


def test_no_answer_is_given_of_a_version_that_is_refused_while_it_is_asked(serving: Served, browse: Browse) -> None:
    http = browse(serving)

    def retire(answers: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        serving.loop.standing = Standing(3, "", refused="version 3 was retired by Ada")
        return answers

    serving.model.gives = retire
    answer = http.ask()
    assert (answer.status_code, answer.json()) == (503, {"error": "version 3 was retired by Ada"})


@pytest.mark.slow
def test_a_question_that_waits_over_a_switch_is_answered_by_the_new_version(
    serving: Served, serve: Serve, held: tuple[Browsed, threading.Event]
) -> None:
    http, go_on = held
    others = serve(Standing(4, "sha256:q"))
    answers: list[dict[str, Any]] = []
    waiting = [
        threading.Thread(target=lambda ask=ask: answers.append(ask().json())) for ask in (http.ask, of_three(http))
    ]
    for thread in waiting:
        thread.start()
    until_waiting(http, 2)
    http.loops[:] = [others.loop]
    serving.model.fails = "the model's process ended"
    go_on.set()
    for thread in waiting:
        thread.join(20)
    assert {answer.get("model_version", answer.get("error")) for answer in answers} == {
        "4",
        "version 3 is not served; version 4 is",
    }


def of_three(http: Browsed) -> Callable[[], httpx.Response]:
    """Asks the version by its number."""
    body = {"inputs": [TURNS, CURRENT]}
    return lambda: http.client.post(f"{MODEL}/versions/3/infer", json=body)


def test_a_question_that_a_switch_interrupts_may_be_asked_again(serving: Served, serve: Serve, browse: Browse) -> None:
    http = browse(serving)
    others = serve(Standing(4, "sha256:q"))

    def switch(_: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        http.loops[:] = [others.loop]
        raise ModelError("the model's process ended")

    serving.model.gives = switch
    answer = http.ask()
    assert (answer.status_code, answer.headers["Retry-After"]) == (503, "1")
    assert answer.json() == {"error": "another version came into service while the model was asked"}


def test_another_model_or_version_is_not_found(serving: Served, browse: Browse) -> None:
    http = browse(serving)
    for path, error in {
        "/v2/models/orbit": "the model 'orbit' is not served here; 'bpm-faults' is",
        f"{MODEL}/versions/2/ready": "version 2 is not served; version 3 is",
    }.items():
        answer = http.get(path)
        assert (answer.status_code, answer.json()) == (404, {"error": error})
    assert http.get("/v2/nothing").json() == {"error": "Not Found"}
    assert (refused := http.get(f"{MODEL}/infer")).status_code == 405
    assert refused.json() == {"error": "Method Not Allowed"}


def test_the_model_is_asked_for_no_more_rows_than_by_the_loop(serving: Served, browse: Browse) -> None:
    http = browse(serving)
    rows = 7
    turns = {**TURNS, "shape": [rows, 3], "data": (np.arange(rows * 3) - 1).reshape(rows, 3).tolist()}
    answer = http.ask(turns, {**CURRENT, "shape": [rows], "data": [300] * rows}).json()
    assert [len(asked["turns"]) for asked in serving.model.asked[1:]] == [3, 3, 1]
    assert answer["outputs"][0]["data"] == [6.0 * row for row in range(rows)]


def test_some_outputs_may_be_asked_for(serving: Served, browse: Browse) -> None:
    http = browse(serving)
    answer = http.ask(outputs=[{"name": "orbit", "parameters": {"binary_data": False}}]).json()
    assert [output["name"] for output in answer["outputs"]] == ["orbit"]
    refused = http.ask(outputs=[{"name": "orbi"}])
    assert (refused.status_code, refused.json()) == (
        400,
        {"error": "output 'orbi' is not known; did you mean 'orbit'?"},
    )


@pytest.mark.slow
def test_a_question_that_is_too_large_is_refused_before_it_is_read(serving: Served, browse: Browse) -> None:
    http = browse(serving)
    path = f"{MODEL}/infer"
    refused = http.client.post(path, content=b"[" * (MOST_BYTES + 1))
    assert (refused.status_code, refused.json()) == (
        413,
        {"error": f"the question is larger than {MOST_BYTES} bytes, the limit"},
    )
    assert http.client.post(path, content=b" " * MOST_BYTES).status_code == 400


def test_binary_data_are_refused_in_words(serving: Served, browse: Browse) -> None:
    http = browse(serving)
    headers = {"Inference-Header-Content-Length": "2"}
    refused = http.client.post(f"{MODEL}/infer", content=b"{}\x00\x01", headers=headers)
    assert (refused.status_code, refused.json()) == (
        400,
        {"error": "binary data are not read here: send the data as JSON"},
    )


def test_more_questions_than_can_wait_are_sent_away(
    serving: Served, browse: Browse, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(protocol, "MOST_WAITING", 1)
    http = browse(serving)
    asked, answered = threading.Event(), threading.Event()

    def wait(answers: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        asked.set()
        assert answered.wait(20)
        return answers

    serving.model.gives = wait
    codes: list[int] = []
    first = threading.Thread(target=lambda: codes.append(http.ask().status_code))
    first.start()
    assert asked.wait(20)
    refused = http.ask()
    assert (refused.status_code, refused.headers["Retry-After"]) == (503, "1")
    assert refused.json() == {"error": "1 questions wait already"}
    assert http.get("/healthz").status_code == 200
    answered.set()
    first.join(20)
    assert codes == [200]
    assert http.ask().status_code == 200


def test_a_question_that_the_loop_leaves_no_time_for_is_sent_away(
    serving: Served, browse: Browse, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(inference, "LONGEST", 0.01)
    http = browse(serving)
    serving.loop.model._taken = True
    refused = http.ask()
    assert (refused.status_code, refused.headers["Retry-After"]) == (503, "1")
    assert refused.json() == {"error": "the model had no time within 0.01 s"}


def test_a_question_that_waits_longer_than_its_time_is_sent_away_and_never_asked(
    serving: Served, held: tuple[Browsed, threading.Event], monkeypatch: pytest.MonkeyPatch
) -> None:
    http, go_on = held
    before = len(serving.model.asked)
    monkeypatch.setattr(inference, "LONGEST", 0.1)
    refused = http.ask()
    assert (refused.status_code, refused.headers["Retry-After"]) == (503, "1")
    assert refused.json() == {"error": "the model had no time within 0.1 s"}
    monkeypatch.setattr(inference, "LONGEST", 20.0)
    go_on.set()
    assert http.ask().status_code == 200
    assert len(serving.model.asked) == before + 1


def test_the_time_of_a_question_begins_when_it_arrives(
    held: tuple[Browsed, threading.Event], monkeypatch: pytest.MonkeyPatch
) -> None:
    http, go_on = held
    ends: list[float] = []
    answer = inference.answer
    monkeypatch.setattr(inference, "answer", lambda *question: (ends.append(question[-1]), answer(*question))[1])
    asking = threading.Thread(target=http.ask)
    asking.start()
    until_waiting(http)
    waits = time.monotonic()
    go_on.set()
    asking.join(20)
    assert ends[0] <= waits + inference.LONGEST


def test_a_question_that_does_not_arrive_is_given_up(
    serving: Served, browse: Browse, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(protocol, "PATIENCE", 0.05)
    http = browse(serving)
    stopped = threading.Event()

    def slow() -> Any:
        yield b"{"
        stopped.wait(20)

    threading.Timer(0.3, stopped.set).start()
    assert http.client.post(f"{MODEL}/infer", content=slow()).status_code == 408


def test_an_error_of_ours_is_an_error_and_is_logged(
    serving: Served, browse: Browse, caplog: pytest.LogCaptureFixture
) -> None:
    http = browse(serving)
    serving.model.gives = lambda answers: answers["score"]["wrong"]  # no ModelError
    answer = http.ask()
    assert answer.status_code == 500
    assert answer.json()["error"].startswith("the service failed: ")
    until = time.monotonic() + 20
    while "Traceback" not in caplog.text and time.monotonic() < until:  # the answer goes first
        time.sleep(0.01)
    assert "Traceback" in caplog.text


def test_outputs_show_what_the_pvs_show(serving: Served, browse: Browse) -> None:
    http = browse(serving)
    serving.put([1.0, np.nan, 3.0], device="B2")
    serving.cycle()
    shown = http.get("/outputs").json()
    assert shown["B1:FAULT"] == {
        "value": 4.0,
        "severity": "NO_ALARM",
        "status": "NO_ALARM",
        "reason": "",
        "time": serving.at,
        "origin": "model",
    }
    assert shown["B1:ORBIT"]["value"] == [2.0, 4.0, 6.0]
    for output in ("FAULT", "ORBIT"):
        assert shown[f"B2:{output}"]["value"] is None
        assert (shown[f"B2:{output}"]["severity"], shown[f"B2:{output}"]["reason"]) == ("INVALID", "B2:TBT is NaN")
    http.loops.clear()
    assert http.get("/outputs").json() == {}


def test_an_answer_is_strict_json(serving: Served, browse: Browse) -> None:
    http = browse(serving)
    serving.model.gives = lambda answers: {"score": np.array([np.inf, -np.inf]), "orbit": answers["orbit"]}

    def refuse(word: str) -> None:
        raise AssertionError(word)

    assert json.loads(http.ask().content, parse_constant=refuse)["outputs"][0]["data"] == [None, None]
