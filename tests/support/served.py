"""A contract of a device table with two outputs, served without a network: samples by hand, and a clock that stands."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from beampermit.contract import Contract, parse_contract
from beampermit.live.latest import Fault
from beampermit.live.loop import Loop, Standing
from beampermit.live.severity import Severity, Status
from beampermit.live.sharing import ModelError, Raised
from beampermit.live.update import Update, Value
from beampermit.live.wiring import wire

NOW = 1_800_000_000.0
"""s since 1970."""
DEVICES = ("B1", "B2", "B3")
SIGNALS: dict[str, Any] = {
    "inputs": [
        {"name": "turns", "pv": "{device}:TBT", "shape": [3], "unit": "mm", "range": [-20, 20], "stale_after": "5s"},
        {"name": "current", "pv": "RING:CURRENT", "unit": "mA", "range": [0, 500], "stale_after": "60s"},
        {"name": "gain", "source": "constant", "value": 2.0, "unit": "1", "range": [0, 10]},
    ],
    "outputs": [
        {"name": "score", "pv": "{device}:FAULT", "unit": "1", "range": [-100, 100], "high": 50, "hihi": 90,
         "default": 0},
        {"name": "orbit", "pv": "{device}:ORBIT", "shape": [3], "unit": "mm", "range": [-40, 40], "default": 0},
    ],
    "devices": "devices.csv",
}  # fmt: skip


def served_contract(text: str, **sections: Any) -> Contract:
    """The contract `text` with the signals above; `sections` replace or add others."""
    usual = {"signals": SIGNALS, "fallback": {"on_invalid": "invalid"}}
    return parse_contract(yaml.safe_dump({**yaml.safe_load(text), **usual, **sections}))


@dataclass
class Doubling:
    """A model: the score is the mean of the turns times the gain, the orbit is the turns times the gain."""

    restarts: int = 0
    asked: list[dict[str, np.ndarray]] = field(default_factory=list)
    ready: bool = True
    """Whether it is loaded."""
    fails: str = ""
    """It raises with this message."""
    raises_for: tuple[float, ...] = ()
    """It raises where a turn of a row has one of these values."""
    gives: Callable[[dict[str, np.ndarray]], dict[str, np.ndarray]] | None = None
    """Makes other answers of the right ones."""

    def ask(self, inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        self.asked.append(dict(inputs))
        if self.fails:
            raise (Raised if self.fails.startswith("the model raised") else ModelError)(self.fails)
        if np.isin(inputs["turns"], self.raises_for).any():
            raise Raised("the model raised ValueError: no beam")
        orbit = inputs["turns"] * inputs["gain"][:, None]
        answers = {"score": orbit.mean(axis=1), "orbit": orbit}
        return self.gives(answers) if self.gives else answers


@dataclass
class Served:
    """A loop with its model; `at` is the time of its clock."""

    loop: Loop
    model: Doubling
    updates: list[Update]
    devices: tuple[str, ...]
    stop: threading.Event
    at: float = NOW

    def put(self, value: Any = (1.0, 2.0, 3.0), device: str = "", **sample: Any) -> None:
        """A sample of one device's turns, or of all devices; `age` in s, `severity`, `message`."""
        for name in [device] if device else self.devices:
            self.sample(0, self.devices.index(name), value, **sample)

    def current(self, value: Any = 300.0, **sample: Any) -> None:
        self.sample(1, 0, value, **sample)

    def sample(self, wire: int, pv: int, value: Any, age: float = 0.0, severity: int = 0, message: str = "") -> None:
        self.loop.latest.put(wire, pv, value, self.at - age, severity, message)

    def cycle(self, after: float = 0.0, due: bool = True) -> Update:
        """One cycle, `after` so many s."""
        self.at += after
        self.updates.append(self.loop.cycle(self.at, due))
        return self.updates[-1]

    def disconnect(self, device: str) -> None:
        self.loop.latest.fail(0, self.devices.index(device), Fault.DISCONNECTED)

    def run_once(self) -> None:
        """What the thread of the loop does, for one cycle."""
        self.stop.clear()
        self.loop.run(self.stop)

    def shown(self, pv: str) -> Value:
        return self.loop.shown()[pv]

    def says(self, pv: str) -> tuple[Severity, Status, str]:
        value = self.shown(pv)
        return value.severity, value.status, value.message


Serve = Callable[..., Served]


def served_in(folder: Path, text: str, standing: Standing | None = None, devices: int = 3, **sections: Any) -> Served:
    """A service of the contract `text`, with its device table in `folder`; nothing has arrived yet."""
    names = tuple(f"B{number}" for number in range(1, devices + 1))
    (folder / "devices.csv").write_text("device\n" + "\n".join(names) + "\n")
    contract = served_contract(text, **sections)
    model, updates, stop = Doubling(), list[Update](), threading.Event()

    def publish(update: Update) -> None:
        updates.append(update)
        stop.set()

    loop = Loop(contract, wire(contract, folder), model, standing or Standing(3, "sha256:p"), publish)
    served = Served(loop, model, updates, names, stop)
    loop.latest.clock = lambda: served.at
    return served


@pytest.fixture
def serve(tmp_path: Path, contract_text: str) -> Serve:
    """A service, with the contract's `sections` in place of the usual ones; nothing has arrived yet."""

    def made(standing: Standing | None = None, devices: int = 3, **sections: Any) -> Served:
        return served_in(tmp_path, contract_text, standing, devices, **sections)

    return made


@pytest.fixture
def serving(serve: Serve) -> Served:
    """A service that has answered once: all devices have turns of 1, 2 and 3 mm."""
    served = serve()
    served.put()
    served.current()
    served.cycle()
    return served
