"""The columns of the prediction log: inputs and outputs under their names, and what is ours with a dot in its name.

A signal's name has no dot, so none of ours can be that of a signal.
"""

# pyarrow has no types of its own.
# pyright: reportMissingTypeStubs=false

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from beampermit.contract.signals import Signal
from beampermit.live.log.entries import Entry
from beampermit.live.update import Value
from beampermit.live.wiring import Plug, Wire, Wiring

AT, TIME, ROW, VERSION = "served.at", "served.time", "served.row", "served.version"
WORST = "served.worst"
DETAILS = ("shown", "severity", "status", "message", "origin")
"""Of each output, after its name and a dot."""
FARTHEST = 2**33
"""Seconds since 1970: a time beyond is no time."""


class Columns:
    """Of one version. A column of the device table that is called like a signal is left out; `served.row` has it."""

    def __init__(self, wiring: Wiring, version: int):
        signals = {signal.name for signal in (*(wire.signal for wire in wiring.inputs), *_outputs(wiring))}
        self._wiring, self._version = wiring, version
        self._devices = {
            column: [values[place] for values in wiring.devices.values]
            for place, column in enumerate(wiring.devices.columns)
            if column.casefold() not in signals and "." not in column
        }

    @property
    def schema(self) -> Any:
        """The schema of pyarrow; fields of signals have their unit."""
        import pyarrow as pa

        text, number = pa.string(), pa.int64()
        fields = [
            *((name, pa.timestamp("us", tz="UTC")) for name in (AT, TIME)),
            (ROW, text),
            (VERSION, number),
            ("served.permit", text),
            ("served.shadow", pa.bool_()),
            ("served.asked", pa.bool_()),
            (WORST, pa.uint8()),
            ("served.latency", pa.float64()),
            *((f"served.{name}", number) for name in ("cycle", "dropped", "lost")),
            *((column, text) for column in self._devices),
            *(_field(wire.signal) for wire in self._wiring.inputs),
        ]
        for signal in _outputs(self._wiring):
            details = zip(DETAILS, (_type(signal), pa.uint8(), text, text, text), strict=True)
            fields += [_field(signal), *((f"{signal.name}.{detail}", kind) for detail, kind in details)]
        return pa.schema(fields)

    def batch(self, entries: Sequence[Entry]) -> Any:
        """A record batch of pyarrow with a row for each row of each entry."""
        import pyarrow as pa

        numbers = [number for entry in entries for number in entry.numbers]
        asked = np.concatenate([np.isin(entry.numbers, entry.asked) for entry in entries])
        arrays = {
            AT: _times(np.array(_repeat(entries, lambda entry: entry.update.at))),
            TIME: _times(np.array([time for entry in entries for time in _newest(entry, self._wiring)])),
            ROW: [self._wiring.rows[number] for number in numbers],
            VERSION: [self._version] * len(numbers),
            "served.permit": _repeat(entries, lambda entry: entry.update.health.permit),
            "served.shadow": _repeat(entries, lambda entry: entry.shadow),
            "served.asked": asked,
            WORST: _of_asked(entries, asked, lambda rows: rows.severity.astype(np.uint8)),
            "served.latency": _masked(np.array(_repeat(entries, lambda entry: entry.update.latency)), asked),
            "served.cycle": _repeat(entries, lambda entry: entry.update.health.cycles),
            "served.dropped": _repeat(entries, lambda entry: entry.update.health.dropped),
            "served.lost": _repeat(entries, lambda entry: entry.lost),
            **{column: [values[number] for number in numbers] for column, values in self._devices.items()},
            **{wire.signal.name: _inputs(wire, entries, asked) for wire in self._wiring.inputs},
        }
        for plug in self._wiring.outputs:
            arrays |= _output(plug, entries)
        schema = self.schema
        columns = [_array(arrays[field.name], field.type) for field in schema]
        return pa.record_batch(columns, schema=schema)


def _outputs(wiring: Wiring) -> list[Signal]:
    return [plug.signal for plug in wiring.outputs]


def _type(signal: Signal) -> Any:
    """A number, or one list of numbers whatever the shape, as tables of data requests have it."""
    import pyarrow as pa

    return pa.list_(pa.float64()) if signal.shape else pa.float64()


def _field(signal: Signal) -> Any:
    import pyarrow as pa

    return pa.field(signal.name, _type(signal), metadata={"unit": signal.unit})


def _repeat(entries: Sequence[Entry], of: Callable[[Entry], Any]) -> list[Any]:
    """For each row what its entry has."""
    return [value for entry in entries for value in [of(entry)] * len(entry.numbers)]


def _newest(entry: Entry, wiring: Wiring) -> list[float]:
    """The time of each row's newest input; of one that was not asked, as its outputs have it."""
    rows = entry.update.rows
    of_asked = dict(zip(entry.asked, rows.time.tolist(), strict=True)) if rows else {}
    return [of_asked[number] if number in of_asked else _of_outputs(entry, wiring, number) for number in entry.numbers]


def _of_outputs(entry: Entry, wiring: Wiring, number: int) -> float:
    shown = (entry.shown.get(plug.pvs[number]) for plug in wiring.outputs)
    return max((value.newest for value in shown if value and math.isfinite(value.newest)), default=math.nan)


def _times(seconds: np.ndarray) -> Any:
    """Seconds since 1970 in microseconds; null where they are no time."""
    sound = np.abs(seconds) < FARTHEST  # False for NaN
    return _masked(np.round(np.where(sound, seconds, 0.0) * 1e6).astype(np.int64), sound)


def _masked(values: np.ndarray, valid: np.ndarray) -> Any:
    """An array of pyarrow; NaN stays NaN."""
    import pyarrow as pa

    return pa.array(values, mask=~valid)


def _of_asked(entries: Sequence[Entry], asked: np.ndarray, of: Callable[[Any], np.ndarray]) -> Any:
    """One number for each row that was asked, null for the others."""
    parts = [_in_order(entry, of(entry.update.rows)) for entry in entries if entry.update.rows]
    values = np.concatenate(parts) if parts else np.zeros(0)
    full = np.zeros(len(asked), values.dtype)
    full[asked] = values
    return _masked(full, asked)


def _in_order(entry: Entry, values: np.ndarray) -> np.ndarray:
    """Of the rows that were asked, in the order of `entry.numbers`."""
    return values[np.argsort(entry.asked)]


def _inputs(wire: Wire, entries: Sequence[Entry], asked: np.ndarray) -> Any:
    name = wire.signal.name
    if not wire.signal.shape:
        return _of_asked(entries, asked, lambda rows: rows.inputs[name])
    parts = [_in_order(entry, entry.update.rows.inputs[name]) for entry in entries if entry.update.rows]
    return _lists(parts, asked, math.prod(wire.signal.shape))


def _lists(parts: Sequence[np.ndarray], valid: np.ndarray, length: int) -> Any:
    """A list of `length` numbers for each valid row, null for the others; `parts` have the rows one after another."""
    import pyarrow as pa

    values = np.concatenate([part.reshape(-1) for part in parts]) if parts else np.zeros(0)
    ends = np.concatenate([[0], np.cumsum(np.where(valid, length, 0))]).astype(np.int32)
    return pa.ListArray.from_arrays(pa.array(ends), pa.array(values.astype(float)), mask=pa.array(~valid))


def _output(plug: Plug, entries: Sequence[Entry]) -> dict[str, Any]:
    """What the model answered and what was shown, with all that was said of it."""
    name, shown = plug.signal.name, [_shown(entry, plug, number) for entry in entries for number in entry.numbers]
    return {
        name: _answers(plug.signal, entries),
        f"{name}.shown": _numbers(plug.signal, [value and value.value for value in shown]),
        f"{name}.severity": [value and int(value.severity) for value in shown],
        f"{name}.status": [value and value.status.name for value in shown],
        f"{name}.message": [value and value.message for value in shown],
        f"{name}.origin": [value and value.origin for value in shown],
    }


def _shown(entry: Entry, plug: Plug, number: int) -> Value | None:
    return entry.shown.get(plug.pvs[number])


def _answers(output: Signal, entries: Sequence[Entry]) -> Any:
    """The model's own answers; null where it was not asked, raised, or answered in another shape."""
    answered: list[Any] = []
    for entry in entries:
        values, has = (entry.update.answers or {}).get(output.name), entry.update.answered
        if values is None or has is None or values.shape != (len(entry.asked), *output.shape):
            answered += [None] * len(entry.numbers)
            continue
        of_row = {number: value for number, value, one in zip(entry.asked, values, has, strict=True) if one}
        answered += [of_row.get(number) for number in entry.numbers]
    return _numbers(output, answered)


def _numbers(output: Signal, values: Sequence[Any]) -> Any:
    valid = np.array([value is not None for value in values], bool)
    if not output.shape:
        return _masked(np.array([0.0 if value is None else float(value) for value in values]), valid)
    parts = [np.asarray(value, float) for value in values if value is not None]
    return _lists(parts, valid, math.prod(output.shape))


def _array(values: Any, kind: Any) -> Any:
    import pyarrow as pa

    if isinstance(values, pa.Array):
        return values.cast(kind)
    return pa.array(values, kind)
