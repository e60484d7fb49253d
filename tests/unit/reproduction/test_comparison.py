"""Metrics, seeds and predictions are within their own tolerance, or outside of it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import duckdb
import pytest

from beampermit.contract import Contract, Signal, parse_contract
from beampermit.reproduction.comparison import compare_metrics, compare_predictions, compare_seeds

METRIC = "tolerance: 0.005, description: A"


def contract(text: str, tolerance: str) -> Contract:
    return parse_contract(text.replace(METRIC, f"tolerance: {tolerance}, description: A"))


@pytest.mark.parametrize(
    ("tolerance", "committed", "retrained", "within", "allowed"),
    [
        ("0.02", 0.9, 0.9199, True, "0.02"),
        ("0.02", 0.9, 0.9201, False, "0.02"),
        ("0.02", 1e6, 1e6 + 0.03, False, "0.02"),
        ("2%", 1e6, 1.0199e6, True, "2% of 1e+06"),
        ("2%", 1e6, 1.0201e6, False, "2% of 1e+06"),
        ("2%", -1e-6, -1.0199e-6, True, "2% of 1e-06"),
        ("2%", -1e-6, -1.0201e-6, False, "2% of 1e-06"),
        ("2%", 0.0, 0.0, True, "2% of 0 (nothing: give a number instead)"),
        ("2%", 0.0, 1e-9, False, "2% of 0 (nothing: give a number instead)"),
    ],
)
def test_a_metric_is_within_its_own_tolerance_or_not(
    contract_text: str, tolerance: str, committed: float, retrained: float, within: bool, allowed: str
) -> None:
    sides = ({"auc": value, "false_alarm_rate": 0.0} for value in (committed, retrained))
    pair, other = compare_metrics(contract(contract_text, tolerance), *sides)
    assert pair.within is within
    assert pair.allowed == allowed
    assert within or pair.text.endswith(f" retrained, {allowed} allowed")
    assert other.allowed == "0.005"


def test_a_metric_without_a_tolerance_may_differ_by_rounding_alone(contract_text: str) -> None:
    rules = parse_contract(contract_text.replace(METRIC, "description: A"))
    for retrained, within in ((0.9 * (1 + 0.9e-6), True), (0.9 * (1 + 1.1e-6), False)):
        assert compare_metrics(rules, {"auc": 0.9}, {"auc": retrained})[0].within is within


@pytest.mark.parametrize(
    ("tolerance", "second", "within"),
    [
        ("0.01", 0.9099, True),
        ("0.01", 0.9101, False),
        ("0.01, seed_tolerance: 0.02", 0.9199, True),
        ("0.01, seed_tolerance: 0.02", 0.9201, False),
        ("0.01, seed_tolerance: 10%", 0.9999, True),
        ("0.01, seed_tolerance: 10%", 1.0001, False),
    ],
)
def test_seeds_are_within_the_tolerance_of_each_metric_or_not(
    contract_text: str, tolerance: str, second: float, within: bool
) -> None:
    metrics = {seed: {"auc": value, "false_alarm_rate": 0.0} for seed, value in ((0, 0.9), (1, second))}
    spreads = compare_seeds(contract(contract_text, tolerance), metrics, {})
    assert spreads.within is within
    assert spreads.metrics[1].within


def output(name: str, tolerance: float | str | None) -> Signal:
    return Signal(name=name, pv="X", unit="m", range=(-1e12, 1e12), tolerance=tolerance)


def table(path: Path, **columns: Sequence[float]) -> Path:
    values = ", ".join(f"unnest({list(map(str, numbers))})::DOUBLE AS {name}" for name, numbers in columns.items())
    duckdb.sql(f"COPY (SELECT {values}) TO '{path}' (FORMAT parquet)")
    return path


@pytest.mark.parametrize(
    ("tolerance", "difference", "within", "allowed"),
    [
        (1e-4, 0.9e-4, True, "0.0001"),
        (1e-4, 1.1e-4, False, "0.0001"),
        ("10%", 0.0099, True, "10% of 0.1"),
        ("10%", 0.0101, False, "10% of 0.1"),
        (None, 0.99e-5, True, "0.01% of 0.1"),
        (None, 1.01e-5, False, "0.01% of 0.1"),
    ],
)
def test_predictions_are_within_the_tolerance_of_their_output_or_not(
    tmp_path: Path, tolerance: float | str | None, difference: float, within: bool, allowed: str
) -> None:
    pair = table(tmp_path / "a", score=[1000.1, 1000.2]), table(tmp_path / "b", score=[1000.1, 1000.2 + difference])
    shifted = [table(tmp_path / name, score=[0.1, value]) for name, value in (("c", 0.2), ("d", 0.2 + difference))]
    compared = compare_predictions(*shifted, [output("score", tolerance)])
    assert compared.within is within
    assert compared.allowed == allowed
    if not within and difference > 1e-3:
        assert not compare_predictions(*pair, [output("score", tolerance)]).within, "a percentage is of what varies"


def test_outputs_in_millimetres_and_in_metres_have_limits_of_their_own(tmp_path: Path) -> None:
    outputs = [output("width", 0.5), output("position", 1e-4)]
    before = table(tmp_path / "a", width=[1.0, 9.0], position=[0.001, 0.002])
    inside = table(tmp_path / "b", width=[1.4, 9.0], position=[0.00109, 0.002])
    outside = table(tmp_path / "c", width=[1.4, 9.0], position=[0.00111, 0.002])
    assert compare_predictions(before, inside, outputs).within
    compared = compare_predictions(before, outside, outputs)
    assert not compared.within
    assert (compared.output, compared.allowed) == ("position", "0.0001")


def test_an_output_that_is_always_the_same_may_differ_by_rounding_alone(tmp_path: Path) -> None:
    before = table(tmp_path / "a", score=[5.0, 5.0])
    for value, within in ((5.0 * (1 + 0.9e-6), True), (5.0 * (1 + 1.1e-6), False)):
        compared = compare_predictions(before, table(tmp_path / "b", score=[5.0, value]), [output("score", "2%")])
        assert compared.within is within
        assert compared.allowed == "2% of 0 (nothing: give a number instead)"
