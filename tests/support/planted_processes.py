"""Processes in place of a model's: they speak as `worker.py` does, until a line of the test's does something else."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
import yaml

from beampermit.contract import Contract, parse_contract
from beampermit.environments import Environment
from beampermit.live.loop import Loop, ModelError, Standing
from beampermit.live.process import frames, model_process, starting
from beampermit.live.process.model_process import ModelProcess
from beampermit.live.update import Value
from beampermit.live.wiring import wire
from support.planted_models import THIS_ENVIRONMENT

PATIENCE = 60.0
"""Seconds for what takes less than one on a machine that has nothing else to do."""
SPEAKS = f"""\
import json, os, signal, socket, sys, time
sys.path.insert(0, {str(Path(frames.__file__).parent)!r})
import frames
options = dict(zip(sys.argv[1::2], sys.argv[2::2]))
connection = socket.socket(fileno=int(options["--socket"]))
channel = frames.Channel(connection, int(options["--memory"]), server=False)
signature = {{
    "inputs": [{{"name": "turns", "type": "float32", "shape": [-1, 3]}}],
    "outputs": [{{"name": "score", "type": "double", "shape": None}}],
    "device": "",
}}
_, asked = channel.receive(0)
options["--model"] = asked.text
BEFORE
channel.send("ready", 0, text=json.dumps(signature))
while True:
    number, asked = channel.receive()
    turns = asked.arrays["turns"]
    if turns[0, 0]:
        ASKED
    channel.send("answer", number, arrays={{"score": turns.mean(axis=1)}})
"""
"""To zeros it answers as it should; to anything else after the line `ASKED`."""
SIGNALS = {
    "inputs": [{"name": "turns", "pv": "BPM:TBT", "shape": [3], "unit": "mm", "range": [-10, 10]}],
    "outputs": [{"name": "score", "pv": "BPM:SCORE", "unit": "1", "range": [-10, 10]}],
}
ALARMS = [{"condition": "none", "severity": "INVALID", "meaning": "It cannot answer.", "action": ["Call."]}]


def asked_contract(text: str, **sections: Any) -> Contract:
    """The contract `text` with one input of three turns and one score."""
    page = yaml.safe_load(text)
    operations = {**page["operations"], "alarms": ALARMS}
    usual = {"signals": SIGNALS, "operations": operations, "serving": {"timeout": PATIENCE}}
    return parse_contract(json.dumps({**page, **usual, **sections}, default=str))  # without aliases


@dataclass
class Asked:
    """A model's process that is looked at; `fires` counts how often it became ready."""

    process: ModelProcess
    folder: Path
    fires: list[float]

    def ask(self, value: float = 0.0, rows: int = 2) -> dict[str, np.ndarray]:
        return self.process.ask({"turns": np.full((rows, 3), value)})

    def until_ready(self, fires: int = 1) -> None:
        wait_for(lambda: len(self.fires) >= fires)

    def answers(self) -> bool:
        """Whether it answers as it should; never that it does not answer."""
        return self.ask()["score"].tolist() == [0.0, 0.0]

    def reason(self, value: float = 1.0) -> str:
        """Why it does not answer."""
        with pytest.raises(ModelError) as caught:
            self.ask(value)
        return str(caught.value)

    def reason_for_not_starting(self) -> str:
        """Why it is not ready, once anything is known of that."""
        wait_for(lambda: self.reason() != "the model is being loaded")
        return self.reason()


def begin(
    folder: Path,
    contract: Contract,
    *,
    inside: Environment = THIS_ENVIRONMENT,
    verify: Callable[[], None] = lambda: None,
) -> Asked:
    """Start a process for the model in `folder`."""
    fires: list[float] = []
    process = ModelProcess(inside, contract)
    process.load(folder, rows=2, verify=verify, on_ready=lambda: fires.append(time.monotonic()))
    process.start()
    return Asked(process, folder, fires)


Plant = Callable[..., Asked]


@pytest.fixture
def ask(contract_text: str) -> Iterator[Plant]:
    """As `begin`, until the test ends; the contract is `asked_contract` with `sections`."""
    started: list[Asked] = []

    def start(folder: Path, *, sections: Any = None, **options: Any) -> Asked:
        started.append(begin(folder, asked_contract(contract_text, **(sections or {})), **options))
        return started[-1]

    yield start
    for asked in started:
        asked.process.close()


@pytest.fixture
def plant(ask: Plant, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Plant:
    """Start a planted process: `asked` is what it does when it is asked, `before` before it is ready."""
    monkeypatch.setattr(model_process, "LOOK", 0.05)

    def start(asked: str = "pass", *, before: str = "", **options: Any) -> Asked:
        script = tmp_path / "worker.py"
        script.write_text(SPEAKS.replace("BEFORE", before).replace("ASKED", asked))
        monkeypatch.setattr(starting, "WORKER", script)
        return ask(tmp_path, **options)

    return start


def loop_of(asked: Asked) -> Loop:
    """The inference loop of its service, without a network."""
    contract = asked.process._contract
    return Loop(contract, wire(contract, asked.folder), asked.process, Standing(1, "sha256:p"), lambda _: None)


def shown(loop: Loop, turns: float = 0.0) -> Value:
    """What the output shows in the cycle after these turns have arrived."""
    now = time.time()
    loop.latest.put(0, 0, (turns,) * 3, now, 0)
    loop.cycle(now, elapsed=time.monotonic())
    return loop.shown()["BPM:SCORE"]


def wait_for(condition: Callable[[], bool]) -> None:
    """Until it is true."""
    until = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < until, "it never came"
        threading.Event().wait(0.02)


def runs(process: int) -> bool:
    try:
        return psutil.Process(process).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
