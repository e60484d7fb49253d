"""What the model answered, judged before anybody sees it: its shape, finite numbers, its physical range."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from beampermit.contract.signals import Signal
from beampermit.live.limits import alarm
from beampermit.live.rows import Invalid, Rows
from beampermit.live.severity import Severity, Status
from beampermit.live.update import Value


def judge(output: Signal, answers: Mapping[str, np.ndarray] | Invalid, rows: int) -> list[np.ndarray | Invalid]:
    """For each of the `rows` that the model was asked for: its value of this output, or what is wrong with it."""
    if isinstance(answers, Invalid):
        return [answers] * rows
    values = answers.get(output.name)
    if values is None:
        return [Invalid(Status.CALC, f"the model gave no {output.name}")] * rows
    if values.shape != (rows, *output.shape):
        wrong = f"the model gave {output.name} in shape {values.shape} instead of {(rows, *output.shape)}"
        return [Invalid(Status.CALC, wrong)] * rows
    unsound = set(np.flatnonzero(_unsound(output, values)).tolist())
    return [_problem(output, value) if row in unsound else value for row, value in enumerate(values)]


def first_problem(output: Signal, answers: np.ndarray, rows: np.ndarray) -> tuple[int, Invalid] | None:
    """Of answers of shape (all, *shape) to these `rows`, the first that is not true, and what is wrong with it."""
    wrong = np.flatnonzero(_unsound(output, answers[rows]))
    return (int(rows[wrong[0]]), _problem(output, answers[rows[wrong[0]]])) if wrong.size else None


def shown(answer: np.ndarray, rows: Rows, row: int, limits: Mapping[str, float]) -> Value:
    """A true answer for row number `row`: with its own alarm, or with that of its inputs where that is worse."""
    number = answer if answer.ndim else float(answer)
    severity, status = alarm(limits, number)
    message = ""
    if rows.severity[row] > severity:
        severity, status, message = Severity(rows.severity[row]), Status.LINK, rows.worst[row]
    return Value(number, severity, status, message, float(rows.time[row]))


def _unsound(output: Signal, values: np.ndarray) -> np.ndarray:
    """Of each row, whether a number of it is not finite, or outside the output's range."""
    flat = values.reshape(len(values), -1)
    low, high = output.range
    with np.errstate(invalid="ignore"):
        sound = (flat >= low) & (flat <= high)
    return np.logical_not(sound.all(axis=1))


def _problem(output: Signal, value: np.ndarray) -> Invalid:
    """Of a row that is not true."""
    flat = value.reshape(-1)
    if not np.isfinite(flat).all():
        wrong = flat[~np.isfinite(flat)][0]
        word = "NaN" if np.isnan(wrong) else "infinity"
        return Invalid(Status.CALC, f"the model gave {word} for {output.name}")
    low, high = output.range
    outside = flat[(flat < low) | (flat > high)][0]
    return Invalid(
        Status.CALC, f"the model gave {outside:.6g} for {output.name}, outside its range [{low:g}, {high:g}]"
    )
