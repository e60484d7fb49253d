"""Which PV feeds which row, and what cannot be served."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from beampermit.errors import BadInput, BeampermitError
from beampermit.live.wiring import wire
from support.served import SIGNALS, served_contract


def signals(**outputs: Any) -> dict[str, Any]:
    first, *others = SIGNALS["outputs"]
    return {**SIGNALS, "outputs": [{**first, **outputs}, *others]}


@pytest.fixture
def devices(tmp_path: Path) -> Path:
    (tmp_path / "devices.csv").write_text("device,plane\nB1,X\nB1,Y\nB2,X\n")
    return tmp_path


def test_a_pv_without_a_column_feeds_every_row(devices: Path, contract_text: str) -> None:
    inputs = [{**SIGNALS["inputs"][0], "pv": "{device}:{plane}:TBT"}, *SIGNALS["inputs"][1:]]
    outputs = [{**one, "pv": one["pv"].replace("{device}", "{device}:{plane}")} for one in SIGNALS["outputs"]]
    contract = served_contract(contract_text, signals={**SIGNALS, "inputs": inputs, "outputs": outputs})
    wiring = wire(contract, devices)
    assert wiring.rows == ("B1:X", "B1:Y", "B2:X")
    turns, current, gain = wiring.inputs
    assert turns.pvs == ("B1:X:TBT", "B1:Y:TBT", "B2:X:TBT")
    assert (current.pvs, current.of_row) == (("RING:CURRENT",), (0, 0, 0))
    assert gain.pvs == ()
    assert wiring.layout.of_rows.tolist() == [[0, 1, 2], [3, 3, 3]]


def test_two_devices_never_have_one_name(tmp_path: Path, contract_text: str) -> None:
    """Rows of the prediction log are told apart by it."""
    (tmp_path / "devices.csv").write_text("device,plane\nA:B,C\nA,B:C\n")
    inputs = [{**SIGNALS["inputs"][0], "pv": "{device}={plane}:TBT"}, *SIGNALS["inputs"][1:]]
    outputs = [{**one, "pv": one["pv"].replace("{device}", "{device}={plane}")} for one in SIGNALS["outputs"]]
    contract = served_contract(contract_text, signals={**SIGNALS, "inputs": inputs, "outputs": outputs})
    assert wire(contract, tmp_path).rows == (r"A\:B:C", r"A:B\:C")


def test_a_pv_is_read_as_words_or_as_a_number(tmp_path: Path, contract_text: str) -> None:
    (tmp_path / "devices.csv").write_text("device\nB1\nB2\n")
    words = {"name": "valve", "pv": "pva://B1:VALVE", "words": ["OUT", "IN"]}
    number = {"name": "state", "pv": "{device}:VALVE", "unit": "1", "range": [0, 1]}
    for others, allowed in (
        ([words, {**words, "name": "again", "words": ["IN", "OUT"]}], True),
        ([words, number], False),
    ):
        contract = served_contract(contract_text, signals={**SIGNALS, "inputs": [*SIGNALS["inputs"], *others]})
        if allowed:
            wire(contract, tmp_path)
            continue
        with pytest.raises(BadInput, match="B1:VALVE is read as words by valve, as a number by state"):
            wire(contract, tmp_path)


@pytest.mark.parametrize(
    ("outputs", "said"),
    [
        ({"pv": "ALL:FAULT"}, "ALL:FAULT would be served for two outputs or devices"),
        ({"pv": "{device}:ORBIT"}, "B1:ORBIT would be served for two outputs or devices"),
        ({"pv": "{device}:TBT"}, "B1:TBT is an input and an output"),
        ({"source": "derived", "pv": None}, "output score has no pv to be served on"),
    ],
)
def test_outputs_that_cannot_be_served(tmp_path: Path, contract_text: str, outputs: Any, said: str) -> None:
    (tmp_path / "devices.csv").write_text("device\nB1\nB2\n")
    with pytest.raises(BeampermitError, match=said):
        wire(served_contract(contract_text, signals=signals(**outputs)), tmp_path)


def test_a_derived_input_is_refused_with_what_to_do(devices: Path, contract_text: str) -> None:
    inputs = [{**SIGNALS["inputs"][0], "source": "derived", "pv": None}, *SIGNALS["inputs"][1:]]
    with pytest.raises(BeampermitError, match="input turns is derived") as refused:
        wire(served_contract(contract_text, signals={**SIGNALS, "inputs": inputs}), devices)
    assert "features" in refused.value.hint
