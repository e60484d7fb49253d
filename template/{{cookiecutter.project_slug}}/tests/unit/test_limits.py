from __future__ import annotations

import numpy as np

from {{ cookiecutter.package_name }} import limits


def test_only_different_distributions_drift() -> None:
    edges, values = np.array([0.0, 1.0]), np.array([-1.0, 0.5, 2.0])
    shares = limits.bin_shares(edges, values)
    assert limits.stability(edges, shares, values) == 0
    assert limits.stability(edges, shares, values + 10) > 0.3


def test_reference_is_within_its_limits_and_unusual_signals_are_not(turns: np.ndarray) -> None:
    scores = np.linspace(0, 1, len(turns))
    found = limits.limits(turns, scores, ("spread",), threshold=0.5)
    drift = found["drift"]["spread"]
    compute = limits.FEATURES["spread"]
    values = compute(turns.astype(np.float64))
    arrays = np.array(drift["edges"]), np.array(drift["shares"])
    assert limits.stability(*arrays, values[: limits.WINDOW]) < drift["limit"]
    assert limits.stability(*arrays, compute(turns[: limits.WINDOW].astype(np.float64) * 20)) > drift["limit"]
