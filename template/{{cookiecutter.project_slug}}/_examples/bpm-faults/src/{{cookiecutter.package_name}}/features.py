"""Example: replace with yours. Features of the inputs: one object, fitted in training, saved as JSON and used in service.

No feature depends on other monitors or on the absolute tune, so the model applies to new monitors and machines.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from .pipeline.tables import Arrays

SMALLEST = 1e-3
"""Half of the finest resolution, mm; closer values count as equal."""
FARTHEST = 6.0
"""Features are clipped at this many standard deviations."""


def spread(x: np.ndarray) -> np.ndarray:
    """Standard deviation (log)."""
    return np.log10(x.std(axis=1) + SMALLEST)


def line(x: np.ndarray) -> np.ndarray:
    """Fraction of the power in the strongest spectral line."""
    return _lines(x, 1)


def rest(x: np.ndarray) -> np.ndarray:
    """Fraction of the power outside the two strongest lines (log)."""
    return np.log10(1 - _lines(x, 2) + 1e-4)


def kurtosis(x: np.ndarray) -> np.ndarray:
    """Kurtosis (log): 1.5 for a sine, 3 for noise, more with spikes."""
    y = x - x.mean(axis=1, keepdims=True)
    return np.log10((y**4).mean(axis=1) / ((y**2).mean(axis=1) + SMALLEST**2) ** 2 + 0.1)


def jump(x: np.ndarray) -> np.ndarray:
    """Largest second difference, relative to the median (log)."""
    bend = np.abs(np.diff(x, n=2, axis=1))
    return np.log10((bend.max(axis=1) + SMALLEST) / (np.median(bend, axis=1) + SMALLEST))


def repeated(x: np.ndarray) -> np.ndarray:
    """Fraction of turns with the value of the previous turn."""
    return _same(x).mean(axis=1)


def longest(x: np.ndarray) -> np.ndarray:
    """Longest run of one value as a fraction of all turns (log)."""
    run = np.zeros(len(x))
    best = np.zeros(len(x))
    for same in _same(x).T:
        run = (run + 1) * same
        best = np.maximum(best, run)
    return np.log10(best / x.shape[1] + 1e-2)


def distinct(x: np.ndarray) -> np.ndarray:
    """Fraction of distinct values; small if bits are lost."""
    return (np.diff(np.sort(x, axis=1), axis=1) > SMALLEST).mean(axis=1)


def steadiness(x: np.ndarray) -> np.ndarray:
    """Smallest standard deviation of a tenth of the signal, relative to the largest (log)."""
    spreads = x.reshape(len(x), 10, -1).std(axis=2)
    return np.log10((spreads.min(axis=1) + SMALLEST) / (spreads.max(axis=1) + SMALLEST))


def innovation(x: np.ndarray) -> np.ndarray:
    """Residual of the linear prediction, relative to the whole motion (log)."""
    return np.log10((_residuals(x).std(axis=1) + SMALLEST) / (x.std(axis=1) + SMALLEST))


def surprise(x: np.ndarray) -> np.ndarray:
    """Largest residual of the linear prediction, relative to the median (log)."""
    size = np.abs(_residuals(x))
    return np.log10((size.max(axis=1) + SMALLEST) / (np.median(size, axis=1) + SMALLEST))


def disorder(x: np.ndarray) -> np.ndarray:
    """Unevenness of the residuals over the signal (log); large if a part is shuffled or stuck."""
    spreads = _residuals(x)[:, 6:].reshape(len(x), 8, -1).std(axis=2)
    return np.log10((spreads.max(axis=1) + SMALLEST) / (spreads.min(axis=1) + SMALLEST))


FEATURES: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    feature.__name__: feature
    for feature in (
        spread,
        line,
        rest,
        kurtosis,
        jump,
        repeated,
        longest,
        distinct,
        steadiness,
        innovation,
        surprise,
        disorder,
    )
}


@dataclass(frozen=True)
class Features:
    """Features, scaled to mean 0 and standard deviation 1 on the training split."""

    names: tuple[str, ...]
    centre: tuple[float, ...]
    scale: tuple[float, ...]

    @classmethod
    def fit(cls, inputs: Arrays, names: tuple[str, ...]) -> Features:
        """Learn centre and scale from `turns`, shape (rows, turns), mm. Raises `ValueError` for an unknown feature."""
        unknown = sorted(set(names) - set(FEATURES))
        if unknown:
            raise ValueError(f"params.yaml: train.features: {unknown[0]!r} is not one of {', '.join(FEATURES)}")
        values = _features(inputs["turns"], names)
        scale = np.maximum(values.std(axis=0), 1e-6)
        return cls(names, tuple(values.mean(axis=0).tolist()), tuple(scale.tolist()))

    def __call__(self, inputs: Arrays) -> np.ndarray:
        """Features of `turns`, shape (rows, turns), mm -> (rows, features), float32; each row for itself."""
        values = (_features(inputs["turns"], self.names) - self.centre) / self.scale
        return values.clip(-FARTHEST, FARTHEST).astype(np.float32)

    def save(self, path: Path) -> None:
        """Write JSON."""
        path.parent.mkdir(parents=True, exist_ok=True)
        content = {"features": self.names, "centre": self.centre, "scale": self.scale}
        path.write_text(json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False) + "\n", encoding="utf-8")

    @classmethod
    def load(cls, path: Path) -> Features:
        """Load saved features."""
        content = json.loads(path.read_text(encoding="utf-8"))
        return cls(tuple(content["features"]), tuple(content["centre"]), tuple(content["scale"]))


def _features(turns: np.ndarray, names: tuple[str, ...]) -> np.ndarray:
    signals = np.ascontiguousarray(turns, dtype=np.float64)
    return np.stack([FEATURES[name](signals) for name in names], axis=1)


def _same(x: np.ndarray) -> np.ndarray:
    return np.abs(np.diff(x, axis=1)) < SMALLEST


def _lines(x: np.ndarray, count: int) -> np.ndarray:
    """Fraction of the power in the `count` strongest lines; 0 for a flat signal."""
    y = x - x.mean(axis=1, keepdims=True)
    power = np.abs(np.fft.rfft(y * np.hanning(x.shape[1]), axis=1)) ** 2
    power[:, :3] = 0
    total = power.sum(axis=1) + SMALLEST**2
    in_lines = np.zeros(len(x))
    bins = np.arange(power.shape[1])
    for _ in range(count):
        near = np.abs(bins - power.argmax(axis=1)[:, None]) <= 2
        in_lines += (power * near).sum(axis=1)
        power = power * ~near
    return in_lines / total


def _residuals(x: np.ndarray, order: int = 4) -> np.ndarray:
    """Residuals of a linear prediction from the previous `order` turns, shape (rows, turns - order)."""
    y = x - np.median(x, axis=1, keepdims=True)
    past = np.stack([y[:, order - lag : -lag] for lag in range(1, order + 1)], axis=2)
    now = y[:, order:, None]
    square = past.transpose(0, 2, 1) @ past + 1e-3 * np.eye(order)
    weights = np.linalg.solve(square, past.transpose(0, 2, 1) @ now)
    return (now - past @ weights)[:, :, 0]
