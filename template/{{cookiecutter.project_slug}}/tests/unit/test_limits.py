from __future__ import annotations

import numpy as np

from {{ cookiecutter.package_name }}.pipeline import limits
from {{ cookiecutter.package_name }}.pipeline.contract import LimitedOutput


def test_only_different_distributions_drift() -> None:
    edges, values = np.array([0.0, 1.0]), np.array([-1.0, 0.5, 2.0])
    shares = limits.bin_shares(edges, values)
    assert limits.stability(edges, shares, values) == 0
    assert limits.stability(edges, shares, values + 10) > 0.3


def test_reference_is_within_its_limits_and_other_rows_are_not() -> None:
    values = np.random.default_rng(0).normal(size=200)
    found = limits.limits({"current": values}, {})
    drift = found["drift"]["current"]
    arrays = np.array(drift["edges"]), np.array(drift["shares"])
    assert limits.stability(*arrays, values[: limits.WINDOW]) < drift["limit"]
    assert limits.stability(*arrays, 20 * values[: limits.WINDOW]) > drift["limit"]


def test_a_row_is_flagged_at_or_beyond_an_alarm_limit() -> None:
    signals = [
        LimitedOutput(name="score", high=0.5),
        LimitedOutput(name="orbit", shape=(2,), low=-1, high=1),
        LimitedOutput(name="other"),
    ]
    outputs = {
        "score": np.array([0.4, 0.5, 0.6]),
        "orbit": np.array([[0, 0], [0, -2], [3, 0]]),
        "other": np.zeros(3),
    }
    found = limits.flagged_rows(outputs, signals)
    assert {name: values.tolist() for name, values in found.items()} == {
        "score": [False, True, True],
        "orbit": [False, True, True],
    }
