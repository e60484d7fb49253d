"""Windows beside the reference, as counts in bins: what a page draws of a drift."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from beampermit.monitoring.limits import Distribution, Limits
from beampermit.monitoring.reference import counts_of
from beampermit.monitoring.windows import LogWindow
from beampermit.verdicts.monitoring import Picture, Standing

MOST = 6
"""Pictures of a page."""


def pictures(window: LogWindow, limits: Limits, standings: Sequence[Standing]) -> tuple[Picture, ...]:
    """Of numbers whose distribution is in alarm, the worst first."""
    found = dict(_distributions(window, limits))
    alarmed = [one.reading.subject for one in standings if one.level != "NO_ALARM" and one.reading.subject in found]
    return tuple(_picture(name, *found[name]) for name in list(dict.fromkeys(alarmed))[:MOST])


def _distributions(window: LogWindow, limits: Limits) -> Iterator[tuple[str, tuple[Distribution, np.ndarray]]]:
    for rows, of in ((window.inputs, limits.inputs), (window.outputs, limits.outputs)):
        for name, signal in rows.items():
            for number, distribution in (of[name].numbers if name in of else {}).items():
                if distribution and number in signal.numbers:
                    yield number, (distribution, signal.numbers[number])


def _picture(name: str, distribution: Distribution, values: np.ndarray) -> Picture:
    edges = np.asarray(distribution.edges)
    finite = values[np.isfinite(values)]
    # The outermost bins have no end; they are drawn as far as there are values, and no thinner than the others.
    width = float(np.diff(edges).mean()) if len(edges) > 1 else max(abs(float(edges[0])), 1.0) * 0.1
    low = float(np.append(finite, edges[0] - width).min())
    high = float(np.append(finite, edges[-1] + width).max())
    counts = counts_of(edges, finite)
    total = max(int(counts.sum()), 1)
    return Picture(
        subject=name,
        edges=(low, *distribution.edges, high),
        reference=distribution.shares,
        window=tuple(float(count) / total for count in counts),
    )
