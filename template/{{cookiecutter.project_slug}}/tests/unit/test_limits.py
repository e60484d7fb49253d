from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest

from {{ cookiecutter.package_name }}.pipeline import limits, reference
from {{ cookiecutter.package_name }}.pipeline.contract import ForLimits, MonitoredOutput
from {{ cookiecutter.package_name }}.pipeline.tables import Rows

CONTRACT = {
    "signals": {
        "inputs": [
            {"name": "current", "range": [0, 9], "expected": [0, 5]},
            {"name": "orbit", "shape": [3], "range": [-9, 9]},
        ],
        "outputs": [{"name": "score", "high": 0.5, "hihi": 0.9, "target": "truth"}, {"name": "loss", "shape": [2]}],
    },
    "dataset": {"splits": {"validation": "validation.parquet"}},
}


def test_what_is_as_in_the_reference_is_within_its_limits_and_other_rows_are_not() -> None:
    draw = np.random.default_rng(0)
    inputs = {"current": draw.normal(3, 1, 400), "orbit": draw.normal(size=(400, 3)).astype(np.float32)}
    outputs = {"score": draw.uniform(0, 0.6, 400), "loss": draw.normal(size=(400, 2))}
    rows = Rows(pd.DataFrame({"row": range(400)}), inputs, {"score": np.zeros(400)})
    found = json.loads(limits.text(limits.limits(ForLimits.model_validate(CONTRACT), rows, outputs)))
    assert found["split"] == "validation"
    assert list(found["inputs"]["orbit"]["numbers"]) == ["orbit.mean", "orbit.std", "orbit.span", "orbit.step"]
    assert 0.1 < found["outputs"]["score"]["flagged"]["usual"] < 0.25
    assert found["outputs"]["loss"]["flagged"] is None
    assert found["outputs"]["loss"]["error"] is None
    assert 0.25 < found["outputs"]["score"]["error"]["usual"] < 0.35
    drift = found["inputs"]["current"]["numbers"]["current"]
    shares, edges = np.array(drift["shares"]), np.array(drift["edges"])
    window = draw.normal(3, 1, found["window"])
    index, shifted = (
        reference.stability(shares, reference.counts_of(edges, values), found["window"])
        for values in (window, window + 2)
    )
    assert index < drift["limit"] < shifted


def test_an_input_that_is_never_finite_is_named() -> None:
    inputs = {"current": np.full(40, np.nan), "orbit": np.zeros((40, 3), np.float32)}
    rows = Rows(pd.DataFrame({"row": range(40)}), inputs, {})
    outputs = {"score": np.zeros(40), "loss": np.zeros((40, 2))}
    with pytest.raises(SystemExit, match="monitoring: current has no finite value in the reference split"):
        limits.limits(ForLimits.model_validate(CONTRACT), rows, outputs)


def test_a_row_is_flagged_at_the_inner_alarm_limit() -> None:
    alarms = {"low": None, "high": 0.5, "hihi": 0.9}
    assert MonitoredOutput(name="score", **alarms).alarms == (None, 0.5)
    assert MonitoredOutput(name="score", lolo=-1, expected=(0, 1), high=2).alarms == (0, 2)
    assert MonitoredOutput(name="score", lolo=-1).alarms == (-1, None)
    orbit = np.array([[0.0, 0.0], [0.0, -2.0], [3.0, 0.0], [0.0, 1.0]])
    assert reference.flagged(orbit, -1, 1).tolist() == [False, True, True, True]
