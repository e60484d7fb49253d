"""The outputs and the status PVs as real EPICS records, over CA and PVA: a sink of the service."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np

from beampermit.contract import Contract
from beampermit.live.epics.access import access_rules
from beampermit.live.epics.base import Base
from beampermit.live.epics.changed_limits import ChangedLimits
from beampermit.live.epics.definitions import (
    LIMIT_FIELDS,
    Definition,
    Name,
    limit_fields,
    of_outputs,
    of_status,
)
from beampermit.live.epics.names import require_record_names
from beampermit.live.epics.peers import Peer, peers
from beampermit.live.epics.puts import Put, Puts
from beampermit.live.epics.slots import slot
from beampermit.live.limits import Limits
from beampermit.live.observation.monitoring import MonitorResults, Shown
from beampermit.live.severity import Severity, Status
from beampermit.live.status_pvs import STATUS_PVS, status_pv
from beampermit.live.update import Health, Update, Value
from beampermit.live.wiring import Wiring

HEALTH = {
    "PERMIT": "permit",
    "STATUS": "status",
    "REASON": "reason",
    "UPTIME": "uptime",
    "INPUT_AGE": "input_age",
    "LATENCY_P99": "latency_p99",
    "DROPPED": "dropped",
    "SHADOW": "shadow",
    "VERSION": "version",
    "HEARTBEAT": "cycles",
}
"""Status PV -> part of the health. Who waits for the last two finds all else new."""
LIMIT_OF: dict[str, Name] = {field: name for name, (field, _) in LIMIT_FIELDS.items()}
"""HIHI -> hihi and so on."""
ALARMS = {
    Severity.NO_ALARM: Status.NO_ALARM,
    Severity.MINOR: Status.HIGH,
    Severity.MAJOR: Status.HIHI,
    Severity.INVALID: Status.UDF,
}
"""The status of what monitoring says."""
_SOUND, _UNDEFINED = (Severity.NO_ALARM, Status.NO_ALARM), (Severity.INVALID, Status.UDF)


class Records:
    """One in a process. From the start on, outputs are undefined; `restart` is called for the PV `RESTART`."""

    def __init__(
        self,
        contract: Contract,
        wiring: Wiring,
        limits: Limits,
        promotion: str,
        restart: Callable[[], object],
        *,
        access: Path | None = None,
        state: Path | None = None,
        monitor: MonitorResults | None = None,
    ):
        """`access` is the site's access security file; without one, nobody writes. `state` is a folder.

        `limits` are those that the loop judges by: what operators changed of this `promotion` is put into them, and
        kept in `state`. `monitor` has what `DRIFT`, `MONITOR` and the checks show.

        Raises `BadInput` for names that no record can have, and for a faulty access security file.
        """
        require_record_names(contract, wiring)
        rules = access_rules(access)
        self._state, self._restart, self._monitor = state, restart, monitor
        self._changed = ChangedLimits(wiring, limits, promotion, state)
        self._contract, self._limits = contract, limits
        self._definitions = _definitions(contract, wiring, limits)
        self._lock = threading.Lock()
        self._shown: dict[str, Value] = {}
        self._texts: dict[str, str] = {}
        """Of the status PVs; the time of one is since when it says so."""
        self._monitored: dict[str, Shown] = {}
        self._base = Base(self._definitions.values(), rules, access)
        self._slots = {name: slot(self._base, one) for name, one in self._definitions.items()}
        self._show_nothing(wiring)
        self._puts = Puts(self._base, self._judge)
        self._base.serve()

    def same_records(self, contract: Contract, wiring: Wiring) -> bool:
        """Whether another version has the same PVs, of the same types and lengths: the process may go on with it."""
        others = _definitions(contract, wiring, Limits(wiring))
        return _fixed(self._definitions) == _fixed(others)

    def begin(self, contract: Contract, wiring: Wiring, limits: Limits, promotion: str) -> None:
        """Show another version: its limits, units and texts. What operators changed ends with its promotion.

        What is shown stays as it is: the old number would be judged by limits that were never meant for it. The first
        update of a version has all its values.
        """
        with self._lock:
            self._changed = ChangedLimits(wiring, limits, promotion, self._state)
            self._contract, self._limits = contract, limits
            before, self._definitions = self._definitions, _definitions(contract, wiring, limits)
            for name, one in self._definitions.items():
                changed = {key: value for key, value in one.fields.items() if before[name].fields[key] != value}
                for key, value in changed.items():
                    self._base.set_field(name, key, value)

    def publish(self, update: Update) -> None:
        """Show what the update carries: first the outputs, then the status, at last version and heartbeat."""
        with self._lock:
            for pv, value in update.values.items():
                self._show(pv, value)
            self._show_monitoring(update.health.version)
            self._show_health(update.health, update.at)

    def clients(self) -> tuple[Peer, ...]:
        """Who is connected, over CA and PVA."""
        return peers(self._base.report)

    def close(self) -> None:
        """Puts are heard no more. The records stay until the process ends: see `leave`."""
        self._puts.close()

    def _show(self, pv: str, value: Value) -> None:
        self._shown[pv] = value
        self._slots[pv].show(value.value, value.severity, value.status, value.message, value.time)

    def _show_nothing(self, wiring: Wiring) -> None:
        """Whoever looks before the first update finds nothing that looks like a number."""
        for status in STATUS_PVS:
            nothing = {"float": math.nan, "int": 0, "text": ""}[status.kind]
            alarm = _SOUND if status.writable else _UNDEFINED
            self._slots[status_pv(self._contract, status.name)].show(nothing, *alarm)
        for plug in wiring.outputs:
            for pv in plug.pvs:
                value = np.full(plug.signal.shape, np.nan) if plug.signal.shape else math.nan
                self._show(pv, Value(value, *_UNDEFINED, "", math.nan, "none"))

    def _show_health(self, health: Health, at: float) -> None:
        for name, part in HEALTH.items():
            value = getattr(health, part)
            if isinstance(value, str):
                if value == self._texts.get(name):
                    continue
                self._texts[name] = value
            alarm = _UNDEFINED if _says_nothing(name, value) else _SOUND
            self._slots[status_pv(self._contract, name)].show(value, *alarm, at=at)

    def _show_monitoring(self, version: int) -> None:
        if self._monitor is None:
            return
        view = self._monitor.view(version, self._contract.monitoring.every)
        for name, shown in {"MONITOR": view.age, "DRIFT": view.drift, **view.checks}.items():
            if shown != self._monitored.get(name):
                self._monitored[name] = shown
                alarm = shown.severity, ALARMS[shown.severity], shown.message
                self._slots[status_pv(self._contract, name)].show(shown.value, *alarm)

    def _judge(self, put: Put) -> str:
        """Take up what a client wrote; or why not, and the field is as before."""
        if put.pv in self._shown:
            with self._lock:
                refused, changed = self._judge_limit(put), self._changed
            if not refused:
                changed.keep()  # outputs do not wait for the disk
            return refused
        if put.pv != status_pv(self._contract, "RESTART"):
            return "only alarm limits may be changed"
        with self._lock, self._unless_written(put.pv) as free:
            if free:
                self._slots[put.pv].show(0)
        if put.new != 1:
            return "only 1 starts the model's process again"
        self._restart()
        return ""

    def _judge_limit(self, put: Put) -> str:
        refused = "only alarm limits may be changed"
        if put.field in LIMIT_OF:
            refused = self._changed.set(put.pv, LIMIT_OF[put.field], math.nan if put.new is None else put.new)
        fields = limit_fields(self._limits.of(put.pv))
        with self._unless_written(put.pv) as free:
            for field, value in fields.items() if free else ():
                self._base.set_field(put.pv, field, value)
        definition = self._definitions[put.pv]
        self._definitions[put.pv] = replace(definition, fields={**definition.fields, **fields})
        self._show(put.pv, self._shown[put.pv])
        return refused

    @contextmanager
    def _unless_written(self, record: str) -> Iterator[bool]:
        """Hold a record; whether no client is writing to it. If one is, its put is judged next, and sets it right."""
        self._base.lock(self._base.address(record))
        try:
            yield not self._puts.begun(record)
        finally:
            self._base.unlock(self._base.address(record))


def _definitions(contract: Contract, wiring: Wiring, limits: Limits) -> dict[str, Definition]:
    return {one.name: one for one in (*of_outputs(wiring, limits), *of_status(contract))}


def _fixed(definitions: dict[str, Definition]) -> dict[str, tuple[object, ...]]:
    return {name: (one.kind, dict(one.fixed)) for name, one in definitions.items()}


def _says_nothing(name: str, value: object) -> bool:
    """A number that is not there yet, or a version that has answered nothing."""
    return (isinstance(value, float) and math.isnan(value)) or (name == "VERSION" and value == 0)
