"""Bootstrap over rows that depend on each other: how often each row counts, and what intervals that gives."""

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
"""Where a thousand times all rows are more, fewer resamples are drawn: each row of each takes two bytes."""
TAIL = 0.05
"""So many resamples lie below the interval, as many above: a one-sided test at 95 %, an interval of 90 %."""
DEFINED = 0.9
"""A metric that has a meaning in fewer of the resamples gives no interval."""


def draw_counts(groups: Sequence[np.ndarray], times: int | None = None, seed: int = SEED) -> np.ndarray:
    """How often each row counts, shape (times + 1, rows), uint16; the first time each row counts once.

    `groups` name for each row its group, by one column or several that cross, shape (rows,) each. Whole groups are
    drawn with replacement, of each column by itself, and a row counts the product: the pigeonhole bootstrap (A. B.
    Owen, Annals of Applied Statistics 1, 386, 2007), a little wide rather than too narrow. With one column it is the
    cluster bootstrap, and with rows that are each a group of their own the plain one.
    """
    import numpy as np

    rows = len(groups[0])
    drawn = times or max(FEWEST_TIMES, min(TIMES, MOST_COUNTS // max(rows, 1)))
    rng = np.random.default_rng(seed)
    found = np.ones((drawn + 1, rows), np.uint16)
    for column in groups:
        names, places = np.unique(column, return_inverse=True)
        number = len(names)
        found[1:] *= rng.multinomial(number, np.full(number, 1 / number), size=drawn).astype(np.uint16)[:, places]
    return found


def interval(better: np.ndarray) -> Interval | None:
    """The interval of differences, shape (times + 1,), the first of all rows; None where too many have no meaning."""
    found = quantile_range(better)
    return found and Interval(better=float(better[0]) + 0.0, low=found[0], high=found[1])


def quantile_range(values: np.ndarray) -> tuple[float, float] | None:
    """From where to where values reach, shape (times + 1,), the first of all rows; None as for `interval`."""
    import numpy as np

    resampled = values[1:][np.isfinite(values[1:])]
    if not np.isfinite(values[0]) or not len(resampled) or len(resampled) < DEFINED * (len(values) - 1):
        return None
    low, high = np.quantile(resampled, [TAIL, 1 - TAIL]) + 0.0  # no -0
    return float(low), float(high)
