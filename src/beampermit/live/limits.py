"""Alarm limits of the outputs in service, which operators may change until the next promotion."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from beampermit.contract import causes
from beampermit.live.severity import Severity, Status
from beampermit.live.wiring import Wiring

ORDER = (
    ("lolo", Status.LOLO, Severity.MAJOR),
    ("hihi", Status.HIHI, Severity.MAJOR),
    ("low", Status.LOW, Severity.MINOR),
    ("high", Status.HIGH, Severity.MINOR),
)


class Limits:
    """Of each output PV: `lolo`, `low`, `high` and `hihi` that are set, in the output's unit."""

    def __init__(self, wiring: Wiring):
        self._of = {pv: causes.limits(plug.signal) for plug in wiring.outputs for pv in plug.pvs}

    def of(self, pv: str) -> dict[str, float]:
        return dict(self._of[pv])

    def set(self, pv: str, name: str, value: float) -> None:
        """One limit of one PV; NaN removes it."""
        others = {key: limit for key, limit in self._of[pv].items() if key != name}
        self._of[pv] = others if np.isnan(value) else {**others, name: value}


def alarm(limits: Mapping[str, float], value: float | np.ndarray) -> tuple[Severity, Status]:
    """As a record of EPICS without hysteresis has it; of an array, that of its worst value."""
    low, high = float(np.min(value)), float(np.max(value))
    for name, status, severity in ORDER:
        if name in limits and (low <= limits[name] if name.startswith("lo") else high >= limits[name]):
            return severity, status
    return Severity.NO_ALARM, Status.NO_ALARM
