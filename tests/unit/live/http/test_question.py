"""Questions that somebody made up: each is refused with a reason, and nothing of it decides how much is allocated."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from beampermit.errors import BadInput
from beampermit.live.http.question import Question, parse, read_question
from support.http_service import CURRENT, TURNS
from support.served import NOW, SIGNALS, Serve, Served


def read(served: Served, content: Any) -> Question:
    body = content if isinstance(content, bytes) else json.dumps(content).encode()
    return read_question(body, served.loop.wiring, served.loop.contract.serving, NOW)


def turns(**changed: Any) -> dict[str, Any]:
    return {"inputs": [{**TURNS, **changed}, CURRENT]}


@pytest.mark.parametrize("data", [[1, 2, 3, 4, 5, 6], [[1, 2, 3], [4, 5, 6]]])
@pytest.mark.parametrize("datatype", ["FP64", "FP32", "INT8", "UINT64"])
def test_data_come_flat_or_nested_in_any_datatype_of_numbers(serving: Served, data: Any, datatype: str) -> None:
    question = read(serving, turns(data=data, datatype=datatype))
    assert question.rows.inputs["turns"].tolist() == [[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]]
    assert question.rows.inputs["current"].tolist() == [300.0, 301.0]
    assert question.rows.inputs["gain"].tolist() == [2.0, 2.0]
    assert question.rows.time.tolist() == [NOW, NOW]
    assert question.rows.problems == (None, None)
    assert (question.id, question.outputs) == (None, ())


def test_numbers_are_those_of_their_datatype(serving: Served) -> None:
    single = read(serving, turns(datatype="FP32", data=[0.1] * 6)).rows.inputs["turns"]
    assert single[0, 0] == np.float64(np.float32(0.1)) != 0.1
    truths = read(serving, turns(datatype="BOOL", data=[True, False] * 3)).rows.inputs["turns"]
    assert truths[0].tolist() == [1.0, 0.0, 1.0]


def test_null_and_what_no_single_number_holds_are_problems_of_their_row(serving: Served) -> None:
    problems = read(serving, turns(datatype="FP32", data=[[1, 2, 3], [None, 2, 1e300]])).rows.problems
    assert problems[0] is None
    assert problems[1] is not None
    assert problems[1].message == "turns of row 1 is NaN"
    (_, infinite) = read(serving, turns(datatype="FP32", data=[[1, 2, 3], [1, 2, 1e300]])).rows.problems
    assert infinite is not None
    assert infinite.message == "turns of row 1 is infinite"


VALVE = {"name": "valve", "pv": "{device}:VALVE", "words": ["OUT", "MOVING", "IN"]}
WORDS = {"name": "valve", "shape": [2], "datatype": "BYTES", "data": ["IN", "OUT"]}


def worded(serve: Serve, **changed: Any) -> Question:
    served = serve(signals={**SIGNALS, "inputs": [*SIGNALS["inputs"], VALVE]})
    return read(served, {"inputs": [TURNS, CURRENT, {**WORDS, **changed}]})


@pytest.mark.slow
def test_a_word_is_asked_with_as_a_text(serve: Serve) -> None:
    rows = worded(serve).rows
    assert (rows.problems, rows.inputs["valve"].tolist()) == ((None, None), [2.0, 0.0])
    problems = worded(serve, data=["JAMMED", None]).rows.problems
    assert [problem and problem.message for problem in problems] == [
        "valve of row 0 has the word 'JAMMED', which is none of OUT, MOVING, IN",
        "valve of row 1 is NaN",
    ]
    for wrong in ({"datatype": "FP64", "data": [2, 0]}, {"data": [2, 0]}, {"datatype": "FP64"}):
        with pytest.raises(BadInput, match="input 'valve' is one of the words OUT, MOVING, IN, with datatype 'BYTES'"):
            worded(serve, **wrong)
    with pytest.raises(BadInput, match="has shape"):
        worded(serve, shape=[2, 1])


DEEP = 100_000
REFUSED: dict[str, tuple[Any, str]] = {
    "no JSON": (b"{", "not JSON"),
    "no UTF-8": (b'{"inputs": "\xff"}', "not JSON"),
    "NaN": (b'{"inputs": [NaN]}', "NaN is not a JSON number"),
    "a key twice": (b'{"inputs": [], "inputs" : []}', "key 'inputs' is given twice"),
    "a key of a tensor twice": (b'{"inputs": [{"name": "a", "name": "b"}]}', "key 'name' is given twice"),
    "a key twice in a list of others": (b'{"inputs": [1, {"a": 1, "a": 2}]}', "key 'a' is given twice"),
    "lists in lists": (b"[" * DEEP + b"]" * DEEP, "not JSON"),
    "mappings in mappings": (b'{"a":' * 900 + b"1" + b"}" * 900, "inputs: Field required"),
    "thousands of digits": (b'{"inputs": [' + b"9" * 5000 + b"]}", "an integer with thousands of digits"),
    "no mapping": ([], "does not hold"),
    "no inputs": ({}, "inputs: Field required"),
    "an unknown key of a tensor": (turns(dtype="FP64"), "inputs.0.dtype: Extra inputs are not permitted"),
    "an unknown parameter": (turns(parameters={"alarm": ["MAJOR"]}), "inputs.0.parameters.alarm"),
    "binary data": (turns(data=None, parameters={}), "input 'turns' has no list of data"),
    "no data": ({"inputs": [{"name": "turns", "shape": [2, 3], "datatype": "FP64"}]}, "inputs.0.data: Field required"),
    "a name without end": (turns(name="x" * 2_000_000), "inputs.0.name: String should have at most 100 characters"),
    "an unknown input": (turns(name="turn"), "input 'turn' is not known; did you mean 'turns'?"),
    "a constant": (turns(name="gain"), "input 'gain' is constant, and is not asked for"),
    "an input twice": ({"inputs": [TURNS, TURNS, CURRENT]}, "input 'turns' is given twice"),
    "a missing input": ({"inputs": [TURNS]}, "input 'current' is missing"),
    "no row": ({"inputs": [{**TURNS, "shape": [0, 3], "data": []}, {**CURRENT, "shape": [0], "data": []}]}, "no row"),
    "rows that differ": (turns(shape=[3, 3], data=[1] * 9), "the same number of rows"),
    "another shape": (turns(shape=[2, 4]), "input 'turns' has shape [2, 4] instead of [rows, 3]"),
    "a flat shape": (turns(shape=[6]), "the same number of rows"),
    "a shape of text": (turns(shape=["2", "3"]), "inputs.0.shape.0: Input should be a valid integer"),
    "a negative shape": (turns(shape=[-2, 3]), "greater than or equal to 0"),
    "too few data": (turns(data=[1, 2, 3]), "the data of input 'turns' do not have its shape, [2, 3]"),
    "ragged data": (turns(data=[[1, 2], [3, 4, 5, 6]]), "the data of input 'turns' do not have its shape, [2, 3]"),
    "data nested too deeply": (turns(data=[[[1], [2], [3]], [[4], [5], [6]]]), "has a value that is no FP64"),
    "one row nested": (turns(data=[[1, 2, 3], 4, 5, 6]), "the data of input 'turns' do not have its shape, [2, 3]"),
    "text": (turns(data=["1"] * 6), "input 'turns' has a value that is no FP64"),
    "truth among numbers": (turns(data=[1, 2, 3, 4, 5, True]), "input 'turns' has a value that is no FP64"),
    "numbers as truth": (turns(datatype="BOOL"), "input 'turns' has a value that is no BOOL"),
    "a float as integer": (turns(datatype="INT32", data=[1.5] * 6), "input 'turns' has a value that is no INT32"),
    "an integer too large for 8 bits": (turns(datatype="INT8", data=[128] * 6), "has a value that is no INT8"),
    "an integer below zero": (turns(datatype="UINT8", data=[-1] * 6), "has a value that is no UINT8"),
    "an integer that no float holds": (turns(data=[10**400] * 6), "has a number that no FP64 holds"),
    "bytes": (turns(datatype="BYTES"), "has datatype 'BYTES': FP64, FP32, BOOL and integers are read"),
    "severities of other rows": (turns(parameters={"severity": ["MAJOR"]}), "input 'turns' has 1 values of severity"),
    "a severity of its own": (turns(parameters={"severity": ["OK", "OK"]}), "inputs.0.parameters.severity.0"),
    "times of other rows": (turns(parameters={"time": [1.0]}), "input 'turns' has 1 values of time for 2 rows"),
    "times of text": (turns(parameters={"time": ["1", "2"]}), "inputs.0.parameters.time.0"),
}  # fmt: skip


@pytest.mark.parametrize(("content", "reason"), REFUSED.values(), ids=REFUSED)
def test_a_question_that_does_not_hold_is_refused(serving: Served, content: Any, reason: str) -> None:
    with pytest.raises(BadInput) as caught:
        read(serving, content)
    assert reason in str(caught.value)


def test_a_number_of_rows_allocates_nothing(serving: Served) -> None:
    rows = 2**62
    many = {"inputs": [{**TURNS, "shape": [rows, 3]}, {**CURRENT, "shape": [rows]}]}
    with pytest.raises(BadInput, match="do not have its shape"):
        read(serving, many)


@pytest.mark.parametrize(
    "text", ['{"a": "b\\":"}', '{"a": [{"b": 1}, 2, {"c": {"d": 3}}]}', '{"a\\u0022:": 18446744073709551616}', "[]"]
)
def test_what_is_strict_is_read_as_it_is(text: str) -> None:
    assert parse(text.encode()) == json.loads(text)
