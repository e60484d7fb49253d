from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from {{ cookiecutter.package_name }} import evaluate

SCORES = np.array([0.1, 0.6, 0.4, 0.9])
FAULTS = np.array(["none", "none", "stuck", "spikes"])


def test_metrics_of_a_small_table() -> None:
    found = evaluate.metrics(SCORES, FAULTS, threshold=0.5)
    assert found["auc"] == 0.75
    assert found["recall"] == found["precision"] == found["false_alarm_rate"] == 0.5
    assert found["false_alarms_per_thousand"] == 500
    assert (found["recall_stuck"], found["recall_spikes"]) == (0.0, 1.0)


def test_ties_count_half() -> None:
    assert evaluate.auc(np.full(4, 0.5), FAULTS != "none") == 0.5


def test_weighted_metrics_with_equal_weights_and_without_both_classes() -> None:
    counts = np.array([[1, 1, 1, 1], [2, 0, 0, 1], [1, 1, 0, 0]])
    found = evaluate.weighted(SCORES, FAULTS, 0.5, counts)
    assert found["auc"] == [0.75, 1.0, None]
    assert found["rows"] == [4.0, 3.0, None]


def test_roc_curve_ends_in_the_corners_and_confusion_matrix_counts_every_signal() -> None:
    drawn = evaluate.plots(SCORES, FAULTS != "none", threshold=0.5)
    assert (drawn["roc"][0], drawn["roc"][-1]) == ([0, 0], [1, 1])
    assert drawn["confusion"] == {"tp": 1, "fp": 1, "fn": 1, "tn": 1}


def test_report_lists_each_fault() -> None:
    page = evaluate.report(evaluate.metrics(SCORES, FAULTS, 0.5), FAULTS)
    assert "500.0 false alarms per thousand" in page
    assert "| stuck | 1 | 0.000 |" in page


def test_scores_of_another_table_are_refused(tmp_path: Path) -> None:
    pd.DataFrame({"score": [0.5]}).to_parquet(tmp_path / "scores.parquet")
    with pytest.raises(SystemExit, match="1 scores for 4 signals"):
        evaluate.read_scores(tmp_path / "scores.parquet", 4)
