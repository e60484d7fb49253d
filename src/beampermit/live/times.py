"""Under which time a value is shown. An archiver keeps only what is later than what it had of a PV before."""

from __future__ import annotations

from math import inf

from beampermit.live.update import Value

STEP = 1e-6
"""s between two values of a PV that would have the same time, or fall back."""
FARTHEST = 1800.0
"""s that a time may be ahead: what is further in the future, the EPICS Archiver Appliance does not keep."""


def timed(value: Value, before: float, now: float) -> Value:
    """`value`, whose PV showed something else under the time `before` (-inf: nothing), as it is shown at `now`.

    An answer has the time of its newest input, which is true of it. What stands in for one says when that began: with
    the newest input, where that is later than what was shown, else now, and never in the future. Times of a PV rise,
    unless what was shown is so far ahead, by a clock that was set back, that no archiver has kept it.
    """
    if before > now + FARTHEST:
        before = -inf
    at = value.newest
    if value.origin != "model" and not -inf < before < at <= now:
        at = now
    at = max(at, before + STEP)
    # `replace` would take three times as long, for each output of each cycle.
    return Value(value.value, value.severity, value.status, value.message, value.newest, value.origin, at)
