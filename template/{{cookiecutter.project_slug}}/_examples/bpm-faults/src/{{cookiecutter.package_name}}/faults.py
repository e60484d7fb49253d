"""Example: part of the simulated source. Faults of beam-position monitors, injected into sound signals."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd

Rng = np.random.Generator


def turns_of(table: pd.DataFrame) -> np.ndarray:
    """The column `turns` of a table, shape (rows, turns), float32, mm."""
    return np.stack(table["turns"].to_list()).astype(np.float32) if len(table) else np.empty((0, 0), np.float32)


def stuck(signal: np.ndarray, rng: Rng) -> np.ndarray:
    """One value is repeated for at least 25 turns."""
    length = signal.size if rng.random() < 0.3 else rng.integers(25, signal.size)
    start = rng.integers(0, signal.size - length + 1)
    result = signal.copy()
    result[start : start + length] = signal[start]
    return result


def spikes(signal: np.ndarray, rng: Rng) -> np.ndarray:
    """A few turns are off by several standard deviations, at most 8 mm."""
    turns = rng.choice(signal.size, rng.integers(1, 6), replace=False)
    height = np.minimum(_spread(signal) * rng.uniform(2.5, 10, turns.size), 8.0)
    result = signal.copy()
    result[turns] += rng.choice([-1.0, 1.0], turns.size) * height
    return result


def noise(signal: np.ndarray, rng: Rng) -> np.ndarray:
    """White noise of at most 2 mm hides the motion of the beam."""
    return signal + rng.normal(0, min(_spread(signal) * rng.uniform(0.6, 2.0), 2.0), signal.size)


def shuffled(signal: np.ndarray, rng: Rng) -> np.ndarray:
    """At least 40 turns are in the wrong order."""
    length = rng.integers(40, signal.size + 1)
    start = rng.integers(0, signal.size - length + 1)
    result = signal.copy()
    result[start : start + length] = rng.permutation(result[start : start + length])
    return result


def lost_bits(signal: np.ndarray, rng: Rng) -> np.ndarray:
    """The lowest bits of the ADC are lost, so values have coarse steps."""
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
    """Inject faults into a `fraction` of the signals, except flat ones; the column `injected` has the fault, or `none`."""
    signals = turns_of(table)
    kinds = np.full(len(table), "none", dtype=object)
    for row in np.flatnonzero((rng.random(len(table)) < fraction) & (np.ptp(signals, axis=1) > 0)):
        kinds[row] = rng.choice(list(FAULTS))
        signals[row] = FAULTS[kinds[row]](signals[row], rng)
    return table.assign(turns=list(signals), injected=kinds)


def _spread(signal: np.ndarray) -> float:
    """The standard deviation of a signal, at least 1 µm, in mm."""
    return max(float(signal.std()), 1e-3)
