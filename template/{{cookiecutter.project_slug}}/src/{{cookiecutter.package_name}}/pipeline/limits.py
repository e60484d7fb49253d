"""Monitoring limits from the reference split, written by stage `evaluate`.

Drift is the population stability index between a window of rows and the reference, of each number that
`Features.monitored` gives, or of each scalar input. Its usual value depends on the window size, so each limit follows
from windows of the reference itself.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from . import contract, tables

if TYPE_CHECKING:
    from ..model import Model

WINDOW = 60
"""Rows per window."""
BINS = 8
MARGIN = 1.5
"""Ratio of the limit to the worst window of the reference."""


def stability(edges: np.ndarray, reference: np.ndarray, values: np.ndarray) -> float:
    """Population stability index of `values` relative to the bin fractions `reference`; 0 for equal fractions."""
    shares = bin_shares(edges, values)
    return float(((shares - reference) * np.log(shares / reference)).sum())


def bin_shares(edges: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Fraction of values in each bin between the inner `edges`; half a count is added to each, so none is empty."""
    counts = np.bincount(np.searchsorted(edges, values, side="right"), minlength=len(edges) + 1) + 0.5
    return counts / counts.sum()


def limits(monitored: tables.Arrays, flagged: tables.Arrays) -> dict[str, object]:
    """Reference fractions and limit of each monitored number, and of the fraction of flagged rows of each output.

    Both are name -> shape (rows,); those of `flagged` are booleans.
    """
    rows = len(next(iter((*monitored.values(), *flagged.values())), ()))
    return {
        "rows": rows,
        "window": WINDOW,
        "flagged": {name: _fraction(values) for name, values in flagged.items()},
        "drift": {name: _drift(name, values) for name, values in monitored.items()},
    }


def flagged_rows(outputs: tables.Arrays, signals: Iterable[contract.LimitedOutput]) -> tables.Arrays:
    """For each output with an alarm limit `low` or `high`, whether a value of the row is at or beyond it."""
    found: tables.Arrays = {}
    for signal in signals:
        if signal.low is None and signal.high is None:
            continue
        low = -np.inf if signal.low is None else signal.low
        high = np.inf if signal.high is None else signal.high
        values = outputs[signal.name].reshape(len(outputs[signal.name]), -1)
        found[signal.name] = ((values <= low) | (values >= high)).any(axis=1)
    return found


def monitored(model: Model, inputs: tables.Arrays) -> tables.Arrays:
    """What drift is watched of, shape (rows,) each."""
    own = getattr(getattr(model, "features", None), "monitored", None)
    return own(inputs) if own else {name: values for name, values in inputs.items() if values.ndim == 1}


def _fraction(flagged: np.ndarray) -> dict[str, float]:
    worst = max(float(window.mean()) for window in _windows(flagged))
    return {"reference": float(flagged.mean()), "limit": min(1.0, MARGIN * worst)}


def _drift(name: str, values: np.ndarray) -> dict[str, object]:
    values = values[np.isfinite(values)]
    if not values.size:
        raise SystemExit(f"monitoring: {name} has no finite value in the reference split")
    edges = np.unique(np.quantile(values, np.linspace(0, 1, BINS + 1)[1:-1]))
    shares = bin_shares(edges, values)
    worst = max(stability(edges, shares, window) for window in _windows(values))
    return {"edges": edges.tolist(), "shares": shares.tolist(), "limit": MARGIN * worst}


def _windows(values: np.ndarray) -> list[np.ndarray]:
    """Overlapping windows of consecutive rows, which are in order of time."""
    starts = range(0, max(len(values) - WINDOW, 0) + 1, WINDOW // 2)
    return [values[start : start + WINDOW] for start in starts]


def write(model: Model) -> None:
    """Write the limits of a trained model to the file that the contract names."""
    part = contract.of(contract.ForLimits)
    rows = tables.read_rows(part.splits[part.reference], part.inputs)
    content = limits(monitored(model, rows.inputs), flagged_rows(model(rows.inputs), part.outputs))
    path = Path(part.limits)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False) + "\n", encoding="utf-8")
