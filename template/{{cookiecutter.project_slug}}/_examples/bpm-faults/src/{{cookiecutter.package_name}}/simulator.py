"""Example: part of the simulated source. Betatron motion at the monitors around a ring.

No tracking: each monitor sees a spectral line at the tune with the local amplitude and phase, a weaker one at the tune of
the other plane (coupling), the dispersive orbit of the momentum offset, its own offset, and noise.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from .faults import Rng, inject

TURNS = 250
"""Turns of a signal."""


@dataclass(frozen=True)
class Optics:
    """The ring at each monitor; arrays of shape (2, monitors), first X then Y."""

    amplitude: np.ndarray
    """Square root of the beta function, relative."""
    phase: np.ndarray
    """Phase advance, rad."""
    dispersion: np.ndarray
    """mm for a momentum offset of 1e-3."""
    offset: np.ndarray
    """mm."""
    noisiness: np.ndarray
    """Relative noise of the monitor."""
    step: np.ndarray
    """Resolution of the electronics, mm."""


@dataclass(frozen=True)
class Beam:
    """The beam in one acquisition; arrays of shape (2,), X and Y."""

    tune: np.ndarray
    kick: np.ndarray
    """Oscillation amplitude at the average beta function, mm."""
    coherence: np.ndarray
    """Decoherence time in turns; infinite for a driven oscillation."""
    coupling: np.ndarray
    momentum: float
    """Momentum offset, 1e-3."""
    noise: float
    """mm."""


def simulate(
    devices: list[str],
    *,
    acquisitions: int,
    seed: int,
    amplitude: float = 1.0,
    faults: float = 0.3,
    start: str = "2024-01-08T08:00:00Z",
) -> pd.DataFrame:
    """One acquisition a minute from `start`, with a typical kick `amplitude` (mm) and a fraction of `faults`.

    The same arguments always give the same table.
    """
    optics = _optics(len(devices), np.random.default_rng([seed, 0]))
    first = pd.to_datetime(start, utc=True)
    times = pd.date_range(first, periods=acquisitions, freq="1min").astype("datetime64[us, UTC]")
    tables = []
    for number, time in enumerate(times):
        rng = np.random.default_rng([seed, 1, number])
        turns = _turns(optics, _beam(amplitude, rng), rng)
        table = pd.DataFrame(
            {
                "acquisition": f"S{seed:03d}-{number:05d}",
                "acquired_at": time,
                "device": devices * 2,
                "plane": ["X"] * len(devices) + ["Y"] * len(devices),
                "turns": list(turns.reshape(-1, TURNS)),
            }
        )
        tables.append(inject(table, faults, rng))
    return pd.concat(tables, ignore_index=True)


def _optics(monitors: int, rng: Rng) -> Optics:
    shape = (2, monitors)
    dispersion = np.zeros(shape)
    dispersion[0] = rng.normal(1.5, 0.5, monitors).clip(0, 2.5)
    return Optics(
        amplitude=np.exp(rng.normal(0, 0.35, shape)).clip(0.4, 2),
        phase=np.cumsum(rng.uniform(0.3, 1.5, shape), axis=1),
        dispersion=dispersion,
        offset=rng.normal(0, 0.5, shape).clip(-2, 2),
        noisiness=np.exp(rng.normal(0, 0.4, shape)),
        step=np.exp(rng.uniform(np.log(0.002), np.log(0.03), shape)),
    )


def _beam(amplitude: float, rng: Rng) -> Beam:
    driven = rng.random(2) < 0.5
    return Beam(
        tune=np.array([rng.uniform(0.22, 0.30), rng.uniform(0.30, 0.38)]),
        kick=amplitude * np.exp(rng.uniform(np.log(0.4), np.log(1.6), 2)),
        coherence=np.where(driven, np.inf, np.exp(rng.uniform(np.log(150), np.log(2000), 2))),
        coupling=rng.uniform(0, 0.25, 2),
        momentum=rng.uniform(-0.8, 0.8),
        noise=np.exp(rng.uniform(np.log(0.02), np.log(0.15))),
    )


def _turns(optics: Optics, beam: Beam, rng: Rng) -> np.ndarray:
    """Signals without faults, shape (2, monitors, 250), mm."""
    turn = np.arange(TURNS)
    angle = 2 * np.pi * beam.tune[:, None, None] * turn + optics.phase[:, :, None]
    fading = np.exp(-0.5 * (turn / beam.coherence[:, None]) ** 2)[:, None, :]
    line = beam.kick[:, None, None] * fading * np.cos(angle)
    other = beam.coupling[:, None, None] * line[::-1]
    orbit = optics.dispersion * beam.momentum + optics.offset
    noise = rng.normal(0, beam.noise, angle.shape) * optics.noisiness[:, :, None]
    motion = optics.amplitude[:, :, None] * (line + other) + orbit[:, :, None] + noise
    step = optics.step[:, :, None]
    return (np.round(motion / step) * step).astype(np.float32)
