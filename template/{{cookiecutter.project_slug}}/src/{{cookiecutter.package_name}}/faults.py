"""Example: replace with yours. What goes wrong with a beam-position monitor, done to a sound signal on purpose."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd

from .signals import turns_of

Rng = np.random.Generator


def stuck(signal: np.ndarray, rng: Rng) -> np.ndarray:
    """From some turn on, for 25 turns at least, the last value is read again and again."""
    length = signal.size if rng.random() < 0.3 else rng.integers(25, signal.size)
    start = rng.integers(0, signal.size - length + 1)
    found = signal.copy()
    found[start : start + length] = signal[start]
    return found


def spikes(signal: np.ndarray, rng: Rng) -> np.ndarray:
    """A few turns jump by several times the signal's spread, at most 8 mm."""
    turns = rng.choice(signal.size, rng.integers(1, 6), replace=False)
    height = np.minimum(_spread(signal) * rng.uniform(2.5, 10, turns.size), 8.0)
    found = signal.copy()
    found[turns] += rng.choice([-1.0, 1.0], turns.size) * height
    return found


def noise(signal: np.ndarray, rng: Rng) -> np.ndarray:
    """White noise, 2 mm at most, drowns the motion of the beam."""
    return signal + rng.normal(0, min(_spread(signal) * rng.uniform(0.6, 2.0), 2.0), signal.size)


def shuffled(signal: np.ndarray, rng: Rng) -> np.ndarray:
    """Turns arrive in the wrong order, 40 of them at least."""
    length = rng.integers(40, signal.size + 1)
    start = rng.integers(0, signal.size - length + 1)
    found = signal.copy()
    found[start : start + length] = rng.permutation(found[start : start + length])
    return found


def lost_bits(signal: np.ndarray, rng: Rng) -> np.ndarray:
    """The lowest bits of the converter are lost: values come in coarse steps."""
    step = _spread(signal) * rng.uniform(0.3, 1.5)
    return np.round(signal / step) * step


FAULTS: dict[str, Callable[[np.ndarray, Rng], np.ndarray]] = {
    "stuck": stuck,
    "spikes": spikes,
    "noise": noise,
    "shuffled": shuffled,
    "lost_bits": lost_bits,
}


def inject(table: pd.DataFrame, fraction: float, rng: Rng) -> pd.DataFrame:
    """Put a fault into a `fraction` of the signals that move; the column `injected` says which, or `none`."""
    signals = turns_of(table)
    kinds = np.full(len(table), "none", dtype=object)
    for row in np.flatnonzero((rng.random(len(table)) < fraction) & (np.ptp(signals, axis=1) > 0)):
        kinds[row] = rng.choice(list(FAULTS))
        signals[row] = FAULTS[kinds[row]](signals[row], rng)
    return table.assign(turns=list(signals), injected=kinds)


def _spread(signal: np.ndarray) -> float:
    """The signal's standard deviation, mm; of a silent one, a micrometre."""
    return max(float(signal.std()), 1e-3)
