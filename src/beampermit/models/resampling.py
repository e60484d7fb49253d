"""Bootstrap over rows that depend on each other: how often each row counts, and the intervals that follow."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from beampermit.verdicts.evidence import Interval

if TYPE_CHECKING:
    import numpy as np

SEED = 0
TIMES = 1000
FEWEST_TIMES = 200
MOST_COUNTS = 200_000_000
"""Limit of resamples x rows, at two bytes each: with many rows fewer resamples are drawn."""
TAIL = 0.05
"""Fraction of resamples below, and above, the interval: a one-sided test at 95 %, an interval of 90 %."""
DEFINED = 0.9
"""A metric that is defined in a smaller fraction of the resamples has no interval."""


def draw_counts(groups: Sequence[np.ndarray], times: int | None = None, seed: int = SEED) -> np.ndarray:
    """How often each row counts, shape (times + 1, rows), uint16; the first time each row counts once.

    `groups` are one or several crossing columns with the group of each row, shape (rows,) each. Of each column, whole
    groups are drawn with replacement, and a row counts the product: the pigeonhole bootstrap (A. B. Owen, Annals of
    Applied Statistics 1, 386, 2007), which errs towards wide intervals. With one column it is the cluster bootstrap;
    where every row is its own group, the plain one.
    """
    import numpy as np

    rows = len(groups[0])
    drawn = times or max(FEWEST_TIMES, min(TIMES, MOST_COUNTS // max(rows, 1)))
    rng = np.random.default_rng(seed)
    counts = np.ones((drawn + 1, rows), np.uint16)
    for column in groups:
        names, group_of_row = np.unique(column, return_inverse=True)
        number = len(names)
        drawn_groups = rng.multinomial(number, np.full(number, 1 / number), size=drawn).astype(np.uint16)
        counts[1:] *= drawn_groups[:, group_of_row]
    return counts


def interval(better: np.ndarray) -> Interval | None:
    """The interval of differences, shape (times + 1,), the first of all rows; None where too many are undefined."""
    found = quantile_range(better)
    return found and Interval(better=float(better[0]) + 0.0, low=found[0], high=found[1])


def quantile_range(values: np.ndarray) -> tuple[float, float] | None:
    """The quantiles `TAIL` and `1 - TAIL`; arguments and None as for `interval`."""
    import numpy as np

    resampled = values[1:][np.isfinite(values[1:])]
    if not np.isfinite(values[0]) or not len(resampled) or len(resampled) < DEFINED * (len(values) - 1):
        return None
    low, high = np.quantile(resampled, [TAIL, 1 - TAIL]) + 0.0  # no -0
    return float(low), float(high)
