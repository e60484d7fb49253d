"""Measures that the checker computes itself: which there are, and what they need."""

from __future__ import annotations

from typing import Literal

Measure = Literal[
    "roc_auc", "average_precision", "recall", "precision", "f1", "false_positive_rate", "accuracy", "log_loss", "brier",
    "r2", "rmse", "mae", "max_error", "bias", "quantile_error",
]  # fmt: skip
Better = Literal["higher", "lower"]
HIGHER: tuple[Measure, ...] = ("roc_auc", "average_precision", "recall", "precision", "f1", "accuracy", "r2")
"""Measures of which a higher value is better; of all others a lower one is."""
FLAGGING: tuple[Measure, ...] = ("recall", "precision", "f1", "false_positive_rate", "accuracy")
"""Measures of what is flagged: an output at or above a threshold."""
PROBABILITY: tuple[Measure, ...] = ("log_loss", "brier")
"""Measures of a probability."""
CLASSIFYING: tuple[Measure, ...] = (*FLAGGING, *PROBABILITY, "roc_auc", "average_precision")
"""Measures whose target is 0 or 1."""
QUANTILE: Measure = "quantile_error"
OF_ARRAYS: tuple[Measure, ...] = ("rmse", "mae", "max_error", "bias", QUANTILE)
"""Measures that an output with a shape may have: of all its numbers, each as much as another."""


def better_of(measure: Measure) -> Better:
    return "higher" if measure in HIGHER else "lower"
