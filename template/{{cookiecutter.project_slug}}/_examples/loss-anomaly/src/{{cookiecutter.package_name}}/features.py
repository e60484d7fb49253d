"""Example: replace with yours. From loss readings to features: fitted in training, saved as JSON, used in service."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from .pipeline.tables import Arrays

INPUT = "losses"
FLOOR = 1e-3
"""Below, a reading is the noise of the electronics. mGy/s."""
FARTHEST = 6.0
"""Features are clipped at this many standard deviations."""


@dataclass(frozen=True)
class Features:
    """The logarithm of each reading, scaled to mean 0 and standard deviation 1 on the training split."""

    centre: tuple[float, ...]
    scale: tuple[float, ...]

    @classmethod
    def fit(cls, inputs: Arrays) -> Features:
        """Learn centre and scale of each monitor from `inputs`, `losses` of shape (rows, monitors), mGy/s."""
        logs = _logs(inputs[INPUT])
        return cls(tuple(logs.mean(axis=0).tolist()), tuple(np.maximum(logs.std(axis=0), 1e-3).tolist()))

    def __call__(self, inputs: Arrays) -> np.ndarray:
        """Features of `inputs`, `losses` of shape (rows, monitors), mGy/s -> (rows, monitors), float32.

        Not finite where a reading is not. Each row is independent of the others.
        """
        return ((_logs(inputs[INPUT]) - self.centre) / self.scale).clip(-FARTHEST, FARTHEST).astype(np.float32)

    def readings(self, features: np.ndarray) -> np.ndarray:
        """The way back: readings for features of shape (rows, monitors), mGy/s, float32, never negative."""
        logs = features.astype(np.float64) * self.scale + self.centre
        return np.maximum(10**logs - FLOOR, 0).astype(np.float32)

    def save(self, path: Path) -> None:
        """Write JSON."""
        path.parent.mkdir(parents=True, exist_ok=True)
        content = {"centre": self.centre, "scale": self.scale}
        path.write_text(json.dumps(content, indent=2, allow_nan=False) + "\n", encoding="utf-8")

    @classmethod
    def load(cls, path: Path) -> Features:
        """Load what `save` wrote."""
        content = json.loads(path.read_text(encoding="utf-8"))
        return cls(tuple(content["centre"]), tuple(content["scale"]))


def _logs(readings: np.ndarray) -> np.ndarray:
    return np.log10(np.maximum(readings.astype(np.float64), 0) + FLOOR)
