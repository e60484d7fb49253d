"""How far inputs are from the reference: each alone (MON001), and all together (MON002)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np

from beampermit.contract import Contract
from beampermit.monitoring.limits import Distribution, Limits, Together
from beampermit.monitoring.reference import (
    FARTHEST_ROW,
    FEWEST,
    MOST_COLUMNS,
    counts_of,
    distances,
    limit_in,
    stability,
)
from beampermit.monitoring.windows import LogWindow, SignalRows
from beampermit.verdicts.monitoring import Reading

SLICE = 2048
"""Rows whose distance is computed at once: more take memory that the system gives anew each time, fewer take time."""


def each_input(window: LogWindow, limits: Limits) -> Iterator[Reading]:
    """One reading for each number of each input."""
    for name, rows in window.inputs.items():
        if name in limits.inputs:
            yield from distribution_readings("MON001", rows, limits.inputs[name].numbers, limits)


def distribution_readings(
    check: str, rows: SignalRows, distributions: Mapping[str, Distribution | None], limits: Limits
) -> Iterator[Reading]:
    """The population stability index of each number that has a reference, and enough rows."""
    for number, distribution in distributions.items():
        values = rows.numbers.get(number)
        if distribution is None or values is None:
            continue
        counts = counts_of(np.asarray(distribution.edges), values)
        seen = int(counts.sum())
        if seen < FEWEST:
            continue
        key = f"{check} {number}"
        limit = limits.calibrated.get(key) or _limit(distribution, limits.window, seen)
        most = largest_index(distribution, limits.window, seen)
        value = max(0.0, stability(np.asarray(distribution.shares), counts, limits.window))
        moved = _moved(distribution, values) if value > limit else ""
        detail = f"{moved}{seen} rows"
        yield Reading(
            check=check, subject=number, value=value, limit=limit, usual=limits.usual(key), most=most, detail=detail
        )


def largest_index(distribution: Distribution, window: int, rows: int) -> float:
    """What `reference.largest` finds in every bin: that of so many rows which all lie in the rarest one."""
    shares, counts = np.asarray(distribution.shares), np.zeros(len(distribution.shares))
    counts[shares.argmin()] = rows
    return stability(shares, counts, window)


def _limit(distribution: Distribution, window: int, rows: int) -> float:
    """In a window of so many rows."""
    limit = distribution.limit
    if rows >= window or limit >= largest_index(distribution, window, window):
        return limit  # where it is as large, the reference itself is all in one bin for a while
    return limit_in(limit, 0.0, window, rows, 1.0, largest_index(distribution, window, rows))


def _moved(distribution: Distribution, values: np.ndarray) -> str:
    """In words: the median beside that of the reference."""
    below = np.cumsum(distribution.shares)[:-1]
    usual = distribution.edges[int(np.abs(below - 0.5).argmin())]
    return f"median {float(np.nanmedian(values)):.4g}, of the reference about {usual:.4g}; "


def together(window: LogWindow, contract: Contract, limits: Limits) -> Iterator[Reading]:
    """One reading: nothing where the reference is too small, or a row has too few values."""
    reference = limits.together
    if reference is None:
        return
    blocks = together_blocks(window, contract)
    if blocks is None or sum(block.shape[1] for block in blocks) != len(reference.centre):
        return
    far = far_from(blocks, reference)
    if len(far) < FEWEST:
        return
    limit = limits.calibrated.get("MON002")
    if limit is None:
        most = FARTHEST_ROW if reference.limit < FARTHEST_ROW else float("inf")
        limit = limit_in(reference.limit, reference.usual, limits.window, len(far), 0.5, most)
    further = float((far > reference.limit).mean())
    detail = f"{further:.0%} of {len(far)} rows are further away; usual is {reference.usual:.3g}"
    yield Reading(
        check="MON002",
        subject="",
        value=float(far.mean()),
        limit=limit,
        usual=limits.usual("MON002"),
        most=FARTHEST_ROW,
        detail=detail,
    )


def together_blocks(window: LogWindow, contract: Contract) -> list[np.ndarray] | None:
    """The columns of all inputs, as `windows.compared_whole` left them; None where an input is not in the log."""
    found, left = [], MOST_COLUMNS
    for signal in contract.signals.inputs:
        rows = window.inputs.get(signal.name)
        if rows is None:
            return None
        if rows.values.shape[1] <= left:
            found.append(rows.values)
            left -= rows.values.shape[1]
    return found


def far_from(blocks: list[np.ndarray], reference: Together) -> np.ndarray:
    """Distance of each row with finite values."""
    fitted = {name: np.asarray(getattr(reference, name)) for name in ("centre", "scale", "components", "variances")}
    fitted["rest"] = reference.rest  # type: ignore[assignment]
    parts = [
        distances(np.concatenate([block[start : start + SLICE].T for block in blocks]).T, fitted)  # column by column
        for start in range(0, len(blocks[0]) if blocks else 0, SLICE)
    ]
    return np.concatenate(parts) if parts else np.zeros(0)
