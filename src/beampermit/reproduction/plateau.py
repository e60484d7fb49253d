"""Whether a training is stuck: its loss stands still, far above where a training of the same thing came to."""

from __future__ import annotations

from collections.abc import Sequence

FAR = 0.25
"""Of the way down that the better training went: so much is still missing."""
STILL = 0.1
"""Of what is missing: in its second half a stuck training gained less."""
FEWEST = 4
"""Epochs below which a curve shows no plateau."""


def stuck(loss: Sequence[float], better: float) -> bool:
    """Whether the curve `loss` ended on a plateau far above `better`, the last loss of another training.

    Shares of the way down are compared, so neither the loss's scale nor its zero matters.
    """
    if len(loss) < FEWEST:
        return False
    start, end = max(loss), min(loss[-(len(loss) // 4) or -1 :])
    missing, way = end - better, start - better
    if way <= 0 or missing <= FAR * way:
        return False
    half = len(loss) // 2
    return min(loss[:half]) - min(loss[half:]) < STILL * missing


def since(loss: Sequence[float]) -> int:
    """The epoch, from 1, after which the loss gained less than a tenth of what it had gained in all."""
    lowest, gained = min(loss), max(loss) - min(loss)
    return next((epoch for epoch, value in enumerate(loss, 1) if value - lowest <= STILL * gained), len(loss))
