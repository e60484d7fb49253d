"""How far predictions are from the truth that arrived later (MON007).

Truth is a table that something else writes when it knows (`truth_tables.py`): a measurement, labels; or a PV
(`truth_pvs.py`). The rows of the log that it is about are judged, however old they are: window after window, up to the
newest truth that is known, since that of last time.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import groupby
from pathlib import Path

import numpy as np

from beampermit.contract import Contract
from beampermit.contract.signals import Signal
from beampermit.errors import counted
from beampermit.live.log.prediction_log import PERIOD
from beampermit.monitoring.limits import Amount, Limits
from beampermit.monitoring.reference import FEWEST, errors, limit_in
from beampermit.monitoring.windows import LogWindow, key_columns, read_window
from beampermit.verdicts.monitoring import Reading

BETWEEN = "\x1f"
"""Between the columns of a device."""
AT_ONCE, MOST_WINDOWS = 6, 1500
"""Windows whose rows are in memory at once, or those of an hour; and so many are judged of truth that has come, the
newest: a day of minutes, or two months of hours."""


@dataclass(frozen=True)
class Compared:
    """A window of the log beside its truth."""

    until: float
    """Time of the newest truth that counts in it, s since 1970."""
    far: Mapping[str, np.ndarray]
    """Output -> the distance of each row from its truth, where both are known."""


@dataclass(frozen=True)
class Truth:
    """Rows of truth in the order of device and time, each pair once: of what comes twice, the last one counts."""

    time: np.ndarray
    """Of what the truth is about, s since 1970."""
    device: np.ndarray
    """The values of the columns of the device table, as one text."""
    values: Mapping[str, np.ndarray]
    """Output -> its truth, shape (rows, values of one); NaN where there is none."""
    windows: tuple[Compared, ...] = ()
    """Of the log, oldest first, the last one up to the newest truth."""
    filled_in: tuple[Compared, ...] = ()
    """Windows that were judged before much of this truth was known, oldest first."""
    note: str = ""
    """What did not count."""
    late: tuple[str, ...] = ()
    """What of `filled_in` does not count, or not yet."""

    @cached_property
    def newest(self) -> float:
        """Time of the newest row up to which the truth of each output is known, s since 1970: a row may be there before
        its truth is. -inf where there is none.
        """
        known = [_known(values) for values in self.values.values()] or [np.ones(len(self.time), bool)]
        return min(float(self.time[of].max()) if of.any() else -math.inf for of in known)

    @property
    def known_times(self) -> np.ndarray:
        """Of rows in which the truth of all outputs is known, s since 1970."""
        return self.time[np.all([_known(values) for values in self.values.values()], axis=0)]

    def of(self, outputs: Collection[str]) -> Truth:
        """That of some of its outputs."""
        return replace(self, values={name: self.values[name] for name in outputs})

    @classmethod
    def none(cls, outputs: Collection[str] = ()) -> Truth:
        """Nothing about these outputs has arrived."""
        return cls(np.zeros(0), np.zeros(0, str), {name: np.zeros((0, 0)) for name in outputs})


def compare(
    truth: Truth,
    log: Path,
    contract: Contract,
    until: float,
    *,
    version: int | None = None,
    judged: float | None = None,
) -> Truth:
    """The truth about times before `until`, s since 1970, with the windows of the log that it is about, since the time
    `judged`; without one, the last.
    """
    rule, newest = contract.monitoring, truth.newest
    if newest == -math.inf:
        return truth
    ends = _ends(newest, newest if judged is None else judged, rule.window)
    return replace(truth, windows=tuple(compare_windows(truth, log, contract, until, ends, version=version)))


def compare_windows(
    truth: Truth, log: Path, contract: Contract, until: float, ends: Sequence[float], *, version: int | None = None
) -> Iterator[Compared]:
    """The windows of the log with these ends, oldest first."""
    rule = contract.monitoring
    span = max(AT_ONCE, int(PERIOD // rule.window)) * rule.window
    for _, of in groupby(ends, key=lambda end: (end - ends[0]) // span):
        part = [*of]
        since = part[0] - rule.window + rule.truth_within
        # Rows are made, and logged, after the time of their inputs.
        last = min(until, part[-1] + rule.truth_within + _oldest_input(contract))
        rows = read_window(log, contract, since, last, version=version, outputs_only=True)
        yield from _compared(truth, rows, contract, part)


def _ends(newest: float, judged: float, window: float) -> list[float]:
    """Ends of windows, oldest first, that leave nothing out between what was judged and the newest truth."""
    number = min(max(math.ceil((newest - judged) / window), 1), MOST_WINDOWS)
    return [newest - window * place for place in reversed(range(number))]


def _compared(truth: Truth, rows: LogWindow, contract: Contract, ends: Sequence[float]) -> Iterator[Compared]:
    """A row is of the window in which its newest input is."""
    own, places = _matched(truth, rows, contract)
    far = dict[str, np.ndarray]()
    for name, values in truth.values.items():
        answers = rows.outputs.get(name)
        if (
            answers is not None and answers.values.shape[1] == values.shape[1]
        ):  # of a large array a few numbers are kept
            far[name] = errors(answers.values[own], values[places])
    known = {name: np.isfinite(values) for name, values in far.items()}
    for end in ends:
        last = end + contract.monitoring.truth_within
        inside = (rows.time[own] > last - contract.monitoring.window) & (rows.time[own] <= last)
        yield Compared(end, {name: values[inside & known[name]] for name, values in far.items()})


def quality(truths: Sequence[Truth], contract: Contract, limits: Limits, until: float) -> Iterator[Reading]:
    """How old the newest truth is, of several that which is oldest; and of each window and output that has truth, how
    far predictions are from it.

    Several readings of an output are of windows one after another, the newest last.
    """
    oldest = min(truths, key=lambda truth: truth.newest)
    notes = [*(one.note for one in truths), *(note for one in truths for note in one.late)]
    age = min(until - oldest.newest, until)
    yield Reading(
        check="MON007",
        subject="truth",
        value=max(age, 0.0),
        limit=contract.monitoring.truth_after,
        unit="s",
        detail=_age(oldest, f" of {', '.join(oldest.values)}" if len(truths) > 1 else "", notes),
    )
    yield from distances((window for truth in truths for window in truth.windows), contract, limits)


def distances(windows: Iterable[Compared], contract: Contract, limits: Limits) -> Iterator[Reading]:
    """How far predictions are from the truth, of each window and output that has one."""
    for window in windows:
        for signal in contract.signals.outputs:
            of, far = limits.outputs.get(signal.name), window.far.get(signal.name, np.zeros(0))
            if of and of.error and len(far) >= FEWEST:
                yield _distance(signal, far, of.error, limits, window.until)


def _age(truth: Truth, of: str, notes: Iterable[str]) -> str:
    """In words. Rows without truth are labels that nobody has given yet, or a measurement that failed."""
    arrived = truth.newest > -math.inf
    said = [f"the newest truth{of} is so old" if arrived else f"no truth{of} has arrived"]
    if waiting := int((truth.time > truth.newest).sum()):
        said.append(f"{counted(waiting, 'newer row' if arrived else 'row')} without one")
    return "; ".join(filter(None, [*said, *dict.fromkeys(notes)]))


def _known(values: np.ndarray) -> np.ndarray:
    """Marks rows with a truth."""
    return np.isfinite(values).all(axis=1) & (values.shape[1] > 0)


def _distance(signal: Signal, far: np.ndarray, of: Amount, limits: Limits, newest: float) -> Reading:
    """Mean distance of rows from their truth."""
    key = f"MON007 {signal.name}"
    return Reading(
        check="MON007",
        subject=signal.name,
        value=float(far.mean()),
        limit=limits.calibrated.get(key) or limit_in(of.limit, of.usual, limits.window, len(far), 0.5),
        usual=limits.usual(key),
        newest=newest,
        unit="" if signal.unit == "1" else signal.unit,
        detail=f"mean distance of {len(far)} rows from their truth, usual is {of.usual:.4g} {signal.unit}",
    )


def _matched(truth: Truth, window: LogWindow, contract: Contract) -> tuple[np.ndarray, np.ndarray]:
    """Numbers of rows of the window, and of the truth of each: that of the row's device with the nearest time."""
    rows, places = [np.zeros(0, int)], [np.zeros(0, int)]
    for number, name in enumerate(_devices(window, contract)):
        own, known = np.flatnonzero(window.device == number), np.flatnonzero(truth.device == name)
        if not len(own) or not len(known):
            continue
        times, at = truth.time[known], window.time[own]
        after = np.clip(np.searchsorted(times, at), 1, max(len(times) - 1, 1))
        before = np.clip(after - 1, 0, len(times) - 1)
        after = np.clip(after, 0, len(times) - 1)
        nearest = np.where(np.abs(times[before] - at) <= np.abs(times[after] - at), before, after)
        near = np.abs(times[nearest] - at) <= contract.monitoring.truth_within
        rows.append(own[near])
        places.append(known[nearest[near]])
    return np.concatenate(rows), np.concatenate(places)


def _devices(window: LogWindow, contract: Contract) -> list[str]:
    """How the truth calls each device of the window."""
    columns = [window.keys.get(name, ("?",) * len(window.devices)) for name in key_columns(contract)]
    return [device_text(column[number] for column in columns) for number in range(len(window.devices))]


def device_text(values: Iterable[str]) -> str:
    """A device by its values of `key_columns`."""
    return BETWEEN.join(["", *values])


def _oldest_input(contract: Contract) -> float:
    """s after which a row with an input of a time may still be made."""
    ages = [signal.stale_after for signal in contract.signals.inputs if signal.stale_after]
    return max(ages, default=60.0)
