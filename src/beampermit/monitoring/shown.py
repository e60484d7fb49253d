"""What outputs showed in a window, as shares of its time: a value stands until the next row of its device."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from beampermit.datasets.tables import quoted
from beampermit.live.log.columns import AT
from beampermit.monitoring.log_rows import DEVICE, LogRows

INVALID = 3


@dataclass(frozen=True)
class Shown:
    """Each row that was logged, in the order of device and time; `device` is a place in the devices of the window."""

    since: float
    until: float
    at: np.ndarray
    device: np.ndarray
    invalid: Mapping[str, np.ndarray]
    """Output -> whether it was INVALID, or nothing was shown yet."""
    fallback: Mapping[str, np.ndarray]
    """Output -> whether its value was held, or a default."""

    def between(self, since: float, until: float) -> Shown:
        """Of a part of the time; what stood before still counts."""
        kept = self.at < until
        invalid, fallback = (
            {name: values[kept] for name, values in of.items()} for of in (self.invalid, self.fallback)
        )
        return replace(
            self,
            since=since,
            until=until,
            at=self.at[kept],
            device=self.device[kept],
            invalid=invalid,
            fallback=fallback,
        )

    def share(self, marked: np.ndarray) -> float | None:
        """The share of the time, over all devices, that rows that are `marked` stood; None where nothing stood."""
        lasted = self._lasted
        total = lasted.sum()
        return float(lasted[marked].sum() / total) if total > 0 else None

    @property
    def _lasted(self) -> np.ndarray:
        """s that each row stood in the window."""
        if not len(self.at):
            return np.zeros(0)
        ends = np.append(self.at[1:], self.until)
        ends[np.append(self.device[1:] != self.device[:-1], True)] = self.until
        return np.clip(ends, self.since, self.until) - np.clip(self.at, self.since, self.until)


def read_shown(rows: LogRows, outputs: Sequence[str]) -> Shown:
    """What these outputs showed."""
    none = Shown(rows.since, rows.until, np.zeros(0), np.zeros(0, int), {}, {})
    if not rows.source:
        return none
    columns = [f"epoch_us({quoted(AT)}) AS at", f"{DEVICE} AS device"]
    for number, name in enumerate(outputs):
        columns.append(f"coalesce({quoted(f'{name}.severity')}, {INVALID}) >= {INVALID} AS invalid{number}")
        columns.append(f"coalesce({quoted(f'{name}.origin')} IN ('held', 'default'), false) AS fallback{number}")
    found = {name: np.ma.filled(values, 0) for name, values in rows.shown(columns).fetchnumpy().items()}
    order = np.lexsort((found["at"], found["device"]))
    return replace(
        none,
        at=found["at"][order] / 1e6,
        device=found["device"][order].astype(int),
        invalid={name: found[f"invalid{number}"].astype(bool)[order] for number, name in enumerate(outputs)},
        fallback={name: found[f"fallback{number}"].astype(bool)[order] for number, name in enumerate(outputs)},
    )
