"""Alarm limits that an operator changed: kept over a restart, and dropped when another version is promoted."""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping
from pathlib import Path

from beampermit.contract.causes import SEVERITIES
from beampermit.errors import BadInput
from beampermit.files import write_text
from beampermit.live.epics.definitions import Name
from beampermit.live.limits import Limits
from beampermit.live.wiring import Wiring
from beampermit.reading import read_json
from beampermit.record import Record

LOG = logging.getLogger("beampermit.limits")
FILE = "limits.json"


class ChangedLimitsFile(Record):
    """The limits that differ from the contract's, by PV; `promotion` tells of which promotion they are."""

    promotion: str
    limits: dict[str, dict[Name, float]]


class ChangedLimits:
    """Of one promotion. `limits` are those that the loop judges by."""

    def __init__(self, wiring: Wiring, limits: Limits, promotion: str, folder: Path | None):
        """Take up what `folder` keeps of the same promotion."""
        self._ranges = {pv: plug.signal.range for plug in wiring.outputs for pv in plug.pvs}
        self._limits, self._promotion = limits, promotion
        self._file = folder / FILE if folder else None
        self._changed: dict[str, dict[Name, float]] = {}
        for pv, changed in self._kept().items():
            if wrong := self._fault(pv, changed):
                LOG.warning("changed limits of %s are dropped: %s", pv, wrong)
            else:
                self._changed[pv] = dict(changed)
                for name, value in changed.items():
                    limits.set(pv, name, value)

    def set(self, pv: str, name: Name, value: float) -> str:
        """Change a limit, from the loop's next cycle on; or why it stays as it is. `keep` is still to be called."""
        if wrong := self._fault(pv, {name: value}):
            return wrong
        self._changed.setdefault(pv, {})[name] = value
        self._limits.set(pv, name, value)
        return ""

    def _fault(self, pv: str, changed: Mapping[Name, float]) -> str:
        if pv not in self._ranges:
            return "the model has no such output"
        low, high = self._ranges[pv]
        for value in changed.values():
            if not math.isfinite(value):
                return "a limit is a number"
            if not low <= value <= high:
                return f"{value:g} is outside the output's range [{low:g}, {high:g}], where it is never shown"
        limits = {**self._limits.of(pv), **changed}
        rising = [limits[name] for name in SEVERITIES if name in limits]
        return "" if rising == sorted(rising) else "alarm limits must rise: LOLO, LOW, HIGH, HIHI"

    def keep(self) -> None:
        """For the next start; it waits for the disk."""
        if not self._file:
            return
        content = ChangedLimitsFile(promotion=self._promotion, limits=self._changed)
        try:
            write_text(self._file, content.model_dump_json(indent=2) + "\n")
        except (OSError, BadInput) as error:
            LOG.error("changed limits will not outlive a restart: %s", error)  # noqa: TRY400 - not ours

    def _kept(self) -> Mapping[str, Mapping[Name, float]]:
        if not self._file or not self._file.exists():
            return {}
        try:
            kept = ChangedLimitsFile.model_validate(read_json(self._file))
        except (BadInput, ValueError) as error:
            LOG.warning("%s cannot be read, so the contract's limits hold: %s", self._file, error)
            return {}
        if kept.promotion != self._promotion:
            LOG.info("alarm limits that were changed before this promotion are dropped")
            self._file.unlink(missing_ok=True)
            return {}
        return kept.limits
