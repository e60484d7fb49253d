"""Signals of the prediction log as arrays of numpy. One that is an array is read in slices: a window of waveforms is
larger than what is kept of it.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from beampermit.contract.signals import Signal
from beampermit.datasets.tables import quoted
from beampermit.monitoring.log_doubles import AT_ONCE, read_doubles
from beampermit.monitoring.log_rows import LogRows

VALUES_OF_A_SLICE = 2**20


def read_scalars(rows: LogRows, signals: Sequence[Signal]) -> dict[str, np.ndarray]:
    """Shape (rows,) each; NaN where a row has no number."""
    doubles = read_doubles(rows, [signal.name for signal in signals])
    if doubles is not None:
        return doubles
    read = dict[str, np.ndarray]()
    for first in range(0, len(signals), AT_ONCE):
        part = signals[first : first + AT_ONCE]
        columns = [f"TRY_CAST({quoted(signal.name)} AS DOUBLE) AS c{number}" for number, signal in enumerate(part)]
        found = rows.asked(columns).fetchnumpy()
        read |= {signal.name: np.ma.filled(found[f"c{number}"], np.nan) for number, signal in enumerate(part)}
    return read


def read_slices(rows: LogRows, signal: Signal) -> Iterator[np.ndarray]:
    """Shape (some rows, *shape) each; NaN in rows that have none, or one of another shape."""
    size = math.prod(signal.shape)
    found = rows.asked([f"TRY_CAST({quoted(signal.name)} AS DOUBLE[]) AS c"])
    read = getattr(found, "to_arrow_reader", None) or found.fetch_arrow_reader  # the name before duckdb 1.4
    for batch in read(max(1, VALUES_OF_A_SLICE // size)):
        yield stacked(batch.column(0), size).reshape(-1, *signal.shape)


def stacked(column: Any, size: int) -> np.ndarray:
    """A column of lists of pyarrow as (rows, size)."""
    starts, lengths = np.asarray(column.offsets)[:-1], np.diff(np.asarray(column.offsets))
    sound = (lengths == size) & np.asarray(column.is_valid())
    values = column.values.to_numpy(zero_copy_only=False)
    if sound.all():
        return (
            values[starts[0] : starts[0] + len(starts) * size].reshape(-1, size) if len(starts) else np.zeros((0, size))
        )
    stacked = np.full((len(starts), size), np.nan)
    stacked[sound] = values[starts[sound][:, None] + np.arange(size)]
    return stacked
