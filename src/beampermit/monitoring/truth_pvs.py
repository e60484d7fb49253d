"""Truth that PVs get later (`target_pv` of outputs): which PVs, and their samples as truth about devices."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

import numpy as np

from beampermit.contract import Contract
from beampermit.contract.signals import Signal
from beampermit.datasets.devices import PLACEHOLDER, load_devices
from beampermit.monitoring.quality import Truth, device_text
from beampermit.monitoring.windows import key_columns


@dataclass(frozen=True)
class TruthPv:
    """A PV as the contract writes it, without placeholders."""

    pv: str
    output: Signal
    devices: tuple[str, ...]
    """Those that it is the truth about, by `quality.device_text`."""


@dataclass(frozen=True)
class Samples:
    """Of one PV, in the order in which they arrived."""

    time: np.ndarray
    """By the clock of their source, s since 1970."""
    values: np.ndarray
    """(samples, values of one)."""


class TruthSource(Protocol):
    """Where the samples of truth PVs come from."""

    def follow(self, pvs: Sequence[TruthPv], contract: Contract) -> None:
        """These are read from now on, and no others."""
        ...

    def read(self, since: float, until: float) -> Mapping[str, Samples]:
        """PV -> what is known of a span of time, s since 1970. Raises `Outside`, `BadInput`, `Failed`."""
        ...

    def note(self, pvs: Sequence[TruthPv]) -> str:
        """What of them did not count."""
        ...

    def faults(self) -> list[str]:
        """Which PVs have no value now, and why."""
        ...

    def close(self) -> None: ...


def truth_pvs(contract: Contract, root: Path) -> tuple[TruthPv, ...]:
    """The truth PVs of a contract; `root` is the folder with its device table. Raises `BadInput` for a faulty table."""
    told = [output for output in contract.signals.outputs if output.target_pv]
    if not told:
        return ()
    signals = (*contract.signals.inputs, *contract.signals.outputs)
    patterns = [pv for signal in signals for pv in (signal.pv, signal.target_pv) if pv]
    table, keys = load_devices(root, contract.signals.devices, patterns), key_columns(contract)
    found: dict[tuple[str, str], list[str]] = {}
    for values in table.values:
        row = dict(zip(table.columns, values, strict=True))
        for output in told:
            pv = PLACEHOLDER.sub(lambda match, row=row: row[match[1]], output.target_pv or "")
            found.setdefault((pv, output.name), []).append(device_text(row[key] for key in keys))
    named = {output.name: output for output in told}
    return tuple(TruthPv(pv, named[name], tuple(dict.fromkeys(devices))) for (pv, name), devices in found.items())


def truth_of(pvs: Sequence[TruthPv], samples: Mapping[str, Samples], until: float, lag: float, note: str = "") -> Truth:
    """The truth about the one output of these PVs before `until`: of what comes twice, the last one."""
    output = pvs[0].output
    found = [(device, samples[pv.pv]) for pv in pvs if pv.pv in samples for device in pv.devices]
    found = [(device, of) for device, of in found if len(of.time)]
    if not found:
        return replace(Truth.none([output.name]), note=note)
    names, place = np.unique([device for device, _ in found], return_inverse=True)
    device = np.repeat(place, [len(of.time) for _, of in found])
    time = np.concatenate([of.time for _, of in found]) - lag
    values = np.concatenate([of.values for _, of in found])
    order = np.lexsort((np.arange(len(time)), time, device))
    order = order[time[order] < until]
    same = (np.diff(device[order]) == 0) & (np.diff(time[order]) == 0)
    order = order[~np.append(same, False)] if len(order) else order
    return Truth(time[order], names[device[order]], {output.name: values[order]}, note=note)
