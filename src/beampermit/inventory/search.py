"""Which servers answer for a name, asked as every client asks: by searches over UDP, without a connection.

PVA's answers have the server's identity. Those of CA have an address: a server with two networks answers on each, so
two addresses with one port count only where both answered the same packet.
"""

from __future__ import annotations

import os
import select
import socket
import struct
import time
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import NamedTuple

PVA_PORT, CA_PORT = 5076, 5064
LARGEST = 1200
"""Bytes of a packet: one that is cut into pieces gets lost more often."""
PACE = 0.002
"""Seconds between two packets, so that nobody's buffers overflow."""
ROUNDS = 2
"""A packet may be lost, a third one says nothing new."""
MOST_NAMES = 20_000
FOUND, SEARCH = 4, 3
MAGIC = 0xCA
TO_ONE_HOST = 0x80
"""The server hands the packet on to the others of its host."""
CA_VERSION = struct.pack(">HHHHII", 0, 0, 0, 13, 0, 0)


class Target(NamedTuple):
    """Where a search is sent."""

    host: str
    port: int
    one_host: bool


def find_servers(names: Sequence[str], wait: float = 1.0) -> dict[str, tuple[str, ...]]:
    """Name -> the addresses of its servers, for names that have one; `wait` s after the last packet.

    Of the two protocols, the one that shows more servers counts: a service serves both.
    """
    names = list(dict.fromkeys(names))[:MOST_NAMES]
    with ThreadPoolExecutor(2) as pool:
        pva = pool.submit(_ask, _Pva(names), _targets("PVA", PVA_PORT), wait)
        ca = pool.submit(_ask, _Ca(names), _targets("CA", CA_PORT), wait)
        over_pva, over_ca = pva.result(), ca.result()
    most = {name: max(over_pva.get(name, ()), over_ca.get(name, ()), key=len) for name in names}
    return {name: servers for name, servers in most.items() if servers}


def _targets(protocol: str, port: int) -> list[Target]:
    """As EPICS' variables say. Name servers over TCP are not asked: each gives one answer."""
    name = "EPICS_PVA_BROADCAST_PORT" if protocol == "PVA" else "EPICS_CA_SERVER_PORT"
    port = _port(os.environ.get(name, ""), port)
    broadcasts = set(_broadcasts())
    hosts = dict[tuple[str, int], None]()
    for entry in os.environ.get(f"EPICS_{protocol}_ADDR_LIST", "").split():
        host, _, own = entry.partition(":")
        with suppress(OSError):
            hosts[socket.gethostbyname(host), _port(own, port)] = None
    if os.environ.get(f"EPICS_{protocol}_AUTO_ADDR_LIST", "YES").strip().upper() != "NO":
        hosts |= {(host, port): None for host in broadcasts}
    return [Target(host, own, host not in broadcasts and not _is_to_many(host)) for host, own in hosts]


def _port(text: str, otherwise: int) -> int:
    return int(text) if text.isdecimal() and 0 < int(text) < 2**16 else otherwise


def _is_to_many(host: str) -> bool:
    return host.endswith(".255") or 224 <= int(host.partition(".")[0]) < 240


def _broadcasts() -> Iterator[str]:
    import psutil

    for addresses in psutil.net_if_addrs().values():
        for address in addresses:
            if address.family == socket.AF_INET and address.broadcast:
                yield address.broadcast


class _Pva:
    """Searches of PV Access, and their answers."""

    def __init__(self, names: Sequence[str]):
        self._names = names
        self._servers: dict[str, dict[bytes, str]] = {}

    def packets(self, target: Target, _: int, port: int) -> Iterator[bytes]:
        for numbers in _cut(self._names, 9):
            channels = b"".join(struct.pack("<I", one) + _text(self._names[one]) for one in numbers)
            flags = TO_ONE_HOST if target.one_host else 0
            body = struct.pack("<IB3x16xH", numbers[0], flags, port) + b"\x01" + _text("tcp")
            body += struct.pack("<H", len(numbers)) + channels
            yield struct.pack("<BBBBI", MAGIC, 2, 0, SEARCH, len(body)) + body

    def take(self, content: bytes, sender: str) -> None:
        """Raises `struct.error` for what is no answer."""
        magic, _, flags, command = struct.unpack_from("BBBB", content)
        if (magic, command) != (MAGIC, FOUND):
            return
        order = ">" if flags & 0x80 else "<"
        identity, port = content[8:20], struct.unpack_from(f"{order}H", content, 40)[0]
        place = 43 + content[42]
        found, count = struct.unpack_from(f"{order}BH", content, place)
        numbers: tuple[int, ...] = struct.unpack_from(f"{order}{count}I", content, place + 3) if found else ()
        for number in numbers:
            if number < len(self._names):
                self._servers.setdefault(self._names[number], {})[identity] = f"{sender}:{port}"

    def found(self) -> dict[str, tuple[str, ...]]:
        return {name: tuple(sorted(servers.values())) for name, servers in self._servers.items()}


class _Ca:
    """Searches of Channel Access, and their answers."""

    def __init__(self, names: Sequence[str]):
        self._names = names
        self._servers: dict[str, set[tuple[int, str, int]]] = {}
        """Name -> number of the target, host, port."""

    def packets(self, _: Target, number: int, __: int) -> Iterator[bytes]:
        for numbers in _cut(self._names, 24):
            parts = [CA_VERSION]
            for one in numbers:
                content = self._names[one].encode() + b"\0"
                content += b"\0" * (-len(content) % 8)
                id = number * len(self._names) + one
                parts.append(struct.pack(">HHHHII", 6, len(content), 5, 13, id, id) + content)
            yield b"".join(parts)

    def take(self, content: bytes, sender: str) -> None:
        """Raises `struct.error` for what is no answer."""
        place = 0
        while place + 16 <= len(content):
            command, size, port, _, host, id = struct.unpack_from(">HHHHII", content, place)
            place += 16 + size
            if command != 6:
                continue
            number, one = divmod(id, len(self._names))
            address = sender if host == 0xFFFFFFFF else socket.inet_ntoa(struct.pack(">I", host))
            self._servers.setdefault(self._names[one], set()).add((number, address, port))

    def found(self) -> dict[str, tuple[str, ...]]:
        return {name: _distinct(servers) for name, servers in self._servers.items()}


def _distinct(servers: set[tuple[int, str, int]]) -> tuple[str, ...]:
    """Those that are servers of their own for sure, by address; at least one."""
    by_target: dict[int, set[tuple[str, int]]] = {}
    for target, host, port in servers:
        by_target.setdefault(target, set()).add((host, port))
    by_port = {port: (host, port) for _, host, port in sorted(servers)}
    most = max(*by_target.values(), set(by_port.values()), key=len)
    return tuple(sorted(f"{host}:{port}" for host, port in most))


def _cut(names: Sequence[str], each: int) -> Iterator[list[int]]:
    """The numbers of names that fit a packet, where one takes `each` bytes more than its own."""
    packet, size = list[int](), 0
    for number, name in enumerate(names):
        length = len(name.encode()) + each
        if packet and size + length > LARGEST:
            yield packet
            packet, size = [], 0
        packet.append(number)
        size += length
    if packet:
        yield packet


def _text(text: str) -> bytes:
    content = text.encode()
    return (bytes([len(content)]) if len(content) < 255 else struct.pack("<BI", 255, len(content))) + content


def _ask(protocol: _Pva | _Ca, targets: Iterable[Target], wait: float) -> dict[str, tuple[str, ...]]:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asker:
        asker.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
        asker.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2**20)
        asker.setblocking(False)
        asker.bind(("", 0))
        port = asker.getsockname()[1]
        for last in (number == ROUNDS - 1 for number in range(ROUNDS)):
            for number, target in enumerate(targets):
                for packet in protocol.packets(target, number, port):
                    with suppress(OSError):  # a network that is not there has no server
                        asker.sendto(packet, (target.host, target.port))
                    _listen(asker, protocol, PACE)
            _listen(asker, protocol, wait if last else wait / 2)
    return protocol.found()


def _listen(asker: socket.socket, protocol: _Pva | _Ca, seconds: float) -> None:
    end = time.monotonic() + seconds
    while (left := end - time.monotonic()) > 0:
        if not select.select([asker], [], [], left)[0]:
            return
        # What is no answer is left alone; an ICMP error belongs to a host where nobody serves.
        with suppress(OSError, struct.error, IndexError):
            content, (sender, _) = asker.recvfrom(2**16)
            protocol.take(content, sender)
