"""Shares of rows whose inputs are missing, out of range or in alarm (MON003)."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from beampermit.contract import Contract
from beampermit.live.severity import Severity
from beampermit.monitoring.limits import Limits, ShareLimit
from beampermit.monitoring.reference import FEWEST, limit_in
from beampermit.monitoring.windows import LogWindow, expected
from beampermit.verdicts.monitoring import Reading


def input_shares(window: LogWindow, contract: Contract, limits: Limits) -> Iterator[Reading]:
    """Of each input two readings, and one of the severities of all."""
    if len(window) < FEWEST:
        return
    for signal in contract.signals.inputs:
        name = signal.name
        rows, of = window.inputs.get(name), limits.inputs.get(name)
        if rows is None or of is None:
            continue
        yield share_reading("MON003", f"{name}.missing", _share(rows.missing), of.missing, len(window), limits)
        low, high = expected(signal)
        detail = f"outside [{low:g}, {high:g}] {signal.unit}"
        yield share_reading("MON003", f"{name}.outside", _share(rows.beyond), of.outside, len(window), limits, detail)
    share = float((window.worst >= Severity.MAJOR).mean())
    yield Reading(
        check="MON003",
        subject="severity",
        value=share,
        limit=contract.monitoring.alarmed,
        most=1.0,
        detail="rows with an input in MAJOR alarm",
    )


def _share(marked: np.ndarray) -> float:
    """Of the rows that are marked: to count them takes a tenth of the time of their mean."""
    return int(np.count_nonzero(marked)) / len(marked)


def share_reading(
    check: str, subject: str, share: float, of: ShareLimit, rows: int, limits: Limits, detail: str = ""
) -> Reading:
    """A share beside its limit, which is wider where a window has fewer rows than the limit was made for."""
    key = f"{check} {subject}"
    limit = limits.calibrated.get(key)
    if limit is None:
        # The limit 1 is that of a reference in which all rows of a window are so.
        limit = limit_in(of.limit, of.usual, limits.window, rows, 0.5, 1.0) if of.limit < 1 else 1.0
    said = f"{share:.1%} of {rows} rows, usual is {of.usual:.1%}"
    detail = f"{said}; {detail}" if detail else said
    return Reading(
        check=check, subject=subject, value=share, limit=limit, usual=limits.usual(key), most=1.0, detail=detail
    )
