"""Readings of the inputs become rows for the model: each row with its time, its severity, and why it has no answer.

Service, replay and test deployment assemble rows here and nowhere else.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import nan
from typing import TYPE_CHECKING

import numpy as np

from beampermit.live.latest import Fault, Readings
from beampermit.live.severity import Severity, Status

if TYPE_CHECKING:
    from beampermit.contract.service import Serving
    from beampermit.live.wiring import Layout, Wiring


@dataclass(frozen=True)
class Invalid:
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
    """The same of the oldest, or when it arrived where its clock is ahead."""
    expires: np.ndarray
    """When the first input of a row will be older than its `stale_after`, s since 1970."""
    count: np.ndarray
    """Of samples that the row had so far: tells whether something is new."""
    problems: tuple[Invalid | None, ...]
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
            self.expires[numbers],
            self.count[numbers],
            tuple(self.problems[number] for number in numbers),
            tuple(self.worst[number] for number in numbers),
        )


def assemble(
    wiring: Wiring,
    readings: Readings,
    serving: Serving,
    now: float,
    elapsed: float | None = None,
    shot: float = nan,
) -> Rows:
    """The rows at the time `now`, s since 1970. Each row is judged alone: one bad device leaves the others.

    `elapsed` is the same by the clock of the arrivals; without one, they are by that of `now`. `shot` is the time of
    the snapshot that rows are made of.
    """
    layout = wiring.layout
    places = layout.of_rows  # (inputs with PVs, rows)
    age = _age(readings, now, now if elapsed is None else elapsed)
    bad = _bad(layout, readings, serving, now, age)
    bad_in_row = bad[places]
    problems: list[Invalid | None] = [None] * len(wiring.rows)
    for row in np.flatnonzero(bad_in_row.any(axis=0)).tolist():
        problems[row] = _problem(layout, readings, serving, int(places[bad_in_row[:, row].argmax(), row]), now, age)
    times = readings.time[places]
    for row, problem in _of_other_moments(layout, times, places, serving, shot).items():
        problems[row] = problems[row] or problem
    severity = readings.severity[places]
    worst, worst_input = severity.max(axis=0), severity.argmax(axis=0)
    words = [""] * len(wiring.rows)
    for row in np.flatnonzero(worst).tolist():
        place = int(places[worst_input[row], row])
        words[row] = _severity(layout.pvs[place], int(worst[row]), readings.messages[place])
    return Rows(
        wiring.rows,
        _inputs(wiring, readings),
        worst,
        np.fmax.reduce(times, axis=0),
        np.fmin.reduce((now - age)[places], axis=0),
        np.fmin.reduce((now - age + layout.stale_after)[places], axis=0),
        readings.count[places].sum(axis=0),
        tuple(problems),
        tuple(words),
    )


def _inputs(wiring: Wiring, readings: Readings) -> dict[str, np.ndarray]:
    numbers = readings.lowest[wiring.layout.of_rows]
    inputs, row_of_numbers = {}, 0
    for number, wire in enumerate(wiring.inputs):
        signal = wire.signal
        if not wire.pvs:
            inputs[signal.name] = np.full((len(wiring.rows), *signal.shape), signal.value)
            continue
        scalar = numbers[row_of_numbers]
        inputs[signal.name] = readings.arrays[number][np.array(wire.of_row)] if signal.shape else scalar
        row_of_numbers += 1
    return inputs


def _of_other_moments(
    layout: Layout, times: np.ndarray, places: np.ndarray, serving: Serving, shot: float
) -> dict[int, Invalid]:
    """The rows whose inputs are further apart than the contract allows, or so much older than the snapshot."""
    if serving.within is None:
        return {}
    newest, oldest = np.fmax.reduce(times, axis=0), np.fmin.reduce(times, axis=0)
    apart = Invalid(Status.TIMEOUT, f"the inputs are more than {serving.within:g} s apart")
    found = dict.fromkeys(np.flatnonzero(newest - oldest > serving.within).tolist(), apart)
    for row in np.flatnonzero(shot - oldest > serving.within).tolist():
        pv = layout.pvs[places[np.nanargmin(times[:, row]), row]]
        found[row] = Invalid(Status.TIMEOUT, f"{pv} is more than {serving.within:g} s older than {serving.snapshot}")
    return found


def _age(readings: Readings, now: float, elapsed: float) -> np.ndarray:
    """Of each PV, in s: by its source's time, or since that arrived where the source's clock is ahead. NaN without a
    time.
    """
    return np.maximum(now - readings.time, elapsed - readings.arrived)


def _bad(layout: Layout, readings: Readings, serving: Serving, now: float, age: np.ndarray) -> np.ndarray:
    """Of each PV, whether something is wrong with it."""
    with np.errstate(invalid="ignore"):
        return (
            (readings.fault != Fault.NONE)
            | (readings.severity > Severity[serving.worst])
            | np.isnan(readings.time)
            | (readings.time - now > serving.ahead)
            | (age > layout.stale_after)
            # NaN is neither.
            | ~((readings.lowest >= layout.low) & (readings.highest <= layout.high))
        )


def _problem(  # noqa: PLR0911 - one line for each thing that can be wrong, the first that is true
    layout: Layout, readings: Readings, serving: Serving, place: int, now: float, age: np.ndarray
) -> Invalid:
    name, signal, message = layout.pvs[place], layout.signals[place], readings.messages[place]
    match readings.fault[place]:
        case Fault.NEVER:
            return Invalid(Status.UDF, f"{name} has sent nothing yet")
        case Fault.DISCONNECTED:
            return Invalid(Status.LINK, f"{name} is disconnected")
        case Fault.WRONG_TYPE | Fault.WRONG_SHAPE | Fault.UNKNOWN_WORD:
            return Invalid(Status.READ, f"{name} has {message}")
    if readings.severity[place] > Severity[serving.worst]:
        return Invalid(Status.LINK, _severity(name, int(readings.severity[place]), message))
    if np.isnan(readings.time[place]):
        return Invalid(Status.TIMEOUT, f"{name} has no time")
    if readings.time[place] - now > serving.ahead:
        return Invalid(Status.TIMEOUT, f"{name} has a time more than {serving.ahead:g} s in the future")
    if age[place] > layout.stale_after[place]:
        return Invalid(Status.TIMEOUT, f"{name} is older than {signal.stale_after:g} s")
    low, high = signal.range
    lowest, highest = float(readings.lowest[place]), float(readings.highest[place])
    wrong = lowest if not lowest >= low else highest
    if not np.isfinite(wrong):
        return Invalid(Status.READ, f"{name} is {'NaN' if np.isnan(wrong) else 'infinite'}")
    return Invalid(Status.READ, f"{name} is {wrong:.6g}, outside its range [{low:g}, {high:g}]")


def _severity(name: str, severity: int, message: str) -> str:
    return f"{name} has severity {Severity(severity).name}{f' ({message})' if message else ''}"
