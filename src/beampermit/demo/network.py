"""A private EPICS network on 127.0.0.1, which a laboratory's own never sees."""

from __future__ import annotations

import os
import random
import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass

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

    def client(self) -> dict[str, str]:
        """The environment of a client."""
        return {**os.environ, **self.variables}


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
