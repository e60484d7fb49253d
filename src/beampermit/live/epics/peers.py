"""Who is connected to the PVs: as the servers for CA and PVA themselves report it."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

from beampermit.errors import counted

CHANNEL_ACCESS, PV_ACCESS = "casr 2", "pvxsr 5"
"""Reports that name each client and its channels."""
MOST = 1000
"""Clients; and of each so many PVs."""
_CA_CLIENT = re.compile(r"TCP client at (\S+)")
_CA_USER = re.compile(r"\tUser '(.*?)', V")
_CA_PV = re.compile(r"\s+Channel: '(.*)'$")
_PVA_CLIENT = re.compile(r"\s+Peer\s*(\S+) backlog=")
_PVA_PV = re.compile(r"(?:\w+/(\S*)@\S+:\d+)?\s+(\S+) TX=\d+ RX=\d+")


@dataclass(frozen=True)
class Peer:
    """A client. What it says of its user is its own word."""

    protocol: str
    host: str
    """Address and port that it connects from."""
    user: str = ""
    pvs: tuple[str, ...] = ()


def peers(report: Callable[[str], str]) -> tuple[Peer, ...]:
    """All clients with a channel; `report` gives what a command of the IOC's shell prints."""
    every = (*_of_channel_access(report(CHANNEL_ACCESS)), *_of_pv_access(report(PV_ACCESS)))
    return tuple(peer for peer in every if peer.pvs)[:MOST]


def _of_channel_access(text: str) -> Iterator[Peer]:
    peer: Peer | None = None
    for line in text.splitlines():
        if found := _CA_CLIENT.search(line):
            yield from filter(None, [peer])
            peer = Peer("CA", found[1].rstrip(":").removesuffix("'"))
        elif peer is None:
            continue
        elif found := _CA_PV.match(line):
            peer = _with(peer, found[1])
        elif (found := _CA_USER.match(line)) and not peer.pvs:
            peer = replace(peer, user=found[1])
        else:
            yield peer
            peer = None
    yield from filter(None, [peer])


def _of_pv_access(text: str) -> Iterator[Peer]:
    peer: Peer | None = None
    for line in text.splitlines():
        if found := _PVA_CLIENT.match(line):
            yield from filter(None, [peer])
            peer = Peer("PVA", found[1])
        elif peer and (found := _PVA_PV.match(line)):
            peer = _with(replace(peer, user=found[1] or peer.user), found[2])
    yield from filter(None, [peer])


def _with(peer: Peer, pv: str) -> Peer:
    known = pv in peer.pvs or len(peer.pvs) >= MOST
    return peer if known else replace(peer, pvs=(*peer.pvs, pv))


def describe(found: tuple[Peer, ...]) -> str:
    """Such as `2 clients: ada at 10.0.0.5:4242 (CA, 3 PVs, first B1:FAULT)`, the first ten of them."""
    named = [
        f"{one.user or 'somebody'} at {one.host} ({one.protocol}, {counted(len(one.pvs), 'PV')}, first {one.pvs[0]})"
        for one in found[:10]
    ]
    more = f", and {len(found) - 10} more" if len(found) > 10 else ""
    return f"{counted(len(found), 'client')}: {'; '.join(named)}{more}" if found else "no client is connected"
