"""Readings of the inputs become rows for the model: each row with its time, its severity, and why it has no answer.

Service, replay and test deployment assemble rows here and nowhere else.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from beampermit.live.latest import Fault, Readings
from beampermit.live.severity import Severity, Status

if TYPE_CHECKING:
    from beampermit.contract.service import Serving
    from beampermit.live.wiring import Wire, Wiring

SEVERITIES = tuple(severity.name for severity in Severity)


@dataclass(frozen=True)
class Problem:
    """Why a row, or an output of it, has no value that is true."""

    status: Status
    message: str


@dataclass(frozen=True)
class Rows:
    """One batch, each array with one place a row; `names` are the devices.

    Inputs of rows with a problem are as they were read, and are not for the model.
    """

    names: tuple[str, ...]
    inputs: dict[str, np.ndarray]
    """Input -> (rows, *shape), float64."""
    severity: np.ndarray
    """Of the worst input of a row that has no problem."""
    time: np.ndarray
    """Of the newest input, s since 1970; NaN before the first."""
    oldest: np.ndarray
    """The same of the oldest."""
    count: np.ndarray
    """Of samples that the row had so far: tells whether something is new."""
    problems: tuple[Problem | None, ...]
    worst: tuple[str, ...]
    """What has the severity, in words; empty for NO_ALARM."""

    @property
    def sound(self) -> np.ndarray:
        """Numbers of the rows without a problem."""
        return np.array([number for number, problem in enumerate(self.problems) if problem is None], int)

    def take(self, numbers: np.ndarray) -> Rows:
        """Some of the rows."""
        return Rows(
            tuple(self.names[number] for number in numbers),
            {name: values[numbers] for name, values in self.inputs.items()},
            self.severity[numbers],
            self.time[numbers],
            self.oldest[numbers],
            self.count[numbers],
            tuple(self.problems[number] for number in numbers),
            tuple(self.worst[number] for number in numbers),
        )


def assemble(wiring: Wiring, readings: Sequence[Readings], serving: Serving, now: float) -> Rows:
    """The rows at the time `now`, s since 1970. Each row is judged alone: one bad device leaves the others."""
    count = len(wiring.rows)
    problems: list[Problem | None] = [None] * count
    worst, words = np.zeros(count, np.int8), [""] * count
    newest, oldest, samples = np.full(count, -np.inf), np.full(count, np.inf), np.zeros(count, np.int64)
    inputs = {}
    for wire, read in zip(wiring.inputs, readings, strict=True):
        of_row = np.array(wire.of_row)
        inputs[wire.signal.name] = read.values[of_row]
        samples += read.count[of_row]
        if not wire.pvs:
            continue
        newest, oldest = np.fmax(newest, read.time[of_row]), np.fmin(oldest, read.time[of_row])
        faults = _faults(wire, read, serving, now)
        for row, pv in enumerate(wire.of_row):
            if pv in faults:
                problems[row] = problems[row] or faults[pv]
            elif read.severity[pv] > worst[row]:
                worst[row] = read.severity[pv]
                words[row] = _severity(wire.pvs[pv], int(worst[row]), read.messages[pv])
    if serving.within is not None:
        for row in np.flatnonzero(newest - oldest > serving.within):
            apart = Problem(Status.TIMEOUT, f"the inputs are more than {serving.within:g} s apart")
            problems[row] = problems[row] or apart
    newest, oldest = (np.where(np.isfinite(times), times, np.nan) for times in (newest, oldest))
    return Rows(wiring.rows, inputs, worst, newest, oldest, samples, tuple(problems), tuple(words))


def _faults(wire: Wire, read: Readings, serving: Serving, now: float) -> dict[int, Problem]:
    """PV number -> what is wrong with it."""
    signal = wire.signal
    flat = read.values.reshape(len(read.values), -1)
    low, high = signal.range
    with np.errstate(invalid="ignore"):
        finite = np.logical_and.reduce(np.isfinite(flat), axis=1)
        outside = ((flat < low) | (flat > high)).any(axis=1)
        stale = np.greater(now - read.time, np.inf if signal.stale_after is None else signal.stale_after)
        future = np.greater(read.time - now, serving.ahead)
    severe = read.severity > SEVERITIES.index(serving.worst)
    bad = (read.fault != Fault.NONE) | severe | future | stale | ~finite | outside
    return {
        pv: _problem(wire, read, serving, pv, bool(future[pv]), bool(stale[pv]), bool(finite[pv]))
        for pv in np.flatnonzero(bad).tolist()
    }


def _problem(  # noqa: PLR0911 - one line for each thing that can be wrong, the first that is true
    wire: Wire, read: Readings, serving: Serving, pv: int, future: bool, stale: bool, finite: bool
) -> Problem:
    name, signal, message = wire.pvs[pv], wire.signal, read.messages[pv]
    match read.fault[pv]:
        case Fault.NEVER:
            return Problem(Status.UDF, f"{name} has sent nothing yet")
        case Fault.DISCONNECTED:
            return Problem(Status.LINK, f"{name} is disconnected")
        case Fault.WRONG_TYPE | Fault.WRONG_SHAPE:
            return Problem(Status.READ, f"{name} has {message}")
    if read.severity[pv] > SEVERITIES.index(serving.worst):
        return Problem(Status.LINK, _severity(name, int(read.severity[pv]), message))
    if future:
        return Problem(Status.TIMEOUT, f"{name} has a time more than {serving.ahead:g} s in the future")
    if stale:
        return Problem(Status.TIMEOUT, f"{name} is older than {signal.stale_after:g} s")
    values = np.asarray(read.values[pv]).reshape(-1)
    if not finite:
        wrong = next(value for value in values.tolist() if not np.isfinite(value))
        return Problem(Status.READ, f"{name} is {'NaN' if np.isnan(wrong) else 'infinite'}")
    low, high = signal.range
    wrong = next(value for value in values.tolist() if not low <= value <= high)
    return Problem(Status.READ, f"{name} is {wrong:.6g}, outside its range [{low:g}, {high:g}]")


def _severity(name: str, severity: int, message: str) -> str:
    return f"{name} has severity {SEVERITIES[severity]}{f' ({message})' if message else ''}"
