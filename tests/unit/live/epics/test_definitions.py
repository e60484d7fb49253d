"""What the contract says of an output, as fields of its record."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from beampermit.contract.signals import Signal
from beampermit.live.epics.definitions import Definition, ascii_text, decimals, of_outputs, of_status, shortened
from beampermit.live.limits import Limits
from beampermit.live.status_pvs import STATUS_PVS
from beampermit.live.wiring import wire
from support.served import served_contract


def signal(**keys: Any) -> Signal:
    return Signal.model_validate({"name": "score", "pv": "A:B", "unit": "mm", "range": [-100, 100], **keys})


@pytest.mark.parametrize(
    ("keys", "digits"),
    [
        ({"resolution": 0.01}, 2),
        ({"resolution": 0.001}, 3),
        ({"resolution": 0.025}, 2),
        ({"resolution": 1.0}, 0),
        ({"resolution": 10.0}, 0),
        ({"resolution": 0.01, "tolerance": 1.0}, 2),
        ({"tolerance": 0.5}, 1),
        ({"tolerance": "1%"}, 0),
        ({"tolerance": 0}, 2),
        ({}, 2),
        ({"range": [0, 1]}, 4),
        ({"range": [0, 1e6]}, 0),
        ({"range": [0, 1e-20]}, 15),
    ],
)
def test_the_last_digit_is_no_coarser_than_resolution_or_tolerance(keys: dict[str, Any], digits: int) -> None:
    assert decimals(signal(**keys)) == digits


def test_units_and_descriptions_are_ascii_and_fit_their_fields() -> None:
    assert ascii_text("µm²", 15) == "um2"
    assert ascii_text("Déviation\n  de 3 °C — à 5 Ω", 40) == "Deviation de 3 degC - a 5 Ohm"
    assert ascii_text("束", 15) == "?"
    assert ascii_text("x" * 40, 40) == "x" * 40
    assert ascii_text("x" * 41, 40) == "x" * 37 + "..."


def test_a_message_is_cut_between_characters() -> None:
    assert shortened("é" * 19, 39) == ("é" * 19).encode()
    assert shortened("é" * 20, 39) == ("é" * 18).encode() + b"..."
    assert shortened("\udcff", 39) == b"\\udcff"


def test_quotes_and_backslashes_of_a_description_stay_inside_it() -> None:
    text = Definition("A:B", "ai", {"DESC": 'a "b" \\'}).text
    assert 'field(DESC, "a \\"b\\" \\\\")' in text


def test_a_dimensionless_output_shows_no_unit(tmp_path: Path, contract_text: str) -> None:
    (tmp_path / "devices.csv").write_text("device\nB1\n")
    contract = served_contract(contract_text)
    wiring = wire(contract, tmp_path)
    score, orbit = of_outputs(wiring, Limits(wiring))
    assert score.fields["EGU"] == ""
    assert (score.kind, orbit.kind, orbit.fixed["NELM"]) == ("ai", "waveform", "3")


def test_descriptions_of_status_pvs_are_shown_as_they_are(contract_text: str) -> None:
    definitions = list(of_status(served_contract(contract_text)))
    assert [one.fields["DESC"] for one in definitions] == [status.description for status in STATUS_PVS]
