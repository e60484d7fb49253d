"""A bootstrap of ten measures, 1,000 times 100,000 rows, beside scikit-learn with weights."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from sklearn import metrics as sklearn

from beampermit.contract.measure import Measure
from beampermit.contract.measured import MeasuredMetric
from beampermit.models.measures import Compared, measure_weighted

pytestmark = pytest.mark.bench

ROWS, TIMES = 100_000, 1_000
REFERENCE = 5
"""Resamples that scikit-learn computes; its time grows with their number."""
FLAGGED: dict[Measure, Callable[..., Any]] = {
    "recall": sklearn.recall_score,
    "precision": sklearn.precision_score,
    "f1": sklearn.f1_score,
    "accuracy": sklearn.accuracy_score,
}
SCORED: dict[Measure, Callable[..., Any]] = {
    "roc_auc": sklearn.roc_auc_score,
    "average_precision": sklearn.average_precision_score,
    "log_loss": sklearn.log_loss,
    "brier": sklearn.brier_score_loss,
    "rmse": sklearn.root_mean_squared_error,
    "mae": sklearn.mean_absolute_error,
}


def test_a_bootstrap_of_ten_measures(say: Callable[[str], None]) -> None:
    rng = np.random.default_rng(0)
    targets = (rng.random(ROWS) < 0.3).astype(float)
    answers = np.clip(0.4 * targets + rng.normal(0.3, 0.2, ROWS), 0, 1)
    counts = rng.poisson(1.0, (TIMES, ROWS)).astype(np.uint16)
    metrics = [MeasuredMetric(kind, kind, "score", "faulty", threshold=0.5) for kind in (*FLAGGED, *SCORED)]
    start = time.process_time()
    values = measure_weighted(metrics, {"score": Compared(answers, targets)}, counts)
    own = time.process_time() - start
    start = time.process_time()
    for number in range(REFERENCE):
        weights = counts[number].astype(float)
        for kind, reference in FLAGGED.items():
            np.testing.assert_allclose(values[kind][number], reference(targets, answers >= 0.5, sample_weight=weights))
        for kind, reference in SCORED.items():
            np.testing.assert_allclose(values[kind][number], reference(targets, answers, sample_weight=weights))
    other = (time.process_time() - start) * TIMES / REFERENCE
    say(f"{len(metrics)} measures, {TIMES:,} x {ROWS:,} rows: {own:.1f} s of CPU, scikit-learn {other:.0f} s")
    say(f"{other / own:.1f} times faster")
