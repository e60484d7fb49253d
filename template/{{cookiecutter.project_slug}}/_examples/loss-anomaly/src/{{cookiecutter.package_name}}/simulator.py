"""Example: replace with yours. Beam losses around a storage ring at 32 monitors, and what can go wrong with them.

No tracking: the losses are a sum of patterns whose strengths have the scaling of beam physics, and each monitor sees a
pattern through a gain and noise of its own.

- Halo: particles that leave the beam, current over lifetime, caught at a collimator of the plane they leave in; a
  fraction escapes to the next collimators, and less and less to the monitors behind.
- Touschek scattering: grows with the current squared; lost where the dispersion is large.
- Gas scattering: current times pressure; the pressure grows with the current (synchrotron light), lost all around.
- Injection: in the seconds of top-up, at the septum and behind.

Patterns of faults change the *shape* of the losses, as in a machine: their sum may look usual.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

MONITORS = 32
COLLIMATORS = {"horizontal": 5, "vertical": 9, "second": 14}
"""The monitors at the collimators, counted from 0."""
SEPTUM = 20
ARCS = (2, 12, 17, 23, 27, 30)
"""Monitors where the dispersion is large."""
STEP = 1e-4
"""Of the electronics, mGy/s."""
LARGEST = 1e3
"""Where the electronics saturate, mGy/s."""

Rng = np.random.Generator


@dataclass(frozen=True)
class Ring:
    """What is fixed: patterns (strength -> mGy/s at each monitor), gains and noise; arrays of shape (monitors,)."""

    horizontal: np.ndarray
    vertical: np.ndarray
    touschek: np.ndarray
    gas: np.ndarray
    injection: np.ndarray
    offset: np.ndarray
    """Reading without beam, mGy/s."""
    noise: np.ndarray
    """Relative, rms."""

    @classmethod
    def drawn(cls, seed: int) -> Ring:
        """A ring; the same seed gives the same one."""
        rng = np.random.default_rng([seed, 0])
        gain = np.exp(rng.normal(0, 0.3, MONITORS))
        first = _behind(COLLIMATORS["horizontal"], 2.0) + 0.15 * _behind(COLLIMATORS["second"], 3.0)
        other = _behind(COLLIMATORS["vertical"], 1.5) + 0.25 * _behind(COLLIMATORS["second"], 3.0)
        arcs = sum(_behind(place, 1.0) for place in ARCS)
        return cls(
            horizontal=gain * first,
            vertical=gain * other,
            touschek=gain * (0.4 * arcs + 0.2 * first),
            gas=gain * np.exp(rng.normal(0, 0.4, MONITORS)),
            injection=gain * _behind(SEPTUM, 4.0),
            offset=np.exp(rng.normal(np.log(1e-3), 0.3, MONITORS)),
            noise=np.exp(rng.normal(np.log(0.04), 0.3, MONITORS)),
        )


def _behind(place: int, reach: float) -> np.ndarray:
    """Losses that start at a monitor and fade over `reach` monitors behind it, around the ring; shape (monitors,)."""
    distance = (np.arange(MONITORS) - place) % MONITORS
    return np.exp(-distance / reach)


def losses(ring: Ring, seconds: np.ndarray, rng: Rng) -> np.ndarray:
    """Readings of one fill without faults, shape (rows, monitors), mGy/s, `seconds` (rows,) after its start."""
    rows = len(seconds)
    current = rng.uniform(0.25, 1.0) * np.exp(-seconds / 3.6e5)
    wander = np.cumsum(rng.normal(0, 0.05, (4, rows)), axis=1) + rng.normal(0, [[0.5], [0.5], [0.2], [0.3]], (4, 1))
    halo_x, halo_y, touschek, gas = np.exp(wander) * np.array([[3.0], [2.0], [1.0], [0.15]])
    topping_up = (rng.random(rows) < 0.15) * rng.uniform(0.5, 4.0, rows)
    sources = (
        (ring.horizontal, halo_x * current),
        (ring.vertical, halo_y * current),
        (ring.touschek, touschek * current**2),
        (ring.gas, gas * current * (0.3 + current)),
        (ring.injection, topping_up),
    )
    clean = sum(strength[:, None] * pattern for pattern, strength in sources)
    return _read(clean * np.exp(rng.normal(0, 1, clean.shape) * ring.noise) + ring.offset)


def _read(values: np.ndarray) -> np.ndarray:
    """What the electronics give: in steps, never negative, never above saturation."""
    return (np.round(values / STEP) * STEP).clip(0, LARGEST).astype(np.float32)


def obstacle(reading: np.ndarray, rng: Rng) -> np.ndarray:
    """A falling particle or a forgotten screen: losses at one place away from the collimators, and behind it."""
    place = int(rng.choice(ARCS))
    return reading + _strength(0.02, 1.0, rng) * reading.max() * _behind(place, 2.0)


def leak(reading: np.ndarray, rng: Rng) -> np.ndarray:
    """A vacuum leak: gas scattering many times the usual over a quarter of the ring."""
    width = (np.arange(MONITORS) - rng.integers(MONITORS)) % MONITORS < MONITORS // 4
    return reading * np.where(width, 1 + _strength(0.1, 3.0, rng), 1.0)


def hierarchy(reading: np.ndarray, rng: Rng) -> np.ndarray:
    """A collimator out of place: it catches less, and what it lets through is lost at the next one."""
    first, second = COLLIMATORS[str(rng.choice(["horizontal", "vertical"]))], COLLIMATORS["second"]
    passed = (_strength(0.1, 0.9, rng) * reading[first] * _behind(first, 2.0)).clip(0, 0.95 * reading)
    return reading - passed + passed.sum() / 2 * _behind(second, 2.0)


def deaf(reading: np.ndarray, rng: Rng) -> np.ndarray:
    """A monitor that loses its high voltage: it reads less than there is, or nothing."""
    changed = reading.copy()
    changed[int(rng.choice([*COLLIMATORS.values(), *ARCS]))] *= 1 - _strength(0.1, 1.0, rng)
    return changed


def _strength(lowest: float, highest: float, rng: Rng) -> float:
    """Weak ones are as frequent as strong ones: evenly drawn on a logarithmic scale."""
    return float(np.exp(rng.uniform(np.log(lowest), np.log(highest))))


ANOMALIES: dict[str, Callable[[np.ndarray, Rng], np.ndarray]] = {
    change.__name__: change for change in (obstacle, leak, hierarchy, deaf)
}


def provoke(readings: np.ndarray, share: float, rng: Rng) -> tuple[np.ndarray, np.ndarray]:
    """Readings, shape (rows, monitors), mGy/s, a `share` of them with an anomaly, and its name in each row or `none`."""
    names = np.where(rng.random(len(readings)) < share, rng.choice(list(ANOMALIES), len(readings)), "none")
    changed = [
        reading if name == "none" else ANOMALIES[name](reading.astype(np.float64), rng)
        for reading, name in zip(readings, names, strict=True)
    ]
    return _read(np.array(changed)), names
