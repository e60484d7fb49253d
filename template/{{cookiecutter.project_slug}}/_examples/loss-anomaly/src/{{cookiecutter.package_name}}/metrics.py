"""Example: replace with yours. What the checker has no measure for: how well readings are reconstructed, and plots."""

from __future__ import annotations

from typing import Any

import numpy as np

from .features import FLOOR, INPUT
from .model import LARGEST, RECONSTRUCTION, SCORE
from .pipeline.tables import Arrays, Rows


def metrics(outputs: Arrays, rows: Rows) -> dict[str, float]:
    """`reconstruction_error`: median over rows and monitors of the relative difference; it needs no truth."""
    readings = rows.inputs[INPUT].astype(np.float64)
    difference = np.abs(outputs[RECONSTRUCTION] - readings) / (readings + FLOOR)
    return {"reconstruction_error": float(np.median(difference))}


def plots(outputs: Arrays, rows: Rows) -> dict[str, Any]:
    """Scores of usual and of provoked rows, and how well each monitor of usual rows is reconstructed."""
    provoked = rows.targets[SCORE].astype(bool)
    edges = np.append(np.arange(0, 15.5, 0.5), LARGEST)
    counts = {
        name: np.histogram(outputs[SCORE][chosen], edges)[0].tolist()
        for name, chosen in (("usual", ~provoked), ("provoked", provoked))
    }
    readings = rows.inputs[INPUT][~provoked] + FLOOR
    typical = np.median(np.abs(outputs[RECONSTRUCTION][~provoked] + FLOOR - readings) / readings, axis=0)
    return {
        "score": {"kind": "histogram", "x": "score", "edges": edges.tolist(), "counts": counts},
        "reconstruction": {
            "kind": "line",
            "x": "monitor",
            "y": "median relative difference in usual rows",
            "curves": {"reconstruction": [[place, round(float(value), 5)] for place, value in enumerate(typical, 1)]},
        },
    }
