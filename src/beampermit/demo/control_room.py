"""The last part of the demo: the champion in service, what operators see when something is wrong, another champion."""

from __future__ import annotations

import math
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from beampermit.demo.network import Network
from beampermit.demo.stage import Stage, UnexpectedError
from beampermit.environments.environment import FOLDER, VARIABLE

PREFIX = "BPM-FAULTS"
PV, INPUT = "BPM-01S1:X:FAULT", "BPM-01S1:X:TBT"
OTHER = "BPM-02S1:X:FAULT"
PATIENCE = 120.0
"""Seconds that a change may take on a slow machine."""
INVALID = 3


@dataclass(frozen=True)
class Shown:
    """What a PV shows."""

    value: float
    severity: int
    message: str

    def __str__(self) -> str:
        if math.isnan(self.value):
            return f"INVALID: {self.message}"
        return f"{self.value:.3f}" + (f" ({self.message})" if self.message else "")


class ControlRoom:
    """A machine that plays the project's data, `beampermit serve`, and a client; all on a network of their own."""

    def __init__(self) -> None:
        self._stack = ExitStack()

    def close(self) -> None:
        self._stack.close()

    def open(self, stage: Stage) -> str:
        """Start machine and service; wait for the first value."""
        network = Network()
        self._place = self._stack.enter_context(network.place())
        self._network = network
        self._start_machine(stage)
        place = self._stack.enter_context(network.place())
        words = ("serve", "--follow", "1s", "--log", str(stage.root / "predictions"))
        self._service = self._start(stage, network.server(place), "beampermit.cli.main", *words)
        self._wait(stage, lambda: self._connect(network))
        self._wait(stage, self._is_well)
        return f"version {self._version()} serves: {PV} is {self._show(PV)}"

    def disturb(self, stage: Stage) -> str:
        """An input that turns NaN, a machine that is gone, a model that is killed: what the outputs say each time."""
        return "; ".join(
            (
                self._say(stage, "an input is NaN", lambda: self._tell(INPUT), "NaN", lambda: self._tell("")),
                self._say(stage, "disconnected", self._end_machine, "disconnected", lambda: self._start_machine(stage)),
                self._say(stage, "model killed", lambda: _kill_model(self._service.pid), "ended", lambda: None),
            )
        )

    def switch(self, stage: Stage) -> str:
        """Another champion takes over between two updates, and the rollback too."""
        first, gaps = self._version(), []
        other = 3 - first
        for version in (other, first):
            stage.beampermit("rollback", "--to", str(version), "--reason", f"Demonstration: version {version} serves")
            gaps.append(self._longest_gap(stage, lambda version=version: self._version() == version))
        return f"version {first} → {other} → {first}; the longest time between two updates was {max(gaps):.1f} s"

    def _longest_gap(self, stage: Stage, done: Callable[[], bool]) -> float:
        times: list[float] = []
        watch = self._client.monitor(PV, lambda _: times.append(time.monotonic()))
        try:
            self._wait(stage, done)
            count = len(times)
            self._wait(stage, lambda: len(times) > count + 2)
        finally:
            watch.close()
        return max(later - earlier for earlier, later in pairwise(times))

    def _say(self, stage: Stage, what: str, begin: Callable[[], None], word: str, end: Callable[[], None]) -> str:
        """What an output shows once something is wrong, and that it is well again after it."""
        begin()
        self._wait(stage, lambda: word in self._reason())
        line = f"{what}: {PV} is {self._show(PV)}, {OTHER} is {self._show(OTHER)}; {self._reason()}"
        stage.progress(f"$ # {line}")
        end()
        self._wait(stage, self._is_well)
        return what

    def _connect(self, network: Network) -> bool:
        """A client that has searched in vain for long searches rarely, so each try has another one."""
        client = _client(network)
        try:
            client.get(PV, timeout=1.0)
        except TimeoutError:
            client.close()
            return False
        self._client = client
        self._stack.callback(client.close)
        return True

    def _start_machine(self, stage: Stage) -> None:
        words = (str(stage.project / "data/raw.parquet"), str(stage.project))
        self._machine = self._start(stage, self._network.server(self._place), "beampermit.demo.machine", *words)

    def _end_machine(self) -> None:
        _end(self._machine)

    def _start(self, stage: Stage, environment: dict[str, str], module: str, *words: str) -> subprocess.Popen[str]:
        stage.progress(f"$ {module.partition('.')[0]} {' '.join(words)}")
        log = self._stack.enter_context((stage.root / f"{module}.log").open("a"))
        process = subprocess.Popen(
            (sys.executable, "-m", module, *words),
            cwd=stage.project,
            # The environment of the lock is there already, beside the project.
            env={**environment, **stage.environment, VARIABLE: str(stage.project / FOLDER)},
            stdin=subprocess.PIPE,
            stdout=log,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self._stack.callback(_end, process)
        return process

    def _show(self, pv: str) -> Shown:
        value = self._client.get(pv, timeout=PATIENCE)
        return Shown(float(value), value.severity, value.raw.alarm.message)

    def _version(self) -> int:
        return int(self._client.get(f"{PREFIX}:VERSION", timeout=PATIENCE))

    def _reason(self) -> str:
        return self._client.get(f"{PREFIX}:REASON", timeout=PATIENCE).raw.value

    def _is_well(self) -> bool:
        shown = self._show(PV)
        return shown.severity < INVALID and not shown.message.startswith(("held", "default"))

    def _tell(self, line: str) -> None:
        assert self._machine.stdin  # noqa: S101 - a pipe was asked for
        self._machine.stdin.write(f"{line}\n")
        self._machine.stdin.flush()

    def _wait(self, stage: Stage, what: Callable[[], bool]) -> None:
        end = time.monotonic() + PATIENCE
        while not _soon(what):
            if time.monotonic() > end or self._service.poll() is not None:
                log = stage.root / "beampermit.cli.main.log"
                raise UnexpectedError("the service did not do what was expected", file=log, hint=f"less +G {log}")
            time.sleep(0.05)


def _soon(what: Callable[[], bool]) -> bool:
    """A PV that is not there yet is no error."""
    try:
        return what()
    except TimeoutError:
        return False


def _client(network: Network) -> Any:
    from p4p.client.thread import Context

    return Context("pva", conf=network.variables, useenv=False)


def _kill_model(service: int) -> None:
    import psutil

    for child in psutil.Process(service).children(recursive=True):
        with suppress(psutil.Error):  # one that ended meanwhile
            if any(part.endswith("live/process/worker.py") for part in child.cmdline()):
                child.kill()


def _end(process: subprocess.Popen[str]) -> None:
    process.terminate()
    with suppress(subprocess.TimeoutExpired):
        process.wait(20)
    process.kill()
    process.wait()
