"""What the model answers (MON004), how often it is not shown (MON005), and how long it takes (MON006)."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from beampermit.contract import Contract
from beampermit.monitoring.drift import distribution_readings
from beampermit.monitoring.limits import Limits
from beampermit.monitoring.reference import FEWEST
from beampermit.monitoring.shares import share_reading
from beampermit.monitoring.windows import LogWindow, alarms
from beampermit.verdicts.monitoring import Reading


def answers(window: LogWindow, contract: Contract, limits: Limits) -> Iterator[Reading]:
    """Of each output its distribution, and the share that is flagged."""
    for signal in contract.signals.outputs:
        rows, of = window.outputs.get(signal.name), limits.outputs.get(signal.name)
        if rows is None or of is None:
            continue
        yield from distribution_readings("MON004", rows, of.numbers, limits)
        answered = ~rows.missing
        if of.flagged and answered.sum() >= FEWEST:
            low, high = alarms(signal)
            ends = [f"at most {low:g}" for _ in (low,) if low is not None] + [
                f"at least {high:g}" for _ in (high,) if high is not None
            ]
            share, count = float(rows.beyond[answered].mean()), int(answered.sum())
            subject = f"{signal.name}.flagged"
            yield share_reading(
                "MON004", subject, share, of.flagged, count, limits, f"{' or '.join(ends)} {signal.unit}"
            )


def shown(window: LogWindow, contract: Contract) -> Iterator[Reading]:
    """Of each output the share of the time in which it is INVALID, or a fallback."""
    for name, marked in window.shown.invalid.items():
        parts = (
            ("invalid", marked, contract.monitoring.invalid, "INVALID"),
            ("fallback", window.shown.fallback[name], contract.monitoring.fallback, "a held value or a default"),
        )
        for what, rows, limit, words in parts:
            share = window.shown.share(rows)
            if share is not None:
                detail = f"{words} in {share:.1%} of the time"
                subject = f"{name}.{what}"
                yield Reading(check="MON005", subject=subject, value=share, limit=limit, most=1.0, detail=detail)


def late(window: LogWindow, contract: Contract) -> Iterator[Reading]:
    """One reading: the time that the model took, 99th percentile of cycles."""
    if len(window) < FEWEST:
        return
    order = np.lexsort((window.at, window.cycle))
    cycle, at = window.cycle[order], window.at[order]
    begins = np.flatnonzero(np.append(True, (cycle[1:] != cycle[:-1]) | (at[1:] != at[:-1])))
    rows = np.diff(np.append(begins, len(order)))
    latency = window.latency[order[begins]]
    latency = latency[np.isfinite(latency)]
    if len(latency) < FEWEST:
        return
    value, allowed = float(np.quantile(latency, 0.99)), contract.monitoring.late
    if allowed is None:
        allowed = min(contract.budget.latency * float(np.median(rows)), contract.serving.timeout)
    detail = f"99th percentile of {len(latency)} cycles, median {float(np.median(latency)):.3g} s"
    yield Reading(check="MON006", subject="", value=value, limit=allowed, unit="s", detail=detail)
