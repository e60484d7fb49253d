"""When has the model left what it knows? Monitoring limits from the reference split: `metrics/limits.json`.

Drift of a feature is a population stability index between a window of signals and the reference. What is large depends on
the window's size, so each limit is what windows of the reference itself reach, and not a number out of a book.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from . import settings
from .model import FaultModel
from .train import TRAINED, load
from .transforms import FEATURES

WINDOW = 60
"""Signals in one window."""
BINS = 8
MARGIN = 1.5
"""How far beyond the worst window of the reference the limit lies."""


def stability(edges: np.ndarray, reference: np.ndarray, values: np.ndarray) -> float:
    """Population stability index of `values` against the bin shares `reference`; 0 where the shares are equal."""
    shares = bin_shares(edges, values)
    return float(((shares - reference) * np.log(shares / reference)).sum())


def bin_shares(edges: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Share of the values in each bin that the inner `edges` make; half a value is added to each, so none is empty."""
    counts = np.bincount(np.searchsorted(edges, values, side="right"), minlength=len(edges) + 1) + 0.5
    return counts / counts.sum()


def limits(turns: np.ndarray, scores: np.ndarray, names: tuple[str, ...], threshold: float) -> dict[str, object]:
    """Reference shares and limit of each feature, and the limit of the share of signals flagged in a window."""
    features = {name: FEATURES[name](turns.astype(np.float64)) for name in names}
    flagged = [float((window >= threshold).mean()) for window in _windows(scores)]
    return {
        "rows": len(turns),
        "window": WINDOW,
        "flagged": {"reference": float((scores >= threshold).mean()), "limit": min(1.0, MARGIN * max(flagged))},
        "drift": {name: _drift(values) for name, values in features.items()},
    }


def _drift(values: np.ndarray) -> dict[str, object]:
    edges = np.unique(np.quantile(values, np.linspace(0, 1, BINS + 1)[1:-1]))
    shares = bin_shares(edges, values)
    worst = max(stability(edges, shares, window) for window in _windows(values))
    return {"edges": edges.tolist(), "shares": shares.tolist(), "limit": MARGIN * worst}


def _windows(values: np.ndarray) -> list[np.ndarray]:
    """Windows of neighbouring rows, half a window apart; rows are in order of time, and what drifts slowly stays together."""
    starts = range(0, max(len(values) - WINDOW, 0) + 1, WINDOW // 2)
    return [values[start : start + WINDOW] for start in starts]


def main() -> None:
    """Stage `limits`."""
    monitoring = settings.contract()["monitoring"]
    turns, _ = load(monitoring["reference"])
    model = FaultModel.load(TRAINED / "weights.safetensors", TRAINED / "transform.json")
    found = limits(turns, model(turns), model.transform.names, settings.threshold())
    Path(monitoring["limits"]).write_text(json.dumps(found, indent=2, allow_nan=False) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
