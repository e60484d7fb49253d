"""Example: tests of the metrics and plots of monitors' scores."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from {{ cookiecutter.package_name }} import metrics
from {{ cookiecutter.package_name }}.pipeline import evaluate
from {{ cookiecutter.package_name }}.pipeline.tables import Rows

OUTPUTS = {"score": np.array([0.1, 0.6, 0.4, 0.9])}


@pytest.fixture
def rows(monkeypatch: pytest.MonkeyPatch) -> Rows:
    """Two sound signals and two faulty ones; a score of 0.5 raises an alarm."""
    monkeypatch.setattr(metrics, "high", lambda: 0.5)
    faults = np.array(["none", "none", "stuck", "spikes"])
    return Rows(pd.DataFrame({"fault": faults}), {}, {"score": (faults != "none").astype(float)})


def test_recall_is_that_of_each_kind_of_fault(rows: Rows) -> None:
    assert metrics.metrics(OUTPUTS, rows) == {"recall_spikes": 1.0, "recall_stuck": 0.0}


def test_weighted_metrics_are_undefined_without_a_kind(rows: Rows) -> None:
    counts = np.array([[1, 1, 1, 1], [2, 0, 0, 1], [1, 1, 0, 0]])
    found = evaluate.weighted(OUTPUTS, rows, counts)
    assert found == {"recall_spikes": [1.0, 1.0, None], "recall_stuck": [0.0, None, None]}


def test_roc_curve_ends_in_the_corners_and_confusion_matrix_counts_every_signal(rows: Rows) -> None:
    drawn = metrics.plots(OUTPUTS, rows)
    assert (drawn["roc"][0], drawn["roc"][-1]) == ([0, 0], [1, 1])
    assert drawn["confusion"] == {"tp": 1, "fp": 1, "fn": 1, "tn": 1}
