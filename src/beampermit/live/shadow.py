"""A version that runs beside the one in service: how far its values are away, and when it may take over."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from beampermit.live.severity import Severity, Status
from beampermit.live.update import Update, Value

LONGEST = 300.0
"""Seconds after which one answer is enough: where rows are rare, the cycles of the contract would take days."""


@dataclass
class Shadow:
    """`cycles` are those that the model answered and of which nothing but the inputs was wrong."""

    version: int
    needed: int | None
    """Cycles until it may take over; None for a challenger, which never does."""
    cycles: int = 0
    began: float = field(default_factory=time.monotonic)
    furthest: tuple[str, float] = ("", 0.0)
    """The PV whose value was furthest from the one in service, and how far."""
    differing: int = 0
    """Values with another severity than in service."""
    losing: int = 0
    """Values of the model in service for which this one has none."""
    failure: str = ""
    """Why its last cycle does not count."""

    def count(self, update: Update, shown: Mapping[str, Value]) -> None:
        """One cycle of this version, after which it would show `shown`. What cannot be true is no answer."""
        if update.rows is None:
            return
        untrue = next((value.message for value in shown.values() if value.status == Status.CALC), "")
        if update.answers is None or untrue:
            self.cycles, self.failure = 0, untrue or update.health.reason
            return
        self.cycles, self.failure = self.cycles + 1, ""

    def compare(self, values: Mapping[str, Value], others: Mapping[str, Value]) -> None:
        """New values of one of both versions with those that the other one shows: of the same PV and inputs."""
        for pv, value in values.items():
            other = others.get(pv)
            if other and value.newest == other.newest and value.origin == other.origin == "model":
                self._compare(pv, value, other)

    def look(self, shown: Mapping[str, Value], in_service: Mapping[str, Value]) -> None:
        """Count the PVs that would lose their value."""
        self.losing = sum(
            value.origin == "model" and pv in shown and shown[pv].origin != "model" for pv, value in in_service.items()
        )

    def ready(self, in_service: Mapping[str, Value]) -> bool:
        """Whether it may take over: it answered often enough, or it answered and there is nothing to lose.

        Not while a PV would lose its value: of 120 devices, one that has an input which only this version reads makes
        its cycles count.
        """
        if self.needed is None or self.losing:
            return False
        if self.cycles >= max(self.needed, 1):
            return True
        waited = time.monotonic() - self.began > LONGEST
        nothing_shown = all(value.severity == Severity.INVALID for value in in_service.values())
        # After a restart both begin: what has only not answered yet has shown nothing of itself.
        begins = all(value.status == Status.UDF for value in in_service.values())
        return self.cycles > 0 and (waited or (nothing_shown and not begins))

    def describe(self) -> str:
        """For the status PV: `version 4: 13 of 20 cycles, furthest B1:FAULT by 0.02`."""
        of = "" if self.needed is None else f" of {self.needed}"
        words = f"version {self.version}: {self.cycles}{of} cycles"
        if self.furthest[1]:
            words += f", furthest {self.furthest[0]} by {self.furthest[1]:.3g}"
        if self.differing:
            words += f", {self.differing} of another severity"
        if self.losing:
            words += f", {self.losing} without a value"
        return f"{words}; {self.failure}" if self.failure else words

    def _compare(self, pv: str, value: Value, other: Value) -> None:
        ours, theirs = np.asarray(value.value), np.asarray(other.value)
        self.differing += value.severity != other.severity
        if ours.shape != theirs.shape:
            return
        distance = float(np.abs(ours - theirs).max())
        if distance > self.furthest[1]:
            self.furthest = (pv, distance)
