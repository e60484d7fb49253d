"""Example: replace with yours. What no `measure` of contract.yaml computes, and plots for the report."""

from __future__ import annotations

from typing import Any

import numpy as np

from .pipeline.tables import Arrays, Rows

BINS = 20
MOST_POINTS = 2000
"""Points of a plot, evenly taken from the rows."""


def metrics(outputs: Arrays, rows: Rows) -> dict[str, float]:  # noqa: ARG001 - the interface
    """Nothing: each metric of contract.yaml has a measure, which the checker computes."""
    return {}


def plots(outputs: Arrays, rows: Rows) -> dict[str, Any]:
    """Of a quantity, answers over targets; of a class, how often each answer is given to rows of it and of others."""
    found: dict[str, Any] = {}
    for name, truth in rows.targets.items():
        if set(np.unique(truth)) <= {0.0, 1.0}:
            found[name] = _shares(name, outputs[name], truth == 1)
        else:
            found[name] = _scatter(name, outputs[name], truth)
    return found


def _shares(name: str, answers: np.ndarray, true: np.ndarray) -> dict[str, Any]:
    edges = np.linspace(0, 1, BINS + 1)
    counts = {kind: np.histogram(answers[rows], edges)[0].tolist() for kind, rows in (("true", true), ("false", ~true))}
    return {"kind": "histogram", "title": name, "x": "answer", "edges": edges.round(6).tolist(), "counts": counts}


def _scatter(name: str, answers: np.ndarray, truth: np.ndarray) -> dict[str, Any]:
    kept = np.unique(np.linspace(0, len(truth) - 1, MOST_POINTS).round().astype(int))
    points = np.stack([truth, answers], axis=1)[kept].tolist()
    return {"kind": "scatter", "title": name, "identity": True, "x": "target", "y": "answer", "points": points}
