"""Monitoring limits from the reference split: `metrics/limits.json`.

The drift of a feature is the population stability index between a window of signals and the reference. Its usual value
depends on the window size, so each limit follows from windows of the reference itself.
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
"""Signals per window."""
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


def limits(turns: np.ndarray, scores: np.ndarray, names: tuple[str, ...], threshold: float) -> dict[str, object]:
    """Reference fractions and limit of each feature, and the limit of the fraction of flagged signals in a window."""
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
    """Overlapping windows of consecutive rows, which are in order of time."""
    starts = range(0, max(len(values) - WINDOW, 0) + 1, WINDOW // 2)
    return [values[start : start + WINDOW] for start in starts]


def main() -> None:
    """Stage `limits`."""
    monitoring = settings.contract()["monitoring"]
    turns, _ = load(monitoring["reference"])
    model = FaultModel.load(TRAINED / "weights.safetensors", TRAINED / "transform.json")
    content = limits(turns, model(turns), model.transform.names, settings.threshold())
    text = json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False)
    Path(monitoring["limits"]).write_text(f"{text}\n", encoding="utf-8")


if __name__ == "__main__":
    main()
