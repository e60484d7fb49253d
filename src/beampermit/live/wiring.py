"""Which PVs feed which input of which row, and which PV each output of each row goes to."""

from __future__ import annotations

import itertools
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from beampermit.contract import FILE_NAME, Contract
from beampermit.contract.signals import PROTOCOL, Signal
from beampermit.datasets.devices import PLACEHOLDER, Devices, load_devices
from beampermit.errors import BadInput, Failed


@dataclass(frozen=True)
class Wire:
    """An input and its PVs; `of_row` gives for each row the number of its PV. A constant has no PV."""

    signal: Signal
    pvs: tuple[str, ...]
    of_row: tuple[int, ...]


@dataclass(frozen=True)
class Plug:
    """An output and the PV of each row."""

    signal: Signal
    pvs: tuple[str, ...]


@dataclass(frozen=True)
class Layout:
    """The PVs of all inputs in one line, input after input, with what each must keep to."""

    first: tuple[int, ...]
    """The place of the first PV of each input."""
    pvs: tuple[str, ...]
    signals: tuple[Signal, ...]
    """Of each PV."""
    low: np.ndarray
    high: np.ndarray
    stale_after: np.ndarray
    """s; infinite where an input may be of any age."""
    of_rows: np.ndarray
    """(inputs with PVs, rows): the place of the PV of each input of each row."""

    @classmethod
    def of(cls, inputs: tuple[Wire, ...]) -> Layout:
        first = tuple(itertools.accumulate((len(wire.pvs) for wire in inputs), initial=0))
        signals = tuple(wire.signal for wire in inputs for _ in wire.pvs)
        return cls(
            first=first[:-1],
            pvs=tuple(pv for wire in inputs for pv in wire.pvs),
            signals=signals,
            low=np.array([signal.range[0] for signal in signals]),
            high=np.array([signal.range[1] for signal in signals]),
            stale_after=np.array([signal.stale_after or np.inf for signal in signals]),
            of_rows=np.array(
                [np.array(wire.of_row) + place for wire, place in zip(inputs, first, strict=False) if wire.pvs], int
            ),
        )


@dataclass(frozen=True)
class Wiring:
    """`rows` are the names of the rows of a batch: the devices of the table; one empty name where there is none."""

    rows: tuple[str, ...]
    inputs: tuple[Wire, ...]
    outputs: tuple[Plug, ...]
    devices: Devices
    """The columns of the table that are in PV names, and their values, a row of the batch each."""

    @cached_property
    def layout(self) -> Layout:
        return Layout.of(self.inputs)

    @property
    def output_pvs(self) -> tuple[str, ...]:
        return tuple(pv for plug in self.outputs for pv in plug.pvs)


def wire(contract: Contract, root: Path) -> Wiring:
    """The wiring of a contract; `root` is the folder with its device table.

    Raises `BadInput` for a faulty table or two outputs on one PV, `Failed` for an input that nobody can read.
    """
    signals = contract.signals
    for signal in signals.inputs:
        if signal.source == "derived":
            raise Failed(
                f"input {signal.name} is derived from other signals, which the service does not do",
                file=FILE_NAME,
                hint="take the signals themselves as inputs, and derive in the model's features",
            )
    for signal in signals.outputs:
        if not signal.pv:
            raise Failed(f"output {signal.name} has no pv to be served on", file=FILE_NAME)
    if not any(signal.pv for signal in signals.inputs):
        raise Failed("no input has a pv to be read from", file=FILE_NAME)
    patterns = [signal.pv for signal in (*signals.inputs, *signals.outputs) if signal.pv]
    devices = load_devices(root, signals.devices, patterns)
    table = [dict(zip(devices.columns, values, strict=True)) for values in devices.values]
    inputs = tuple(_wire(signal, table) for signal in signals.inputs)
    outputs = tuple(Plug(signal, tuple(_expand(signal, row) for row in table)) for signal in signals.outputs)
    _require_own_pv(outputs, inputs)
    _require_one_meaning(inputs)
    return Wiring(_names(devices), inputs, outputs, devices)


def _names(devices: Devices) -> tuple[str, ...]:
    """Of the devices, each its own: `A:B` of one column and `C`, beside `A` and `B:C`, are written with backslashes."""
    plain = tuple(":".join(values) for values in devices.values)
    if len(set(plain)) == len(plain):
        return plain
    return tuple(":".join(re.sub(r"[\\:]", r"\\\g<0>", value) for value in values) for values in devices.values)


def _wire(signal: Signal, table: list[dict[str, str]]) -> Wire:
    if signal.source == "constant":
        return Wire(signal, (), (0,) * len(table))
    names = [_expand(signal, row) for row in table]
    numbers = {name: number for number, name in enumerate(dict.fromkeys(names))}
    return Wire(signal, tuple(numbers), tuple(numbers[name] for name in names))


def _expand(signal: Signal, row: dict[str, str]) -> str:
    return PLACEHOLDER.sub(lambda match: row[match[1]], signal.pv or "")


def _require_own_pv(outputs: tuple[Plug, ...], inputs: tuple[Wire, ...]) -> None:
    counts = Counter(_pvs(outputs))
    if twice := next((pv for pv, count in counts.items() if count > 1), None):
        raise BadInput(f"{twice} would be served for two outputs or devices", file=FILE_NAME)
    if both := next((pv for wire in inputs for pv in wire.pvs if pv in counts), None):
        raise BadInput(f"{both} is an input and an output", file=FILE_NAME)


def _require_one_meaning(inputs: tuple[Wire, ...]) -> None:
    """An enum is read by its labels or by its index."""
    read: dict[str, Signal] = {}
    for one in inputs:
        for pv in one.pvs:
            other = read.setdefault(PROTOCOL.sub("", pv, count=1), one.signal)
            if bool(other.words) != bool(one.signal.words):
                said, counted = (other, one.signal) if other.words else (one.signal, other)
                raise BadInput(f"{pv} is read as words by {said.name}, as a number by {counted.name}", file=FILE_NAME)


def _pvs(outputs: tuple[Plug, ...]) -> Iterator[str]:
    for plug in outputs:
        yield from plug.pvs
