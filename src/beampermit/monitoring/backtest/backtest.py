"""One backtest: what the monitor would have said of a recording, and what other limits would."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from typing import Protocol

import numpy as np

from beampermit.monitoring.backtest.alarms import Alarm, alarms, episodes, rate, weeks
from beampermit.monitoring.backtest.calibration import Calibrated, calibrate
from beampermit.monitoring.backtest.measuring import measure
from beampermit.monitoring.backtest.recorded import Recording, Series
from beampermit.monitoring.backtest.shifts import Seen, seen_shifts
from beampermit.monitoring.judged_limits import most_measured
from beampermit.monitoring.limits import Alarms, Calibration, Limits
from beampermit.progress import Progress, silent
from beampermit.verdicts.evidence import AlarmRate

OF_INPUTS = ("MON001", "MON002", "MON003")
"""Checks whose limits hold for every model that is trained on the same reference."""


class Judge(Protocol):
    def __call__(self, recording: Recording, limits: Limits, /, *, progress: Progress) -> Series: ...


@dataclass(frozen=True)
class Expected:
    """Alarms of a recording by some limits."""

    alarms: tuple[Alarm, ...]
    episodes: int
    """Times in which anything was in alarm."""
    weeks: float
    """That were judged."""

    @property
    def per_week(self) -> tuple[float, float, float]:
        """Episodes a week, and between which rates they lie with 90 % confidence."""
        return rate(self.episodes, self.weeks)

    @property
    def by_key(self) -> list[tuple[str, int]]:
        """Alarms of each check and subject that has any, most first."""
        return Counter(one.key for one in self.alarms).most_common()


@dataclass(frozen=True)
class Backtest:
    """With limits as they are and, where asked for, as they should be."""

    limits: Limits
    """As they are."""
    series: Series
    now: Expected
    calibrated: Calibrated | None
    after: Expected | None
    """With the calibrated limits, on the same recording."""
    shifts: tuple[Seen, ...]
    of_inputs: bool = False
    """Whether it says nothing of outputs."""


def backtest(
    recording: Recording,
    limits: Limits,
    *,
    false_alarms: float | None = None,
    in_weeks: float = 4.0,
    of_inputs: bool = False,
    shifts: bool = True,
    judge: Judge = measure,
    progress: Progress = silent,
) -> Backtest:
    """`judge` measures the windows, here or elsewhere; with `of_inputs`, nothing is said of outputs.

    Raises `BadInput` where the recording has nothing to judge, or too little to calibrate.
    """
    rule = recording.contract.monitoring
    series = judge(recording, limits, progress=progress)
    series = series.of(OF_INPUTS) if of_inputs else series
    now = _expected(recording, series, series.limits)
    calibrated, after, judging = None, None, limits
    if false_alarms is not None:
        most = partial(most_measured, limits)
        calibrated = calibrate(series, rule, limits.keys, false_alarms, in_weeks, most)
        rounded = _rounded_up(calibrated.limits, most)
        usual = {key: min(float(f"{value:.4g}"), rounded[key]) for key, value in calibrated.usual.items()}
        calibrated = replace(calibrated, limits=rounded, usual=usual)
        judging = _with(limits, calibrated)
        judged = replace(series, usual={**series.usual, **usual})
        after = _expected(recording, judged, {**series.limits, **calibrated.limits})
    found = seen_shifts(recording, judging, progress) if shifts else ()
    return Backtest(limits, series, now, calibrated, after, found, of_inputs)


def calibration_of(
    made: Backtest, recording: Recording, false_alarms: float, in_weeks: float, data: str | None = None
) -> Calibration:
    """As a file; `data` is the digest of what was recorded. What was calibrated before and is kept now stays in it."""
    if made.calibrated is None or made.after is None:
        raise ValueError("nothing was calibrated")
    limits = _with(made.limits, made.calibrated)
    return Calibration(
        format=1,
        since=moment(recording.since),
        until=moment(recording.until),
        data=data,
        windows=made.series.judged,
        alarms_per_week=false_alarms / in_weeks,
        limits=dict(sorted(limits.calibrated.items())),
        usual=dict(sorted(limits.calibrated_usual.items())),
        alarms=Alarms(
            weeks=float(f"{made.now.weeks:.3g}"),
            of_inputs=made.of_inputs,
            before=_rate(made.now),
            after=_rate(made.after),
            limits_before=made.limits.digest,
            limits_after=limits.digest,
        ),
    )


def _with(limits: Limits, calibrated: Calibrated) -> Limits:
    usual = {**limits.calibrated_usual, **calibrated.usual}
    return limits.model_copy(
        update={"calibrated": {**limits.calibrated, **calibrated.limits}, "calibrated_usual": usual}
    )


def _rate(of: Expected) -> AlarmRate:
    per_week, low, high = (float(f"{rate:.3g}") for rate in of.per_week)
    return AlarmRate(per_week=per_week, low=low, high=high)


def _expected(recording: Recording, series: Series, limits: Mapping[str, np.ndarray | float]) -> Expected:
    rule = recording.contract.monitoring
    found = alarms(series, limits, rule)
    return Expected(tuple(found), episodes(found), weeks(series, rule))


def _rounded_up(limits: Mapping[str, float], most: Callable[[str], float]) -> dict[str, float]:
    """Four digits, so that a file of limits can be read, where such a limit can still be exceeded."""
    rounded = {key: float(f"{value * 1.0005:.4g}") for key, value in sorted(limits.items())}
    return {key: value if value < most(key) else limits[key] for key, value in rounded.items()}


def moment(at: float) -> str:
    return f"{datetime.fromtimestamp(at, UTC):%Y-%m-%dT%H:%M:%SZ}"
