"""All that is measured of a window, as readings."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from beampermit.contract import Contract
from beampermit.errors import counted
from beampermit.monitoring.drift import each_input, together
from beampermit.monitoring.limits import Limits
from beampermit.monitoring.outputs import answers, late, shown
from beampermit.monitoring.quality import Truth, quality
from beampermit.monitoring.reference import FEWEST
from beampermit.monitoring.shares import input_shares
from beampermit.monitoring.windows import LogWindow, longest_gap
from beampermit.verdicts.monitoring import Reading


def readings(
    window: LogWindow, limits: Limits, contract: Contract, truths: Sequence[Truth] = ()
) -> tuple[Reading, ...]:
    """In the order of their checks; of a check that cannot be judged, for too few rows, there is none.

    `truths` are what `quality.compare` gives. The last reading is MON008, how far the window could not be judged:
    1 where the log says nothing of it, 0 where nothing is odd. Its `detail` says what is.
    """
    with np.errstate(all="ignore"):
        return (
            *each_input(window, limits),
            *together(window, contract, limits),
            *input_shares(window, contract, limits),
            *answers(window, contract, limits),
            *shown(window, contract),
            *late(window, contract),
            *(quality(truths, contract, limits, window.window.until) if truths else ()),
            _judged(window, limits, contract),
        )


def _judged(window: LogWindow, limits: Limits, contract: Contract) -> Reading:
    notes = [*window.notes]
    names = {signal.name for signal in contract.signals.inputs}
    if lost := sorted(names - {*limits.inputs}):
        notes.insert(0, f"{contract.monitoring.limits} has no limits of {', '.join(lost)}")
    silent = not len(window) and not len(window.shown.at)
    if silent:
        notes.insert(0, "the log has no row of a version in service in this time")
    elif not len(window):
        notes.insert(0, "the model was not asked in this time")
    few = 0 < len(window) < FEWEST
    if few:
        notes.insert(0, f"{counted(len(window), 'row')}; {FEWEST} are needed: make monitoring.window longer")
    gap = (longest_gap(window) or 0.0) / (window.window.until - window.window.since)
    value = 1.0 if silent or few or lost or len(window.inputs) < len(names) else gap
    return Reading(check="MON008", subject="", value=value, limit=0.5, detail="; ".join(notes))
