"""A private EPICS network on 127.0.0.1: real IOCs as child processes, and clients that judge what others serve.

    with soft_ioc(epics, {"RING:CURRENT": 300.0, "B1:TBT": [1.0, 2.0]}) as ioc:
        ioc.set("RING:CURRENT", 250.0, severity=2)
        with client(epics, "aioca") as aioca:
            assert aioca.get("RING:CURRENT")["value"] == 250.0

The fixture `epics` is the network: its ports are free, and `os.environ` holds the variables with which clients of this
process and of its children find what is served here, and nothing else. Several IOCs serve at the same time.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from beampermit.demo.network import Network, Place

__all__ = ["Network", "Place", "client", "epics", "pva_server", "soft_ioc", "until"]
PATIENCE = 60.0
"""Seconds after which a child that does not answer has failed; a loaded machine is slow."""


@pytest.fixture(scope="session")
def epics() -> Iterator[Network]:
    """The network of this process. An EPICS library reads the variables once, so it is one for the whole run.

    Each module that imports this fixture has one of its own, in between those of others: the network is the same.
    """
    network = _network()
    with pytest.MonkeyPatch.context() as patch:
        for name in [name for name in os.environ if name.startswith("EPICS_")]:
            patch.delenv(name)
        for name, value in network.variables.items():
            patch.setenv(name, value)
        yield network


@cache
def _network() -> Network:
    return Network()


class Child:
    """A process of `epics_child.py`."""

    def __init__(self, kind: str, first: Any, environment: Mapping[str, str]):
        self._kind, self._environment = kind, environment
        self._said = tempfile.TemporaryFile("w+")  # noqa: SIM115 - it is closed with this object
        self._process = self._started(first)

    @property
    def pid(self) -> int:
        return self._process.pid

    def ask(self, **request: Any) -> Any:
        """What it answers; an `AssertionError` with its words where it fails."""
        assert self._process.stdin
        with suppress(BrokenPipeError):  # then there is no answer either
            self._process.stdin.write(json.dumps(request) + "\n")
            self._process.stdin.flush()
        return self._answer(self._process)

    def pause(self) -> None:
        """It answers nothing, and its connections stay open."""
        self._process.send_signal(signal.SIGSTOP)

    def go_on(self) -> None:
        self._process.send_signal(signal.SIGCONT)

    def kill(self) -> None:
        """It is gone without a word to its clients."""
        self._process.kill()
        self._process.wait(PATIENCE)

    def _started(self, first: Any) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, Path(__file__).with_name("epics_child.py"), self._kind],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._said,
            env=self._environment,
            text=True,
        )
        assert process.stdin
        process.stdin.write(json.dumps(first) + "\n")
        process.stdin.flush()
        self._answer(process)
        return process

    def _answer(self, process: subprocess.Popen[str]) -> Any:
        assert process.stdout
        line = process.stdout.readline()
        if not line:
            self._said.seek(0)
            raise AssertionError(f"{self._kind} ended with {process.wait(PATIENCE)}:\n{self._said.read()[-2000:]}")
        answer = json.loads(line)
        assert "error" not in answer, answer["error"]
        return answer["ok"]


class Ioc(Child):
    """Serves PVs until its block ends."""

    def set(self, name: str, value: Any, **sample: Any) -> None:
        """One new sample: `severity`, `timestamp` in s since 1970; `alarm` of a record, `message` of a structure."""
        self.set_all({name: value}, **sample)

    def set_all(self, values: Mapping[str, Any], **sample: Any) -> None:
        """Samples of several PVs, in one message to the process; all have the same severity and time."""
        self.ask(set={name: {"value": value, **sample} for name, value in values.items()})

    def start(self, pvs: Mapping[str, Any]) -> None:
        """Start again, on the same ports, with other PVs if need be."""
        self.kill()
        self._process = self._started(_described(pvs) if self._kind == "softioc" else dict(pvs))


@contextmanager
def soft_ioc(network: Network, pvs: Mapping[str, Any]) -> Iterator[Ioc]:
    """An IOC with a record for each PV, served over CA and PVA.

    A float makes an ai, an int a longin, a bool a bi, a text a stringin, a list of numbers a waveform of its length. A
    dictionary says it in full: `record` (ai, longin, int64in, stringin, lsi for a long string, bi, mbbi with `states`,
    waveform with `type` of numpy and `length`), `value` (None: never processed) and `fields` such as EGU.
    """
    with network.place() as place, _ended(Ioc("softioc", _described(pvs), network.server(place))) as ioc:
        yield ioc


@contextmanager
def pva_server(network: Network, pvs: Mapping[str, Mapping[str, Any]]) -> Iterator[Ioc]:
    """PVs of any structure, served by p4p over PVA alone.

    Each has a `value` and `nt`: a type code of p4p (`d`, `ad`, `L`, `s`); `table` with `types`, column -> type code;
    `image` with `type` of numpy, `shape` as (height, width), or (height, width, 3) in colour, maybe `codec`; `enum`
    with `states`. It may have `severity`, `message` and `timestamp`, which is 0 if not given.
    """
    with network.place() as place, _ended(Ioc("p4p", dict(pvs), network.server(place))) as ioc:
        yield ioc


@contextmanager
def client(network: Network, kind: str) -> Iterator[Client]:
    """A client that the project does not use: aioca or caproto over CA, pvapy over PVA."""
    with _ended(Client(kind, {}, network.client())) as made:
        yield made


class Client(Child):
    """Reads and writes PVs. An `AssertionError` has the words of the library where that fails."""

    def get(self, name: str) -> dict[str, Any]:
        """`value`, `severity`, `status`, `timestamp`, `unit`, `precision`, `limits`; aioca: `states`; pvapy: `message`,
        `fields`.
        """
        return self.ask(get=name)

    def put(self, name: str, value: Any) -> None:
        self.ask(put=name, value=value)

    def watch(self, *names: str) -> None:
        """Of caproto: hear each update of these PVs from now on."""
        self.ask(watch=names)

    def heard(self) -> list[tuple[str, Any]]:
        """Name and value of all updates so far, in the order in which their server sent them."""
        return [(name, value) for name, value in self.ask(heard=True)]


@contextmanager
def _ended(child: Any) -> Iterator[Any]:
    try:
        yield child
    finally:
        child.go_on()
        child.kill()


def until(holds: Callable[[], object], patience: float = 20.0) -> None:
    """Wait until something holds; on a loaded machine that may take long, and is not a failure."""
    end, pause = time.monotonic() + patience, 0.02
    while not holds():
        assert time.monotonic() < end, "it did not come about"
        time.sleep(pause)
        pause = min(1.2 * pause, 0.1)  # to look is not free: what takes long is looked at less often


def _described(pvs: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value if isinstance(value, dict) else _record(value) for name, value in pvs.items()}


def _record(value: Any) -> dict[str, Any]:
    if isinstance(value, list):
        return {"record": "waveform", "type": "float64", "length": len(value), "value": value}
    kinds = {bool: "bi", int: "longin", float: "ai", str: "stringin"}
    return {"record": kinds[type(value)], "value": value}
