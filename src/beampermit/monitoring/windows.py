"""A window of the prediction log as arrays: what the version in service was asked, answered and showed.

Memory is proportional to the rows of the window; of most arrays only a few numbers a row are kept. What is odd about
the log is said in `notes`, and the rest is judged.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from beampermit.contract import Contract
from beampermit.contract.causes import limits
from beampermit.contract.signals import Signal
from beampermit.datasets.devices import PLACEHOLDER
from beampermit.datasets.tables import quoted
from beampermit.live.log.columns import AT, TIME, WORST
from beampermit.monitoring.log_arrays import read_scalars, read_slices
from beampermit.monitoring.log_rows import DEVICE, LogRows, open_rows
from beampermit.monitoring.reference import (
    FEWEST,
    MOST_COLUMNS,
    MOST_VALUES,
    OF_ARRAY,
    beyond,
    flagged,
    flat,
    missing,
    numbers,
)
from beampermit.monitoring.shown import Shown, read_shown
from beampermit.verdicts.monitoring import Window

SILENT = 60.0
"""s without a row that are said, where rows otherwise come ten times as often."""
OF_ROW = {"at": AT, "time": TIME, "cycle": "served.cycle", "latency": "served.latency", "worst": WORST}


@dataclass(frozen=True)
class SignalRows:
    """Of one input or output, each with a place for each row that the model was asked."""

    numbers: Mapping[str, np.ndarray]
    """What is compared: the scalar itself, or four numbers of an array; NaN where the row has none."""
    values: np.ndarray
    """(rows, n): the scalar, the values of an array in single precision where they are needed one by one, or else its
    four numbers."""
    missing: np.ndarray
    beyond: np.ndarray
    """Of an input, outside of `expected` or else `range`; of an output, at an alarm limit or beyond."""

    @classmethod
    def of(cls, signal: Signal, values: np.ndarray, *, output: bool, whole: bool) -> SignalRows:
        """`values` has shape (rows, *shape); `whole` keeps those of an array."""
        found = numbers(signal.name, values)
        kept = flat(values)
        if signal.shape:
            kept = kept.astype(np.float32) if whole else np.stack([*found.values()], axis=1)
        odd = flagged(values, *alarms(signal)) if output else beyond(values, *expected(signal))
        return cls(found, kept, missing(values), odd)

    @classmethod
    def joined(cls, signal: Signal, parts: Iterable[SignalRows]) -> SignalRows:
        """Parts one after another."""
        every = [*parts] or [cls.of(signal, np.zeros((0, *signal.shape)), output=False, whole=False)]
        return cls(
            {name: np.concatenate([part.numbers[name] for part in every]) for name in every[0].numbers},
            *(np.concatenate([getattr(part, name) for part in every]) for name in ("values", "missing", "beyond")),
        )

    def take(self, places: np.ndarray | slice) -> SignalRows:
        found = {name: values[places] for name, values in self.numbers.items()}
        return SignalRows(found, self.values[places], self.missing[places], self.beyond[places])


@dataclass(frozen=True)
class LogWindow:
    """The rows of one version in service in a span of time, in the order in which they were written."""

    window: Window
    inputs: Mapping[str, SignalRows]
    outputs: Mapping[str, SignalRows]
    at: np.ndarray
    """When rows were made, s since 1970."""
    time: np.ndarray
    """Of each row's newest input; NaN where it has none."""
    device: np.ndarray
    """A place in `devices`."""
    devices: tuple[str, ...]
    """Of `served.row`."""
    keys: Mapping[str, tuple[str, ...]]
    """Column of the device table -> its text for each of `devices`."""
    cycle: np.ndarray
    latency: np.ndarray
    """s that the model took for the row's cycle."""
    worst: np.ndarray
    """Severity of each row's worst input."""
    shown: Shown
    notes: tuple[str, ...] = ()
    """What is odd about the log."""

    def __len__(self) -> int:
        """Number of rows that the model was asked."""
        return len(self.at)

    def between(self, since: float, until: float) -> LogWindow:
        """A part of this window."""
        part = self.take((self.at >= since) & (self.at < until))
        window = part.window.model_copy(update={"since": since, "until": until})
        return replace(part, window=window, shown=self.shown.between(since, until))

    def take(self, kept: np.ndarray) -> LogWindow:
        """The rows that are marked."""
        places = np.flatnonzero(kept)
        of = _without_copies(places)
        return replace(
            self,
            window=self.window.model_copy(update={"rows": len(places)}),
            inputs={name: rows.take(of) for name, rows in self.inputs.items()},
            outputs={name: rows.take(of) for name, rows in self.outputs.items()},
            device=self.device[of],
            **{name: getattr(self, name)[of] for name in OF_ROW},
        )


def read_window(
    folder: Path,
    contract: Contract,
    since: float,
    until: float,
    *,
    version: int | None = None,
    outputs_only: bool = False,
) -> LogWindow:
    """The rows from `since` up to `until`, s since 1970, of a version, or of the one that was in service last.

    With `outputs_only` of outputs that have a truth alone, and without what was shown. `folder` is the prediction log,
    of several models or of one. Raises `BadInput` where there is none.
    """
    own = folder / contract.model.name
    with open_rows(own if own.is_dir() else folder, since, until, version) as rows:
        return rows.without_damaged(lambda sound: _read(sound, contract, outputs_only=outputs_only))


def expected(signal: Signal) -> tuple[float, float]:
    """Outside, an input is counted."""
    return signal.expected or signal.range


def compared_whole(inputs: Sequence[Signal]) -> set[str]:
    """The arrays whose values enter the comparison of all inputs one by one, as `reference.columns` chooses them."""
    found, left = set[str](), MOST_COLUMNS
    for signal in inputs:
        size = math.prod(signal.shape)
        whole = not signal.shape or size <= min(MOST_VALUES, left)
        columns = size if whole else len(OF_ARRAY)
        if columns <= left:
            left -= columns
            found |= {signal.name} if whole else set()
    return found


def key_columns(contract: Contract) -> tuple[str, ...]:
    """The columns of the device table that tell rows apart."""
    signals = (*contract.signals.inputs, *contract.signals.outputs)
    return tuple(sorted({name for signal in signals if signal.pv for name in PLACEHOLDER.findall(signal.pv)}))


def alarms(output: Signal) -> tuple[float | None, float | None]:
    """At or beyond, an output is in alarm."""
    of = limits(output)
    return of.get("low", of.get("lolo")), of.get("high", of.get("hihi"))


def _read(rows: LogRows, contract: Contract, *, outputs_only: bool) -> LogWindow:
    inputs, outputs = contract.signals.inputs, contract.signals.outputs
    if outputs_only:
        inputs, outputs = (), tuple(output for output in outputs if output.target)
    names = [signal.name for signal in (*inputs, *outputs)]
    lost = [name for name in names if name not in rows.columns] if rows.source else []
    if lost:
        rows.notes.append(
            f"version {rows.version} was served without {', '.join(lost)}, so the contract is not its own"
        )
    of_rows = _of_rows(rows)
    # Predictions are compared with the truth value by value, and with the reference by their numbers.
    small = {output.name for output in outputs if math.prod(output.shape) <= MOST_VALUES}
    whole = small if outputs_only else compared_whole(inputs)
    inputs, outputs = ([signal for signal in of if signal.name not in lost] for of in (inputs, outputs))
    scalars = read_scalars(rows, [signal for signal in (*inputs, *outputs) if not signal.shape]) if rows.source else {}
    found = LogWindow(
        window=Window(since=rows.since, until=rows.until, rows=len(of_rows["at"]), version=rows.version),
        inputs=_signal_rows(rows, inputs, scalars, whole, output=False),
        outputs=_signal_rows(rows, outputs, scalars, whole, output=True),
        devices=rows.devices,
        keys=_keys(rows, contract),
        shown=read_shown(rows, () if outputs_only else [signal.name for signal in outputs]),
        **dict[str, Any](of_rows),
    )
    twice = _twice(found)
    notes = [*rows.notes, *_oddities(rows, found, int(twice.sum()))]
    return replace(found.take(~twice) if twice.any() else found, notes=tuple(notes))


def _signal_rows(
    rows: LogRows, signals: Sequence[Signal], scalars: dict[str, np.ndarray], whole: set[str], *, output: bool
) -> dict[str, SignalRows]:
    if not rows.source:
        return {}
    found = dict[str, SignalRows]()
    for signal in signals:
        options = {"output": output, "whole": signal.name in whole}
        if signal.name in scalars:
            found[signal.name] = SignalRows.of(signal, scalars.pop(signal.name), **options)
        else:
            parts = (SignalRows.of(signal, part, **options) for part in read_slices(rows, signal))
            found[signal.name] = SignalRows.joined(signal, parts)
    return found


def _of_rows(rows: LogRows) -> dict[str, np.ndarray]:
    if not rows.source:
        return {name: np.zeros(0) for name in (*OF_ROW, "device")} | {"device": np.zeros(0, int)}
    times = {name: f"epoch_us({quoted(column)})" for name, column in OF_ROW.items() if column in (AT, TIME)}
    columns = [f"CAST({times.get(name, quoted(column))} AS DOUBLE) AS {name}" for name, column in OF_ROW.items()]
    found = rows.asked([*columns, f"{DEVICE} AS device"]).fetchnumpy()
    arrays = {name: np.ma.filled(found[name], np.nan) for name in OF_ROW}
    return arrays | {
        "at": arrays["at"] / 1e6,
        "time": arrays["time"] / 1e6,
        "device": np.ma.filled(found["device"], 0).astype(int),
    }


def _keys(rows: LogRows, contract: Contract) -> dict[str, tuple[str, ...]]:
    present = [name for name in key_columns(contract) if name in rows.columns]
    if not rows.source or not present:
        return {}
    columns = [f"CAST({quoted(name)} AS VARCHAR)" for name in present]
    found = {number: texts for number, *texts in rows.shown([f"DISTINCT {DEVICE}", *columns]).fetchall()}
    unknown = [""] * len(present)
    devices = [found.get(number, unknown) for number in range(len(rows.devices))]
    return {name: tuple(str(texts[place]) for texts in devices) for place, name in enumerate(present)}


def _without_copies(places: np.ndarray) -> np.ndarray | slice:
    """Of rows one after another, as those of most windows are, a view is enough."""
    whole = len(places) and places[-1] - places[0] == len(places) - 1
    return slice(int(places[0]), int(places[-1]) + 1) if whole else places


def _twice(found: LogWindow) -> np.ndarray:
    """Marks rows that are there a second time: a file that was copied, or written again."""
    order = np.lexsort((found.cycle, found.at, found.device))
    columns = [getattr(found, name)[order] for name in ("device", "at", "cycle")]
    same = np.all([column[1:] == column[:-1] for column in columns], axis=0) if len(order) else np.zeros(0, bool)
    marked = np.zeros(len(order), bool)
    marked[order[1:][same]] = True
    return marked


def _oddities(rows: LogRows, found: LogWindow, twice: int) -> Sequence[str]:
    notes = []
    if rows.others:
        notes.append(
            f"version {', '.join(map(str, rows.others))} was in service too; only version {rows.version} is judged"
        )
    if twice:
        notes.append(f"{twice} rows are there twice and count once")
    back = found.at[:-1] - found.at[1:]
    if len(back) and back.max() > 1:
        notes.append(f"the clock went back by {back.max():.0f} s")
    if len(found) and (gap := longest_gap(found)):
        notes.append(f"no row for {gap:.0f} s")
    return notes


def longest_gap(found: LogWindow) -> float | None:
    """The longest time without a row, after the first one, where rows otherwise come far more often; s."""
    apart = np.diff(np.append(np.unique(found.at), found.window.until))
    if len(apart) < FEWEST:
        return None
    usual = float(np.median(apart))
    longest = float(apart.max())
    return longest if longest > max(SILENT, 10 * usual) else None
