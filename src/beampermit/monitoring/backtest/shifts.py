"""How large a shift of an input is seen, and after how long: added to recorded rows, judged as the monitor would."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from beampermit.contract.service import Monitoring
from beampermit.monitoring.backtest.alarms import alarms
from beampermit.monitoring.backtest.recorded import Recording, series_of
from beampermit.monitoring.drift import each_input
from beampermit.monitoring.limits import Limits
from beampermit.monitoring.windows import LogWindow, SignalRows, read_window
from beampermit.progress import Progress, silent

SIZES = (4.0, 2.0, 1.0, 0.5, 0.25)
"""Standard deviations of the input, largest first."""
STARTS = 3
"""Moments of the record at which a shift begins."""


@dataclass(frozen=True)
class Seen:
    """A shift of an input by so many of its standard deviations."""

    name: str
    sigma: float
    """Of the input in the record, in its unit."""
    size: float
    delay: float | None
    """s until its alarm, the median over several moments; None where it was missed at one of them."""
    already: bool = False
    """Its limit was passed before a shift could begin, at each of the moments: nothing is known of it."""


def seen_shifts(recording: Recording, limits: Limits, progress: Progress = silent) -> tuple[Seen, ...]:
    """The smallest shift of each input that is seen, or the largest that is not."""
    rule = recording.contract.monitoring
    length = rule.window + (rule.of + 1) * rule.every + (rule.delay_on or 0.0)
    span = recording.until - recording.since - rule.window - length
    starts = [recording.since + rule.window + max(span, 0) * (number + 1) / (STARTS + 1) for number in range(STARTS)]
    parts = [read_window(recording.log, recording.contract, at - rule.window, at + length) for at in starts]
    usable = [(at, part) for at, part in zip(starts, parts, strict=True) if len(part)]
    found = []
    names = [name for name in limits.inputs if all(name in part.inputs for _, part in usable)]
    for number, name in enumerate(names if usable else ()):
        progress("shift inputs", number, len(names))
        found.append(_smallest(name, usable, limits, rule))
    return tuple(filter(None, found))


def _smallest(name: str, parts: Sequence[tuple[float, LogWindow]], limits: Limits, rule: Monitoring) -> Seen | None:
    sigma = float(np.median([_sigma(part.inputs[name]) for _, part in parts]))
    if not np.isfinite(sigma) or sigma <= 0:
        return None
    best = Seen(name, sigma, SIZES[0], None)
    parts = [(at, part) for at, part in parts if not _is_beyond(name, at, part, limits, rule)]
    if not parts:
        return replace(best, already=True)
    for size in SIZES:
        delays = [_delay(name, size * sigma, at, part, limits, rule) for at, part in parts]
        if None in delays:
            break
        best = Seen(name, sigma, size, float(np.median([one for one in delays if one is not None])))
    return best


def _sigma(rows: SignalRows) -> float:
    """Of all values; of a large array its rows' means and standard deviations are known."""
    numbers = [*rows.numbers.values()]
    with np.errstate(invalid="ignore"):
        if len(numbers) == 1:
            return float(np.nanstd(numbers[0])) if np.isfinite(numbers[0]).any() else float("nan")
        mean, deviation = numbers[0], numbers[1]
        return float(np.sqrt(np.nanvar(mean) + np.nanmean(deviation**2))) if np.isfinite(mean).any() else float("nan")


def _delay(name: str, amount: float, at: float, part: LogWindow, limits: Limits, rule: Monitoring) -> float | None:
    """s from the shift's beginning to its alarm; None where there is none."""
    moved = _shifted_from(part, name, amount, at)
    ends = [float(end) for end in np.arange(at, part.window.until + 1, rule.every)]
    windows = (moved.between(end - rule.window, end) for end in ends)
    series = series_of(
        ends, [{one.key: (one.value, one.limit) for one in each_input(window, limits)} for window in windows], len(part)
    )
    raised = [one.since for one in alarms(series, series.limits, rule)]
    return raised[0] - at if raised else None


def _is_beyond(name: str, at: float, part: LogWindow, limits: Limits, rule: Monitoring) -> bool:
    """Whether the window before the shift passes a limit: an alarm after it would not be the shift's."""
    before = _shifted_from(part, name, 0.0, at).between(at - rule.window, at)
    return any(one.exceeded for one in each_input(before, limits))


def _shifted_from(part: LogWindow, name: str, amount: float, at: float) -> LogWindow:
    """The input alone, with what is compared of it larger from a moment on."""
    rows, later = part.inputs[name], part.at >= at
    moved = {key: values + amount * later * (key in (name, f"{name}.mean")) for key, values in rows.numbers.items()}
    return replace(part, inputs={name: replace(rows, numbers=moved)}, outputs={})


def shown_sizes(found: Sequence[Seen]) -> Iterator[str]:
    """In words, worst first."""
    order = sorted(found, key=lambda one: (one.delay is not None, -one.size, one.name))
    for one in order:
        if one.already:
            yield f"{one.name}: it is beyond its limit already, so no shift of it can be tried"
            continue
        amount = f"{one.size:g} sigma ({one.size * one.sigma:.3g})"
        after = "is not seen" if one.delay is None else f"is seen after {one.delay / 3600:.1f} h"
        yield f"{one.name}: a shift of {amount} {after}"
