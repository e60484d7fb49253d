"""The last part of the demo: the champion in service, what operators see when something is wrong, another champion."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack, suppress
from itertools import pairwise
from pathlib import Path

from beampermit.demo.network import Network
from beampermit.demo.screen import PATIENCE, Screen, Shown
from beampermit.demo.stage import Stage, UnexpectedError
from beampermit.environments.environment import FOLDER, VARIABLE

PREFIX = "BPM-FAULTS"
PV, INPUT = "BPM-01S1:X:FAULT", "BPM-01S1:X:TBT"
OTHER = "BPM-02S1:X:FAULT"
SOON = 5.0
"""Seconds in which the outputs say what the reason says: a connection is lost PV by PV."""


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
        self._screen = Screen(network, PREFIX, PV, OTHER)
        self._stack.callback(self._screen.close)
        self._start_machine(stage)
        place = self._stack.enter_context(network.place())
        words = ("serve", "--follow", "1s", "--log", str(stage.root / "predictions"))
        self._service = self._start(stage, network.server(place), "beampermit.cli.main", *words)
        self._wait(stage, self._screen.connect)
        answer = self._answer(stage)
        return f"version {self._screen.version()} serves: {PV} is {answer}"

    def disturb(self, stage: Stage) -> str:
        """An input turns NaN, the machine is gone, the model is killed: what outputs show before, during and after."""
        broken, repaired = lambda: self._tell(INPUT), lambda: self._tell("")
        back = lambda: self._start_machine(stage)  # noqa: E731
        killed = lambda: _kill_model(self._service.pid)  # noqa: E731
        return "; ".join(
            (
                self._say(stage, "an input is NaN", broken, "NaN", repaired, other_goes_on=True),
                self._say(stage, "disconnected", self._end_machine, "disconnected", back),
                self._say(stage, "model killed", killed, "ended", lambda: None),
            )
        )

    def switch(self, stage: Stage) -> str:
        """Another champion takes over between two updates, and the rollback too: what each one answers."""
        first, gaps, answers = self._screen.version(), [], [self._answer(stage)]
        other = 3 - first
        for version in (other, first):
            stage.beampermit("rollback", "--to", str(version), "--reason", f"Demonstration: version {version} serves")
            gaps.append(self._longest_gap(stage, lambda version=version: self._screen.version() == version))
            answers.append(self._answer(stage))
        course = f"version {first} → {other} → {first}: {self._screen.pv} is {_course(*answers)}"
        return f"{course}; the longest time between two updates was {max(gaps):.1f} s"

    def _longest_gap(self, stage: Stage, done: Callable[[], bool]) -> float:
        times: list[float] = []
        watch = self._screen.monitor(lambda _: times.append(time.monotonic()))
        try:
            self._wait(stage, done)
            count = len(times)
            self._wait(stage, lambda: len(times) > count + 2)
        finally:
            watch.close()
        return max(later - earlier for earlier, later in pairwise(times))

    def _say(
        self,
        stage: Stage,
        what: str,
        begin: Callable[[], None],
        word: str,
        end: Callable[[], None],
        *,
        other_goes_on: bool = False,
    ) -> str:
        """What outputs show once something is wrong, whether that is true, and that they are well again after it."""
        before = self._answer(stage)
        begin()
        self._wait(stage, lambda: word in self._screen.reason())
        end_of_doubt = time.monotonic() + SOON
        while (judged := self._screen.judge(other_goes_on))[-1] and time.monotonic() < end_of_doubt:
            time.sleep(0.05)
        during, said, untrue = judged
        stage.progress(f"$ # {what}: {said}")
        if untrue:
            raise UnexpectedError(f"{what}: {untrue}", file=_log(stage), hint=f"less +G {_log(stage)}")
        end()
        return f"{what}: {_course(before, during, self._answer(stage))}"

    def _answer(self, stage: Stage) -> Shown:
        """What the output shows once all is well."""
        self._wait(stage, self._screen.is_well)
        return self._screen.show(self._screen.pv)

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

    def _tell(self, line: str) -> None:
        assert self._machine.stdin  # noqa: S101 - a pipe was asked for
        self._machine.stdin.write(f"{line}\n")
        self._machine.stdin.flush()

    def _wait(self, stage: Stage, what: Callable[[], bool]) -> None:
        end = time.monotonic() + PATIENCE
        while not _soon(what):
            if time.monotonic() > end or self._service.poll() is not None:
                log = _log(stage)
                raise UnexpectedError("the service did not do what was expected", file=log, hint=f"less +G {log}")
            time.sleep(0.05)


def _course(*shown: Shown) -> str:
    """One after the other."""
    return " → ".join(one.brief for one in shown)


def _soon(what: Callable[[], bool]) -> bool:
    """A PV that is not there yet is no error."""
    try:
        return what()
    except TimeoutError:
        return False


def _log(stage: Stage) -> Path:
    """What the service said."""
    return stage.root / "beampermit.cli.main.log"


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
