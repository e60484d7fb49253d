"""The source `epics` with an input for each PV, and what arrived of it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, NamedTuple

import numpy as np

from beampermit.contract.service import Serving
from beampermit.contract.signals import Signal
from beampermit.datasets.devices import Devices
from beampermit.live.epics.inputs import EpicsInputs
from beampermit.live.latest import Fault, Latest
from beampermit.live.trigger import Trigger
from beampermit.live.wiring import Wire, Wiring
from support.epics import until


class Reading(NamedTuple):
    value: Any
    at: float
    severity: int
    fault: Fault
    message: str
    count: int


class Inputs:
    """The source with an input for each PV, which has a shape; or all have `words`."""

    def __init__(self, pvs: Mapping[str, tuple[int, ...]], **keys: Any):
        keys = keys if "words" in keys else {"unit": "1", "range": (-1e300, 1e300), **keys}
        signals = [
            Signal.model_validate({"name": f"x{number}", "pv": pv, "shape": shape, **keys})
            for number, (pv, shape) in enumerate(pvs.items())
        ]
        wires = tuple(Wire(signal, (str(signal.pv),), (0,)) for signal in signals)
        wiring = Wiring(("",), wires, (), Devices((), ((),)))
        self._pvs = tuple(pvs)
        self.latest, self.source = Latest(wiring), EpicsInputs()
        self.source.start(self.latest, wiring, Trigger(wiring, Serving()))

    def __getitem__(self, pv: str) -> Reading:
        return self.all()[pv]

    def all(self) -> dict[str, Reading]:
        read = self.latest.read()
        return {
            pv: Reading(
                read.arrays[place][0].tolist() if place in read.arrays else float(read.lowest[place]),
                float(read.time[place]),
                int(read.severity[place]),
                Fault(int(read.fault[place])),
                read.messages[place],
                int(read.count[place]),
            )
            for place, pv in enumerate(self._pvs)
        }

    def wait(self, patience: float = 20.0) -> None:
        """Until something came of each PV."""
        until(lambda: bool(np.all(self.latest.read().count)), patience)


@contextmanager
def reading(pvs: Mapping[str, tuple[int, ...]], **keys: Any) -> Iterator[Inputs]:
    inputs = Inputs(pvs, **keys)
    try:
        yield inputs
    finally:
        inputs.source.close()
