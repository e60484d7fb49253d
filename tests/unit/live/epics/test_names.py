"""Names that no record can have are refused before anything is served."""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest

from beampermit.errors import BadInput
from beampermit.live.epics.names import fault, require_record_names
from beampermit.live.wiring import wire
from support.served import SIGNALS, served_contract


@pytest.mark.parametrize("name", ["A:B", "XF:31{Tbl-Ax:X1}Mtr", "a/b<c>[1];-_+", "x" * 60])
def test_names_of_real_laboratories_are_names_of_records(name: str) -> None:
    assert fault(name) == ""


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("A:B.VAL", "A:B.VAL has a dot, after which EPICS reads a field of A:B"),
        (".B", ".B has a dot, after which EPICS reads a field of a record"),
        ("x" * 61, f"{'x' * 61} has 61 characters, 60 is the limit"),
        ("pva://A:B", "pva://A:B says a protocol, and an output is served over both"),
        ("A B", "'A B' has ' ', which no record's name may have"),
        ("A#B", "'A#B' has '#', which no record's name may have"),
        ("A$B", "'A$B' has '$', which no record's name may have"),
        ("Strahl:größe", "'Strahl:größe' has 'ö', which no record's name may have"),
    ],
)
def test_other_names_are_refused(name: str, why: str) -> None:
    assert fault(name) == why


Refused = Callable[..., str]


@pytest.fixture
def refused(tmp_path: Path, contract_text: str) -> Refused:
    """What is said of a contract, with other keys of its first output and its first input."""

    def said(output: dict[str, Any], turns: str = "{device}:TBT", devices: str = "B1", **sections: Any) -> str:
        signals = deepcopy(SIGNALS)
        signals["outputs"][0].update(output)
        signals["inputs"][0]["pv"] = turns
        (tmp_path / "devices.csv").write_text(f"device\n{devices}\n")
        contract = served_contract(contract_text, signals=signals, **sections)
        with pytest.raises(BadInput) as caught:
            require_record_names(contract, wire(contract, tmp_path))
        assert caught.value.file == "contract.yaml"
        return caught.value.message

    return said


def test_the_output_and_the_device_are_named(refused: Refused) -> None:
    said = refused({}, devices="B1\nB.2")
    assert said == "output score of B.2 cannot be served: B.2:FAULT has a dot, after which EPICS reads a field of B"


def test_a_prefix_that_no_status_pv_can_have_is_refused(refused: Refused) -> None:
    said = refused({}, serving={"prefix": "MY FAULTS"})
    assert said.startswith("the status PV VERSION (serving.prefix) cannot be served: 'MY FAULTS:VERSION' has ' '")


def test_an_output_that_has_the_name_of_a_status_pv_is_refused(refused: Refused) -> None:
    said = refused({"pv": "{device}:REASON"}, serving={"prefix": "B1"})
    assert said == "B1:REASON is an output and one of the service's status PVs"


@pytest.mark.parametrize("turns", ["{device}:FAULT.VAL", "{device}:ORBIT.NORD", "ca://{device}:FAULT"])
def test_an_input_that_is_a_field_of_an_output_is_refused(refused: Refused, turns: str) -> None:
    record = turns.replace("{device}", "B1").partition(".")[0].removeprefix("ca://")
    assert (
        refused({}, turns)
        == f"{turns.replace('{device}', 'B1')} is an input, and {record} a record of the service itself"
    )


@pytest.mark.slow
def test_an_input_that_is_a_status_pv_is_refused(refused: Refused) -> None:
    said = refused({}, "{device}:UPTIME", serving={"prefix": "B1"})
    assert said == "B1:UPTIME is an input, and B1:UPTIME a record of the service itself"


def test_sound_names_pass(tmp_path: Path, contract_text: str) -> None:
    (tmp_path / "devices.csv").write_text("device\nB1\n")
    contract = served_contract(contract_text)
    require_record_names(contract, wire(contract, tmp_path))
