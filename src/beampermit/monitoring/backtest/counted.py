"""What limits before and after a change would have raised on a record: counted by who judges, not by who proposes."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from beampermit.contract import Contract
from beampermit.monitoring.backtest.backtest import backtest, moment
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
        since=moment(after.since),
        until=moment(last),
        windows=windows,
        weeks=judged_weeks,
        before=was,
        after=judged,
        of_inputs=of_inputs,
    )


def _counted(recording: Recording, limits: Limits, of_inputs: bool) -> tuple[AlarmRate, int, float]:
    made = backtest(recording, limits, of_inputs=of_inputs, shifts=False)
    per_week, low, high = made.now.per_week
    return AlarmRate(per_week=per_week, low=low, high=high), made.series.judged, made.now.weeks
