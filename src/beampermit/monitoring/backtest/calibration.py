"""Limits for at most so many false alarms in so many weeks, from the highest values of each day of a record.

Values of windows that overlap, or of a machine that drifts slowly, depend on one another; the highest of whole days
hardly do. So days are counted, and not windows.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass

import numpy as np

from beampermit.contract.service import Monitoring
from beampermit.errors import BadInput, counted
from beampermit.monitoring.backtest.alarms import WEEK, held
from beampermit.monitoring.backtest.recorded import Series
from beampermit.monitoring.reference import REACHED

DAY = 86400.0
FEWEST = 8
"""Parts of a record that say how its highest values are spread."""
MANY = 14
"""Parts that a shorter record is cut into."""
CAUTION = 0.5
"""Limits are made for so much fewer alarms: on data that they were not made from, there are up to twice as many."""
FLATTEST = 0.05
"""Of the usual highest value: what never varies may still vary so much."""
NOTHING = 1e-9
"""What rounding leaves of a value that is always 0, as of a constant input."""


@dataclass(frozen=True)
class Calibrated:
    """Limits in a window as it is served."""

    limits: Mapping[str, float]
    usual: Mapping[str, float]
    """Of each, the median of all windows."""
    kept: tuple[str, ...]
    """Checks and subjects that the record says nothing of, for they are always 0, or once as large as can be: their
    limits stay."""
    extrapolated: bool
    """Whether the record is too short to show so few alarms, so that its highest values had to be continued."""


def calibrate(
    series: Series,
    rule: Monitoring,
    keys: Collection[str],
    false_alarms: float,
    in_weeks: float,
    most: Callable[[str], float] = lambda _: math.inf,
) -> Calibrated:
    """For checks and subjects `keys`, of which `most` says how large their values can be.

    Raises `BadInput` for a record that is too short.
    """
    part = _part(series, rule)
    number = ((series.ends - series.ends[0]) // part).astype(int)
    parts = np.unique(number)
    highest, kept = dict[str, np.ndarray](), list[str]()
    for key in keys:
        values = held(series.values[key], rule) if key in series.values else np.zeros(0)
        if len(values):
            of_parts = np.array([values[number == one].max() for one in parts])
            if np.isfinite(of_parts).sum() >= FEWEST and NOTHING < of_parts.max() < most(key):
                highest[key] = of_parts
                continue
        kept.append(key)
    if not highest:
        raise BadInput(
            f"the record is cut into {counted(len(parts), 'part')}, and {FEWEST} with values are needed",
            hint="give a longer record with --from and --to",
        )
    scales = {key: _scale(values) for key, values in highest.items()}
    chance = min(0.5, CAUTION * false_alarms * part / (in_weeks * WEEK))
    allowed = math.floor(false_alarms * len(parts) * part / (in_weeks * WEEK))
    threshold = _threshold(_together(highest, scales), chance, allowed)
    limits = {
        key: _within(most(key), usual + spread * threshold, float(highest[key].max()))
        for key, (usual, spread) in scales.items()
    }
    usual = {key: max(float(np.nanmedian(series.values[key])), 0.0) for key in limits}
    return Calibrated(limits, usual, tuple(kept), allowed == 0)


def _part(series: Series, rule: Monitoring) -> float:
    span = float(series.ends[-1] - series.ends[0]) + rule.every
    return DAY if span >= MANY * DAY else max(span / MANY, 2 * rule.window)


def _scale(highest: np.ndarray) -> tuple[float, float]:
    """The usual highest value of a part, and how far others are above it; parts without values are left out."""
    found = highest[np.isfinite(highest)]
    usual = float(np.median(found))
    return usual, max(_spread(found), FLATTEST * usual, 1e-12)


def _within(most: float, limit: float, highest: float) -> float:
    """A limit that can be exceeded, and that was not in the record."""
    return min(limit, highest + REACHED * (most - highest))


def _together(highest: Mapping[str, np.ndarray], scales: Mapping[str, tuple[float, float]]) -> np.ndarray:
    """The highest of all in each part, each by its own scale."""
    each = [(values - scales[key][0]) / scales[key][1] for key, values in highest.items()]
    found = np.max(each, axis=0)
    return found[np.isfinite(found)]


def _threshold(highest: np.ndarray, chance: float, allowed: int) -> float:
    """That a part exceeds with a probability of at most `chance`, and of these parts at most `allowed`."""
    usual, spread = float(np.median(highest)), _spread(highest)
    # Above the median, highest values fall off exponentially.
    continued = usual + spread * math.log(0.5 / chance)
    seen = np.sort(highest)[::-1]
    return max(continued, float(seen[allowed]) * (1 + 1e-9) if allowed < len(seen) else continued)


def _spread(highest: np.ndarray) -> float:
    above = highest[highest > np.median(highest)] - np.median(highest)
    return float(above.mean()) if len(above) else 0.0
