"""What limits before and after a change would have raised on a record: counted by who judges, not by who proposes."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from beampermit.contract import Contract
from beampermit.monitoring.backtest.alarms import alarms, episodes, rate, weeks
from beampermit.monitoring.backtest.backtest import OF_INPUTS
from beampermit.monitoring.backtest.measuring import measure
from beampermit.monitoring.backtest.recorded import Recording, opened, span_of
from beampermit.monitoring.limits import Limits
from beampermit.verdicts.evidence import AlarmRate, Backtested

MONTH = 31 * 86400.0


def count_alarms(
    record: Path, contract: Contract, limits: Limits, before: Limits, base: Contract, *, of_inputs: bool = False
) -> Backtested:
    """On the last month of a record: `limits` by the rules of `contract`, those `before` by the rules of `base`.

    With `of_inputs`, nothing is said of outputs: the record has the answers of another model. Raises `BadInput` where
    nothing of it can be judged.
    """
    name = contract.model.name
    with opened(record, name, last=MONTH) as log:
        first, last = span_of(log, name)
        after = Recording(log, contract, max(first, last - MONTH), last)
        judged, windows, judged_weeks = _counted(after, limits, of_inputs)
        was, _, _ = _counted(replace(after, contract=base), before, of_inputs)
    return Backtested(
        since=_moment(after.since),
        until=_moment(last),
        windows=windows,
        weeks=judged_weeks,
        before=was,
        after=judged,
        of_inputs=of_inputs,
    )


def _counted(recording: Recording, limits: Limits, of_inputs: bool) -> tuple[AlarmRate, int, float]:
    rule = recording.contract.monitoring
    series = measure(recording, limits)
    series = series.of(OF_INPUTS) if of_inputs else series
    lasted = weeks(series, rule)
    per_week, low, high = rate(episodes(alarms(series, series.limits, rule)), lasted)
    return AlarmRate(per_week=per_week, low=low, high=high), series.judged, lasted


def _moment(at: float) -> str:
    return f"{datetime.fromtimestamp(at, UTC):%Y-%m-%dT%H:%M:%SZ}"
