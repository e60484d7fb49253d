"""Which alarms a rule makes of recorded readings, and how many are to be expected."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from beampermit.contract.service import Monitoring
from beampermit.monitoring.backtest.recorded import Series

WEEK = 604800.0
CONFIDENCE = 0.9


@dataclass(frozen=True)
class Alarm:
    """From its raise to its clearing, s since 1970; the record may end before."""

    key: str
    since: float
    until: float


def alarms(series: Series, limits: Mapping[str, np.ndarray | float], rule: Monitoring) -> list[Alarm]:
    """In the order of time. By the same rule as `TripRules`, for one threshold."""
    found = []
    for key, values in series.values.items():
        limit = np.broadcast_to(limits[key], values.shape)
        beyond, good = _compared(values, limit, series.usual.get(key, 0.0), rule)
        found += [Alarm(key, *span) for span in _spans(series.ends, beyond, good, np.isfinite(values), rule)]
    return sorted(found, key=lambda one: (one.since, one.key))


def episodes(found: Sequence[Alarm]) -> int:
    """Times in which anything was in alarm: what one fault raises together counts once."""
    count, until = 0, -math.inf
    for one in found:
        count += one.since > until
        until = max(until, one.until)
    return count


def held(values: np.ndarray, rule: Monitoring) -> np.ndarray:
    """For each window the largest limit that raises an alarm there: the m-th largest of the last n values."""
    padded = np.concatenate([np.full(rule.of - 1, -np.inf), np.where(np.isfinite(values), values, -np.inf)])
    windows = np.lib.stride_tricks.sliding_window_view(padded, rule.of)
    return np.sort(windows, axis=1)[:, rule.of - rule.raise_after]


def weeks(series: Series, rule: Monitoring) -> float:
    return series.judged * rule.every / WEEK


def rate(count: int, weeks: float) -> tuple[float, float, float]:
    """So many a week, and between which rates it lies with 90 % confidence, for events that do not know one another."""
    tail = (1 - CONFIDENCE) / 2
    low = _poisson_bound(count - 1, 1 - tail) if count else 0.0
    return count / weeks, low / weeks, _poisson_bound(count, tail) / weeks


def _poisson_bound(count: int, probability: float) -> float:
    """The mean for which `count` or fewer events have this probability."""
    low, high = 0.0, 10.0 + 4.0 * (count + 1)
    for _ in range(100):
        middle = (low + high) / 2
        low, high = (middle, high) if _at_most(count, middle) > probability else (low, middle)
    return (low + high) / 2


def _at_most(count: int, mean: float) -> float:
    logs = [number * math.log(mean) - mean - math.lgamma(number + 1) for number in range(count + 1)] if mean else [0.0]
    return math.fsum(map(math.exp, logs))


def _compared(values: np.ndarray, limits: np.ndarray, usual: float, rule: Monitoring) -> tuple[np.ndarray, np.ndarray]:
    with np.errstate(invalid="ignore"):
        least = np.minimum(usual, limits)
        return values > limits, values <= least + (limits - least) * rule.clear_below


def _spans(
    ends: np.ndarray, beyond: np.ndarray, good: np.ndarray, judged: np.ndarray, rule: Monitoring
) -> list[tuple[float, float]]:
    spans, history, calm, on, since = list[tuple[float, float]](), list[bool](), 0, False, 0.0
    turning, last = None, -math.inf
    longest = rule.of * rule.every + rule.window
    for place in np.flatnonzero(judged):
        at = float(ends[place])
        if at - last > longest:
            history, calm, turning = [], 0, None
        last = at
        history = [*history, bool(beyond[place])][-rule.of :]
        calm = calm + 1 if good[place] else 0
        turns = calm >= rule.clear_after if on else sum(history) >= rule.raise_after
        turning = (at if turning is None else turning) if turns else None
        if turning is None or at - turning < ((rule.delay_off if on else rule.delay_on) or 0.0):
            continue
        if on:
            spans.append((since, at))
            history = []
        on, since, calm, turning = not on, at, 0, None
    return [*spans, (since, float(ends[-1]))] if on else spans
