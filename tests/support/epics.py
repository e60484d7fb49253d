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
import random
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

PATIENCE = 60.0
"""Seconds after which a child that does not answer has failed; a loaded machine is slow."""
PLACES = 4
"""IOCs that can serve at the same time."""
HERE = "127.0.0.1"


@dataclass(frozen=True)
class Place:
    """Where one IOC serves."""

    ca: int
    pva: int
    broadcast: int

    @property
    def variables(self) -> dict[str, str]:
        """What a server of its own needs beside the variables of the network."""
        return {
            "EPICS_CA_SERVER_PORT": str(self.ca),
            "EPICS_CAS_SERVER_PORT": str(self.ca),
            "EPICS_PVA_SERVER_PORT": str(self.pva),
            "EPICS_PVAS_SERVER_PORT": str(self.pva),
            "EPICS_PVA_BROADCAST_PORT": str(self.broadcast),
            "EPICS_PVAS_BROADCAST_PORT": str(self.broadcast),
        }


class Network:
    """Each IOC has ports of its own, which it keeps when it is started again; clients ask on all of them."""

    def __init__(self) -> None:
        ports = _free_ports(3 * PLACES + 1)
        self._free = [Place(*ports[3 * place : 3 * place + 3]) for place in range(PLACES)]
        self._for_pvapy = {  # it keeps one address a host, and asks name servers over TCP
            "EPICS_PVA_ADDR_LIST": "",
            "EPICS_PVA_NAME_SERVERS": " ".join(f"{HERE}:{place.pva}" for place in self._free),
        }
        self.variables = {
            **self._free[0].variables,
            "EPICS_CA_ADDR_LIST": " ".join(f"{HERE}:{place.ca}" for place in self._free),
            "EPICS_CA_AUTO_ADDR_LIST": "NO",
            "EPICS_CA_REPEATER_PORT": str(ports[-1]),
            "EPICS_CA_MAX_ARRAY_BYTES": "10000000",
            "EPICS_CAS_INTF_ADDR_LIST": HERE,
            "EPICS_CAS_BEACON_ADDR_LIST": HERE,
            "EPICS_CAS_AUTO_BEACON_ADDR_LIST": "NO",
            "EPICS_PVA_ADDR_LIST": " ".join(f"{HERE}:{place.broadcast}" for place in self._free),
            "EPICS_PVA_AUTO_ADDR_LIST": "NO",
            "EPICS_PVAS_INTF_ADDR_LIST": HERE,
            "EPICS_PVAS_BEACON_ADDR_LIST": HERE,
            "EPICS_PVAS_AUTO_BEACON_ADDR_LIST": "NO",
        }

    @contextmanager
    def place(self) -> Iterator[Place]:
        """Ports for one server, until the block ends: give its process the environment `server(place)`."""
        place = self._free.pop()
        try:
            yield place
        finally:
            self._free.append(place)

    def server(self, place: Place) -> dict[str, str]:
        """The environment of a server."""
        return {**os.environ, **self.variables, **place.variables}

    def client(self, kind: str) -> dict[str, str]:
        """The environment of a client: aioca, caproto or pvapy."""
        return {**os.environ, **self.variables, **(self._for_pvapy if kind == "pvapy" else {})}


def _free_ports(count: int) -> list[int]:
    """Ports that are free for TCP and UDP, below those that the system hands out by itself."""
    ports: list[int] = []
    while len(ports) < count:
        port = random.SystemRandom().randrange(20000, 32000)
        with ExitStack() as stack, suppress(OSError):
            for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
                stack.enter_context(socket.socket(socket.AF_INET, kind)).bind((HERE, port))
            ports += [port] if port not in ports else []
    return ports


@pytest.fixture(scope="session")
def epics() -> Iterator[Network]:
    """The network of this process. An EPICS library reads the variables once, so it is one for the whole run."""
    network = Network()
    with pytest.MonkeyPatch.context() as patch:
        for name in [name for name in os.environ if name.startswith("EPICS_")]:
            patch.delenv(name)
        for name, value in network.variables.items():
            patch.setenv(name, value)
        yield network


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
    with _ended(Client(kind, {}, {**os.environ, **network.variables})) as made:
        yield made


class Client(Child):
    """Reads and writes PVs. An `AssertionError` has the words of the library where that fails."""

    def get(self, name: str) -> dict[str, Any]:
        """`value`, `severity`, `status`, `timestamp`; aioca: `unit`, `limits`, `states`; pvapy: `message`, `fields`."""
        return self.ask(get=name)

    def put(self, name: str, value: Any) -> None:
        self.ask(put=name, value=value)


@contextmanager
def _ended(child: Any) -> Iterator[Any]:
    try:
        yield child
    finally:
        child.go_on()
        child.kill()


def until(holds: Callable[[], object], patience: float = 20.0) -> None:
    """Wait until something holds; on a loaded machine that may take long, and is no failure."""
    end = time.monotonic() + patience
    while not holds():
        assert time.monotonic() < end, "it did not come about"
        time.sleep(0.02)


def _described(pvs: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value if isinstance(value, dict) else _record(value) for name, value in pvs.items()}


def _record(value: Any) -> dict[str, Any]:
    if isinstance(value, list):
        return {"record": "waveform", "type": "float64", "length": len(value), "value": value}
    kinds = {bool: "bi", int: "longin", float: "ai", str: "stringin"}
    return {"record": kinds[type(value)], "value": value}
