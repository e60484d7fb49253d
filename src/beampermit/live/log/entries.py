"""What is logged of an update: the rows that the model was asked, and those of which an output changed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from beampermit.live.update import Update, Value
from beampermit.live.wiring import Wiring

BYTES_OF_A_VALUE = 300
"""About what a `Value` takes in memory, beside its array."""


@dataclass(frozen=True)
class Entry:
    """Of one update: the numbers of its rows, and what was shown of each after it."""

    update: Update
    numbers: tuple[int, ...]
    asked: tuple[int, ...]
    """Those of them that the model was asked, in the order of `update.rows`."""
    shown: Mapping[str, Value]
    """The values of all output PVs of these rows."""
    shadow: bool
    lost: int
    """Rows that were lost before it, since the service began."""

    @property
    def nbytes(self) -> int:
        """About what it takes in memory."""
        rows, answers = self.update.rows, self.update.answers or {}
        arrays = [*(rows.inputs.values() if rows else ()), *answers.values()]
        arrays += [value.value for value in self.shown.values() if isinstance(value.value, np.ndarray)]
        return sum(array.nbytes for array in arrays) + BYTES_OF_A_VALUE * len(self.shown)


class Entries:
    """Makes entries of one version's updates, in their order: an update says only what changed."""

    def __init__(self, wiring: Wiring):
        self._row_of = {pv: row for plug in wiring.outputs for row, pv in enumerate(plug.pvs)}
        self._pvs = [[plug.pvs[row] for plug in wiring.outputs] for row in range(len(wiring.rows))]
        self._numbers = {name: number for number, name in enumerate(wiring.rows)}
        self._shown: dict[str, Value] = {}

    def of(self, update: Update, *, shadow: bool, lost: int) -> Entry | None:
        """None where the model was not asked and nothing changed."""
        self._shown.update(update.values)
        asked = tuple(self._numbers[name] for name in update.rows.names) if update.rows else ()
        numbers = tuple(sorted({*asked, *(self._row_of[pv] for pv in update.values)}))
        if not numbers:
            return None
        pvs = [pv for number in numbers for pv in self._pvs[number]]
        shown = {pv: self._shown[pv] for pv in pvs if pv in self._shown}
        return Entry(update, numbers, asked, shown, shadow, lost)
