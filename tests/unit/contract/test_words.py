"""Words of an input: what they must be, and what follows from them."""

from __future__ import annotations

import json
import sys
from types import ModuleType
from typing import Any

import pytest

from beampermit.contract import Signal, parse_contract
from beampermit.contract.reference import contract_schema
from beampermit.errors import BadInput
from support.paths import ROOT

PIPELINE = ROOT / "template/{{cookiecutter.project_slug}}/src/{{cookiecutter.package_name}}/pipeline"
VALVE: dict[str, Any] = {"name": "valve", "pv": "VALVE"}
LINE = "    - {name: valve, pv: VALVE, words: %s}\n  outputs:\n"


@pytest.mark.slow
def test_unit_and_range_follow_from_the_words() -> None:
    valve = Signal.model_validate({**VALVE, "words": ["OUT", "IN"]})
    assert (valve.unit, valve.range) == ("0 = 'OUT', 1 = 'IN'", (0, 1))
    assert Signal.model_validate(valve.model_dump(mode="json")) == valve
    schema = contract_schema()["$defs"]["Signal"]
    assert (schema["required"], schema["else"]) == (["name"], {"required": ["unit", "range"]})


def test_words_need_no_quotes(contract_text: str) -> None:
    contract = parse_contract(contract_text.replace("  outputs:\n", LINE % "[on, OFF, yes, No]", 1))
    assert contract.signals.inputs[1].words == ("on", "OFF", "yes", "No")


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        ({"words": ["OUT"]}, "has one word, which says nothing"),
        ({"words": []}, "this key is missing"),
        ({"words": ["OUT", "OUT"]}, "the word 'OUT' is there twice"),
        ({"words": [0, 1]}, "words.0: Input should be a valid string"),
        ({"words": ["OUT", " IN"]}, "a word has no blanks around it, and is of one line: ' IN'"),
        ({"words": ["OUT", "I\nN"]}, "is of one line"),
        ({"words": ["OUT", "\x1b[31mIN"]}, "is of one line"),
        ({"words": ["OUT", "x" * 51]}, "at most 50 characters"),
        ({"words": list(map(str, range(65)))}, "at most 64 items"),
        ({"unit": "mm"}, "has words, so unit and range follow from them: leave both out"),
        ({"range": [0, 2]}, "has words, so unit and range follow from them: leave both out"),
        ({"shape": [2]}, "has words, which only a scalar with a PV has"),
        ({"source": "constant", "value": 1}, "has words, which only a scalar with a PV has"),
        ({"expected": [0, 1]}, "has words, of which expected says nothing"),
        ({"resolution": 0.5}, "has words, of which resolution says nothing"),
        ({"default": 1}, "has words, of which default says nothing"),
    ],
)
def test_words_that_cannot_be(contract_text: str, keys: dict[str, Any], said: str) -> None:
    valve = {**VALVE, "words": ["OUT", "IN"], **keys}
    text = contract_text.replace("  outputs:\n", f"    - {json.dumps(valve)}\n  outputs:\n", 1)
    with pytest.raises(BadInput) as caught:
        parse_contract(text)
    assert said in str(caught.value)
    assert str(caught.value).startswith("contract.yaml:24: ")


def test_an_output_has_no_words(contract_text: str) -> None:
    with pytest.raises(BadInput, match="output 'valve' has words; only inputs have them"):
        parse_contract(
            contract_text.replace("  outputs:\n", "  outputs:\n" + LINE.partition("\n")[0] % "[A, B]" + "\n", 1)
        )


def test_the_longest_words_fit() -> None:
    words = [f"{number:02}{'x' * 48}" for number in range(64)]
    assert len(Signal.model_validate({**VALVE, "words": words}).words) == 64


def test_the_pipeline_of_a_project_makes_the_same_of_words() -> None:
    """Its record changes with their order, so that DVC trains again."""
    pipeline: Any = ModuleType("pipeline_contract")  # not imported: that would leave bytecode in the template
    sys.modules[pipeline.__name__] = pipeline
    try:
        exec(compile((PIPELINE / "contract.py").read_text(), "contract.py", "exec"), vars(pipeline))  # noqa: S102 - our own
        for words in (["OUT", "I'N"], ["I'N", "OUT"]):
            given = {**VALVE, "words": words}
            ours, theirs = Signal.model_validate(given), pipeline.DescribedSignal.model_validate(given)
            assert (theirs.unit, theirs.range, theirs.words) == (ours.unit, ours.range, ours.words)
            assert pipeline.Signal.model_validate(given).model_dump(mode="json")["words"] == words
            assert pipeline.MonitoredSignal.model_validate(given).range == ours.range
    finally:
        del sys.modules[pipeline.__name__]
