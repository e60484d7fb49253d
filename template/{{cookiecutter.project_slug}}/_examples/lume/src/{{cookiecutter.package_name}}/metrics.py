"""What no `measure` of contract.yaml computes: nothing yet. Plots for the report: each output against its target."""

from __future__ import annotations

from typing import Any

import numpy as np

from .pipeline.tables import Arrays, Rows

POINTS = 2000
"""Rows that a plot has at most."""


def metrics(outputs: Arrays, rows: Rows) -> dict[str, float]:  # noqa: ARG001 - an interface
    """Further metrics by name; gates for them are those `metrics` of contract.yaml that have no `measure`."""
    return {}


def plots(outputs: Arrays, rows: Rows) -> dict[str, Any]:
    """Each output that has a target, against it, and what the two differ by."""
    shown = np.unique(np.linspace(0, len(rows) - 1, POINTS).round().astype(int))
    found: dict[str, Any] = {}
    for name, truth in rows.targets.items():
        given, true = outputs[name][shown], truth[shown]
        cloud = {"kind": "scatter", "title": name, "x": "target", "y": "model", "identity": True}
        found[name] = cloud | {"points": np.column_stack([true, given]).tolist()}
        errors = {"kind": "residuals", "title": f"{name}: error", "x": "model", "y": "model - target"}
        found[f"{name} error"] = errors | {"points": np.column_stack([given, given - true]).tolist()}
    return found
