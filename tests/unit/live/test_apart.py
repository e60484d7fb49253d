"""A model that raises for some rows: the others have their answers, and it is never asked without an end."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest

from beampermit.live.apart import MOST, SINGLY, Apart, together
from beampermit.live.http import inference
from beampermit.live.rows import Invalid
from beampermit.live.severity import Severity, Status
from beampermit.live.sharing import ModelError, Raised
from support.served import DEVICES, Serve, Served

RAISES = "the model raised ValueError: no beam"
TURN = 9.0
"""For a row with this turn it raises."""
LATER = 1e9
"""s: never."""


class Model:
    """Its answer is the number of the row; it raises for `bad` ones."""

    def __init__(self, *bad: int):
        self.bad, self.asked = set(bad), list[list[int]]()

    def ask(self, inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        rows = inputs["row"].astype(int).tolist()
        self.asked.append(rows)
        if wrong := self.bad.intersection(rows):
            raise Raised(f"the model raised for {min(wrong)}")
        return {"score": inputs["row"]}


def ask(model: Any, apart: Apart, rows: int = 120, until: float = LATER) -> tuple[dict[int, Any], int]:
    """Row -> its answer or reason, and the questions that it took."""
    before, said = len(model.asked), dict[int, Any]()
    for part in apart.ask(model.ask, range(rows), {"row": np.arange(rows, dtype=float)}, until):
        for place, row in enumerate(part.places.tolist()):
            said[row] = part.answers if isinstance(part.answers, Invalid) else part.answers["score"][place]
    return said, len(model.asked) - before


def good(said: Mapping[int, Any]) -> list[int]:
    return sorted(row for row, one in said.items() if one == row)


def test_rows_that_make_it_raise_are_found_and_then_set_apart() -> None:
    model, apart = Model(17, 88), Apart()
    said, asked = ask(model, apart)
    assert good(said) == [row for row in range(120) if row not in (17, 88)]
    assert said[88] == Invalid(Status.CALC, "the model raised for 88")
    assert asked <= MOST
    said, asked = ask(model, apart)
    assert (len(good(said)), asked) == (118, 3), "the others at once, and each of the two"
    model.bad = {17}
    assert good(ask(model, apart)[0])[-32] == 88
    model.bad = set()
    assert ask(model, apart)[1] == 2
    assert ask(model, apart)[1] == 1, "nothing is known against any row"


def test_every_second_row_is_answered_after_some_cycles_and_none_is_forgotten() -> None:
    model, apart = Model(*range(0, 120, 2)), Apart()
    for _ in range(19):
        said, asked = ask(model, apart)
        assert asked <= MOST + 1 + SINGLY
        assert set(said) | set(apart.reasons) == set(range(120)), "each row has its answer or a reason"
    said, asked = ask(model, apart)
    assert good(said) == list(range(1, 120, 2))
    assert set(apart.reasons) == model.bad
    assert asked == 2 + SINGLY
    model.bad.discard(118)
    cycles = next(cycle for cycle in range(1, 60) if 118 in good(ask(model, apart)[0]))
    assert cycles <= len(model.bad) / SINGLY + 1, "they are asked for in turn"


def test_a_model_that_raises_for_each_row_costs_few_questions_in_the_end_and_is_back_at_once() -> None:
    model, apart = Model(*range(120)), Apart()
    asked = [ask(model, apart)[1] for _ in range(20)]
    assert max(asked) <= MOST + 1 + SINGLY
    assert asked[-1] == 1 + SINGLY
    assert len(apart.reasons) == 120
    model.bad = set()
    said, questions = ask(model, apart)
    assert (len(good(said)), questions, apart.reasons) == (120, 1, {})


def test_no_question_is_begun_when_the_time_is_over() -> None:
    model, apart = Model(3), Apart()
    said, asked = ask(model, apart, until=time.monotonic())
    assert (good(said), asked, len(apart.reasons)) == ([], 1, 120)
    ask(model, apart)
    said, asked = ask(model, apart, until=time.monotonic())
    assert (len(good(said)), asked) == (119, 1), "what was found goes on to be apart"
    assert apart.reasons == {3: Invalid(Status.CALC, "the model raised for 3")}


def test_a_model_that_hangs_or_ends_is_asked_no_further() -> None:
    model = Model(3)

    def ends(inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        if len(inputs["row"]) < 120:
            raise ModelError("the model's process ended")
        return model.ask(inputs)

    with pytest.raises(ModelError, match="ended"):
        Apart().ask(ends, range(120), {"row": np.arange(120.0)}, LATER)
    assert len(model.asked) == 1


@pytest.mark.parametrize("shape", [(), (0,), (1, 2**20), (1, 0, 2**28, 2**28, 8), (2,)])
def test_no_shape_that_a_model_gives_costs_other_devices_their_values(serve: Serve, shape: tuple[int, ...]) -> None:
    """Such as that of `squeeze` on a single row, for which it is asked while another makes it raise."""

    def odd(answers: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        if len(answers["score"]) > 1:
            return answers
        return {**answers, "score": np.broadcast_to(0.0, shape) if np.prod(shape) else np.zeros(shape)}

    served = serve(devices=5)
    served.model.gives, served.model.raises_for = odd, (TURN,)
    served.put()
    served.put((TURN, 0.0, 0.0), device="B1")
    served.current()
    update = served.cycle()
    assert served.says("B1:FAULT") == (Severity.INVALID, Status.CALC, RAISES)
    assert "in shape" in served.shown("B2:FAULT").message
    assert served.shown("B5:FAULT").value == 4.0
    assert update.answers is not None
    assert update.answers.keys() == {"orbit"}
    assert update.answered is not None
    assert update.answered.tolist() == [False, True, True, True, True]


def test_answers_of_parts_are_put_together_and_not_where_their_shapes_differ() -> None:
    def odd(inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        rows = inputs["row"]
        if 1 in rows:
            raise Raised(RAISES)
        return {"score": rows, "orbit": np.zeros((len(rows), 1 + (0 in rows))), "of all": np.zeros(4)}

    parts = Apart().ask(odd, range(4), {"row": np.arange(4.0)}, LATER)
    answers, answered = together(parts, 4, {"score": (), "orbit": (2,), "of all": ()})
    assert answers is not None
    assert answered.tolist() == [True, False, True, True]
    assert answers.keys() == {"score"}
    assert answers["score"][answered].tolist() == [0.0, 2.0, 3.0]


def test_a_device_that_makes_it_raise_is_asked_for_again_and_told_once(serving: Served) -> None:
    serving.model.raises_for = (TURN,)
    serving.at += 0.1
    serving.put((TURN, 0.0, 0.0), device="B2")
    update = serving.cycle()
    assert {pv: value.message for pv, value in update.values.items()} == {"B2:FAULT": RAISES, "B2:ORBIT": RAISES}
    assert serving.shown("B1:FAULT").value == 4.0
    assert not serving.loop.failure, "it answers for the others"
    before = len(serving.model.asked)
    assert [serving.cycle(after=0.2, due=False).rows for _ in range(3)] == [None] * 3
    assert [len(asked["turns"]) for asked in serving.model.asked[before:]] == [1, 1, 1], "and for no other"
    serving.model.raises_for = ()
    told = serving.cycle(after=0.2, due=False)
    assert told.rows is not None
    assert (told.rows.names, serving.shown("B2:FAULT").value) == (("B2",), 6.0)


def told(served: Served, *devices: str, turn: float = 1.0) -> tuple[str, ...]:
    """The rows of a cycle in which new turns of these devices have come."""
    served.at += 0.1
    for device in devices:
        served.put((turn, 0.0, 0.0), device=device)
    rows = served.cycle().rows
    return rows.names if rows else ()


@pytest.mark.parametrize("fails", [False, True])
def test_a_row_without_an_answer_is_told_once_though_other_rows_are_due(serving: Served, fails: bool) -> None:
    """In the log it would have the weight of ten devices, where ten devices send one after another."""
    serving.model.raises_for = () if fails else (TURN,)
    serving.model.fails = "the model did not answer within 2 s; its process is started again" if fails else ""
    if fails:
        assert told(serving, *DEVICES) == DEVICES
    assert told(serving, "B2", turn=TURN) == ("B2",)
    assert [told(serving, device) for device in ("B1", "B3", "B1")] == [("B1",), ("B3",), ("B1",)]
    assert len(serving.model.asked[-1]["turns"]) == (3 if fails else 1), "it is asked for each time"
    serving.put((TURN, 0.0, 0.0), device="B2")
    assert serving.cycle(after=0.1, due=False).rows is None, "it is not due"
    assert (told(serving), told(serving)) == (("B2",), ()), "what is new is told"
    serving.model.raises_for, serving.model.fails = (), ""
    assert "B2" in told(serving, "B1"), "with its answer"
    serving.model.raises_for = (TURN,)
    serving.loop.model_is_back()
    assert told(serving) == ("B1", "B3"), "nothing of it is new to another process"


def test_where_a_period_makes_rows_all_are_told_each_time(serve: Serve) -> None:
    served = serve(serving={"period": "1s"})
    served.put()
    served.current()
    served.model.raises_for = (TURN,)
    assert [told(served, *devices, turn=TURN) for devices in (["B2"], [], [])] == [DEVICES] * 3
    assert served.cycle(after=0.2, due=False).rows is None


def test_of_rows_that_are_due_those_without_an_answer_are_told_apart(serving: Served) -> None:
    serving.model.raises_for = (TURN,)
    serving.at += 0.1
    serving.put()
    serving.put((TURN, 0.0, 0.0), device="B2")
    update = serving.cycle()
    assert update.rows is not None
    assert update.rows.names == ("B1", "B2", "B3")
    assert update.answered is not None
    assert update.answered.tolist() == [True, False, True]


def test_where_the_contract_says_so_the_last_value_is_held(serve: Serve) -> None:
    served = serve(fallback={"on_invalid": "hold", "hold_for": "30s"}, serving={"period": "1s"})
    served.put()
    served.current()
    served.cycle()
    served.model.raises_for = (TURN,)
    served.put((TURN, 0.0, 0.0), device="B2")
    served.at += 0.1
    served.cycle()
    assert served.says("B2:FAULT") == (Severity.MAJOR, Status.CALC, f"held, because {RAISES}")
    assert served.shown("B1:FAULT").origin == "model"
    asked = len(served.model.asked)
    served.cycle(after=0.2, due=False)
    assert [len(one["turns"]) for one in served.model.asked[asked:]] == [1], "the period makes rows of the others"


def test_another_process_of_the_model_begins_with_nothing_known(serving: Served) -> None:
    serving.model.raises_for = (TURN,)
    serving.put((TURN, 0.0, 0.0), device="B2")
    serving.cycle()
    serving.loop.model_is_back()
    serving.model.raises_for = ()
    serving.cycle(due=False)
    assert len(serving.model.asked[-1]["turns"]) == 3


def test_the_time_for_all_questions_is_that_for_an_answer(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    served, until = serve(serving={"timeout": "3s"}), list[float]()
    plain = served.loop._apart.ask
    monkeypatch.setattr(served.loop._apart, "ask", lambda *given: until.append(given[-1]) or plain(*given))
    served.put()
    served.current()
    before = time.monotonic()
    served.loop.cycle(served.at, elapsed=100.0)
    assert before + 3 <= until[0] <= time.monotonic() + 3
    served.at += 1
    served.put()
    served.cycle()
    assert until[1] == np.inf, "a replay gives the same, however long the model takes"


@pytest.mark.parametrize(("bad", "found"), [({5}, [5]), ({1, 20, 40, 60}, [])])
def test_a_request_over_http_costs_few_questions(serve: Serve, bad: set[int], found: list[int]) -> None:
    """Of a model that the loop shares. Where rows that make it raise are many, others have no answer either."""
    served, rows = serve(devices=30), 64
    served.model.raises_for = (TURN,)
    turns = [[TURN, 0, 0] if number in bad else [1, 2, 3] for number in range(rows)]
    inputs = [
        {"name": "turns", "datatype": "FP64", "shape": [rows, 3], "data": turns},
        {"name": "current", "datatype": "FP64", "shape": [rows], "data": [300] * rows},
    ]
    score = inference.answer(served.loop, json.dumps({"inputs": inputs}).encode(), time.monotonic() + 30)["outputs"][0]
    assert len(served.model.asked) <= 3 + inference.IN_PARTS
    missing = [number for number, value in enumerate(score["data"]) if value is None]
    assert (missing == found) if found else bad < set(missing)
    assert {score["parameters"]["reason"][number] for number in missing} == {RAISES}
