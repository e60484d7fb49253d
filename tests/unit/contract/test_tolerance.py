"""A tolerance is a number in the unit of its value, or a percentage; of zero, a percentage allows nothing."""

from __future__ import annotations

import pytest

from beampermit.contract import Signal, parse_contract
from beampermit.contract.signals import tolerance_of
from beampermit.contract.tolerance import allowed, in_words, is_larger
from beampermit.errors import BadInput

METRIC, OUTPUT = "tolerance: 0.005, description: A", "default: 1.0, tolerance: 1.0e-4"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("written", "read"),
    [("0.02", 0.02), ("0", 0.0), ("2%", "2%"), ("2.50 %", "2.5%"), ("0%", "0%"), ("100%", "100%"), ("1e-3%", "0.001%")],
)
def test_a_number_or_a_percentage_is_read(contract_text: str, written: str, read: float | str) -> None:
    contract = parse_contract(contract_text.replace(METRIC, METRIC.replace("0.005", written)))
    assert contract.metrics[0].tolerance == read
    contract = parse_contract(contract_text.replace(OUTPUT, OUTPUT.replace("1.0e-4", written)))
    assert contract.signals.outputs[0].tolerance == read


@pytest.mark.parametrize("written", ["-1", "-2%", "101%", "2%%", "two", "true", ".nan", ".inf", "[1]", "2 mm"])
def test_anything_else_is_refused_with_the_line(contract_text: str, written: str) -> None:
    with pytest.raises(BadInput, match=r"metrics\.0\.tolerance: a tolerance is a number in the unit") as error:
        parse_contract(contract_text.replace(METRIC, METRIC.replace("0.005", written)))
    assert error.value.line


@pytest.mark.parametrize("key", ["tolerance", "score_tolerance"])
def test_an_input_has_no_tolerance(contract_text: str, key: str) -> None:
    with pytest.raises(BadInput, match=f"input 'turns' has a {key}; only outputs have one"):
        parse_contract(contract_text.replace("unit: mm,", f"unit: mm, {key}: 1%,"))


@pytest.mark.parametrize("old", ["metric_tolerance", "prediction_tolerance", "seed_tolerance"])
def test_one_number_for_all_metrics_or_outputs_is_not_possible(contract_text: str, old: str) -> None:
    with pytest.raises(BadInput, match=old):
        parse_contract(contract_text.replace("seeds: [0", f"{old}: 1, seeds: [0"))


def test_a_percentage_is_of_the_scale_and_of_zero_is_nothing() -> None:
    assert allowed("2%", -50.0) == 1.0
    assert allowed(0.02, 50.0) == 0.02
    assert allowed("2%", 0.0) == 0.0
    assert in_words("2%", 0.97) == "2% of 0.97"
    assert in_words("2%", 0.0) == "2% of 0 (nothing: give a number instead)"
    assert in_words(0.02, 0.0) == "0.02"


@pytest.mark.parametrize(
    ("before", "after", "larger"),
    [
        (0.02, 0.03, True),
        (0.02, 0.02, False),
        (0.02, 0.01, False),
        ("2%", "3%", True),
        ("10%", "9%", False),
        ("2%", 1e-9, True),
        (9.0, "1%", True),
    ],
)
def test_which_allows_more(before: float | str, after: float | str, larger: bool) -> None:
    assert is_larger(before, after) is larger


def test_each_output_has_its_own() -> None:
    position = Signal(name="position", pv="X", unit="m", range=(-1, 1), tolerance=1e-6, score_tolerance="1%")
    width = Signal(name="width", pv="W", unit="mm", range=(0, 9))
    assert tolerance_of([position, width], "position", "tolerance") == 1e-6
    assert tolerance_of([position, width], "position", "score_tolerance") == "1%"
    assert tolerance_of([position, width], "width", "tolerance") == "0.01%"
    assert tolerance_of([position, width], "score", "tolerance") == "0.01%"
    assert tolerance_of([position], "score", "tolerance") == "0.01%"
    assert tolerance_of([position], "time", "tolerance") == "0.01%"
