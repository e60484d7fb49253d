"""What a trial says of itself, read as text of others: numbers are finite, and it is this trial's."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from beampermit.compute.unit import Ended
from beampermit.contract.measured import MeasuredMetric
from beampermit.errors import Failed, did_you_mean
from beampermit.models.measures import measure_weighted, read_compared
from beampermit.trials.records import CURVE_POINTS, LOSS, Objective
from beampermit.trials.settings import is_number
from beampermit.trials.study import Kept

SCORES = "scores.parquet"
"""In a unit's folder: the answers on the validation split, where the checker is to measure them."""
LONGEST = 2000
"""Characters of a reason that are kept, the last ones."""
MOST_METRICS = 200


def kept_of(ended: Ended, objectives: tuple[Objective, ...], measured: Mapping[str, float]) -> tuple[Kept, list[float]]:
    """What is kept of a trial that ended, and the values of its objectives; no value where it failed.

    `measured` are the metrics that the checker computed.
    """
    try:
        curve, metrics = _sound(ended)
        metrics = {**metrics, **measured}
        known = {**({LOSS: curve[-1][-1]} if curve and len(curve[-1]) > 1 else {}), **metrics}
        values = [_value(objective.name, known) for objective in objectives]
    except Failed as error:
        return _kept(ended, reason=error.message), []
    return _kept(ended, curve=_thin(curve), metrics=metrics, machine=_machine(ended)), values


def failed_of(ended: Ended, reason: str = "") -> Kept:
    return _kept(ended, reason=reason or ended.reason)


def measured_of(ended: Ended, metrics: tuple[MeasuredMetric, ...], rows: Path) -> dict[str, float]:
    """The checker's own metrics on the validation split, without those that are undefined there.

    Raises `Failed` where the answers of the trial cannot be read.
    """
    scores = ended.folder / SCORES
    if not metrics:
        return {}
    if scores.is_symlink() or not scores.is_file():
        raise Failed(f"the trial wrote no {SCORES}, in which its answers are measured")
    found = measure_weighted(metrics, read_compared(metrics, scores, rows), None)
    values = {name: float(value[0]) for name, value in found.items()}
    return {name: value for name, value in values.items() if is_number(value)}


def _kept(ended: Ended, reason: str = "", **more: Any) -> Kept:
    seconds = round(ended.seconds, 3) if is_number(ended.seconds) else None
    unit = ended.unit.digest
    return Kept(**{"machine": ended.machine, **more}, seconds=seconds, reason=reason[-LONGEST:], unit=unit)


def _sound(ended: Ended) -> tuple[list[tuple[float, ...]], dict[str, float]]:
    result = ended.result or {}
    if result.get("parameters") != ended.unit.request["parameters"]:
        raise Failed("result.json is of other parameters than this trial's: `parameters` repeats those of the request")
    curve, metrics = result.get("curve", []), result.get("metrics", {})
    if not isinstance(curve, list) or not all(_is_row(row) for row in curve):
        raise Failed("curve in result.json is a list of rows of numbers: step, loss, validation loss")
    if not isinstance(metrics, dict) or len(metrics) > MOST_METRICS or not all(map(is_number, metrics.values())):
        raise Failed(f"metrics in result.json are at most {MOST_METRICS} names and numbers")
    return [tuple(map(float, row)) for row in curve], {str(name): float(value) for name, value in metrics.items()}


def _is_row(row: Any) -> bool:
    return isinstance(row, list) and 2 <= len(row) <= 10 and all(map(is_number, row))


def _value(name: str, known: Mapping[str, float]) -> float:
    if name not in known:
        raise Failed(f"the trial has no {name} on the validation split{did_you_mean(name, known)}")
    return known[name]


def _thin(curve: list[tuple[float, ...]]) -> tuple[tuple[float, ...], ...]:
    if len(curve) <= CURVE_POINTS:
        return tuple(curve)
    last = len(curve) - 1
    return tuple(curve[round(number * last / (CURVE_POINTS - 1))] for number in range(CURVE_POINTS))


def _machine(ended: Ended) -> str:
    """What the trial says of processor or GPU, and the host."""
    body = (ended.result or {}).get("machine")
    names = [str(body.get(key, ""))[:100] for key in ("cpu", "device")] if isinstance(body, dict) else []
    return ", ".join(dict.fromkeys(filter(None, (ended.machine, *names))))
