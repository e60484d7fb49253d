"""Which limits a pull request changes, and what its author's backtest said of them."""

from __future__ import annotations

import math
from collections.abc import Iterator

from beampermit.monitoring.judged_limits import CLOSE
from beampermit.monitoring.limits import Calibration, Limits
from beampermit.verdicts.evidence import MOST, Backtested, LimitChange, LimitChanges


def compare_limits(limits: Limits, before: Limits) -> LimitChanges | None:
    """None where all limits are those of the base branch, but for what two computations of one differ by."""
    rows = sorted(_changes(limits, before), key=_order)
    if not rows:
        return None
    backtest, without = None, "reference"
    if (calibration := limits.calibration) and calibration != before.calibration:
        backtest = _backtest(calibration, limits, before)
        without = "" if backtest else "edited" if calibration.alarms else "no record"
    return LimitChanges(rows=tuple(rows[:MOST]), more=len(rows[MOST:]), backtest=backtest, without=without)


def _changes(limits: Limits, before: Limits) -> Iterator[LimitChange]:
    here, there = ({key: of.limit(key) for key in of.keys} for of in (limits, before))
    for key in dict.fromkeys((*here, *there)):
        now, was = here.get(key), there.get(key)
        if now is not None and was is not None and abs(now - was) <= CLOSE * was:
            continue
        decided = key in limits.calibrated or key in before.calibrated
        looser = decided and now is not None and was is not None and now > was
        yield LimitChange(key=key, before=was, after=now, calibrated=key in limits.calibrated, looser=looser)


def _backtest(calibration: Calibration, limits: Limits, before: Limits) -> Backtested | None:
    """None where it says nothing of these very limits."""
    alarms = calibration.alarms
    if alarms is None or alarms.limits_after != limits.digest:
        return None
    return Backtested(
        since=calibration.since,
        until=calibration.until,
        windows=calibration.windows,
        weeks=alarms.weeks,
        before=alarms.before if alarms.limits_before == before.digest else None,
        after=alarms.after,
        of_inputs=alarms.of_inputs,
    )


def _order(change: LimitChange) -> tuple[bool, float]:
    """The loosened first, and what changed most; what only one side has, last."""
    if not change.before or not change.after:
        return not change.looser, math.inf
    return not change.looser, -abs(math.log(change.after / change.before))
