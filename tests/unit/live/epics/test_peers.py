"""Who is connected, read from the reports of the servers for CA and PVA."""

from __future__ import annotations

from typing import Any

import pytest

from beampermit.live.epics.peers import PV_ACCESS, Peer, describe, peers

CA = """\
Channel Access Server V4.13
2 clients connected:
    TCP client at 10.0.0.5:42642 'console2':
\tUser 'ada', V4.13, Priority = 0, 2 Channels
        Channel: 'B1:FAULT'
        Channel: 'B2:FAULT'
    TCP client at 10.0.0.6:42643 'gateway':
\tUser 'gateway', V4.13, Priority = 0, 0 Channels
CAS-TCP server on 127.0.0.1:25064 with
    CAS-UDP unicast name server on 127.0.0.1:25064
\tLast name requested by 0.0.0.0:0:
\tUser '', V4.0, Priority = 0, 0 Channels
        Channel: 'NONE'
"""
PVA = """\
EPICS_PVAS_SERVER_PORT=25075
Source: qsrvSingle prio=0 IOC
    B1:FAULT
State: Running TCP_Port: 25075 evmethod: epoll
    Peer10.0.0.7:42330 backlog=0 TX=2023 RX=234 auth=ca
ca/bo@10.0.0.7:42330        B1:FAULT TX=1296 RX=92         Executing ioid=268443649 MONITOR
        B2:FAULT TX=648 RX=46         Executing ioid=268443650 MONITOR
        B2:FAULT TX=648 RX=46
    Peer[::1]:42331 backlog=0 TX=0 RX=0 auth=anonymous
anonymous/@[::1]:42331        B1:FAULT TX=1 RX=9
    Peer10.0.0.8:1 backlog=0 TX=0 RX=0
"""
FOUND = (
    Peer("CA", "10.0.0.5:42642", "ada", ("B1:FAULT", "B2:FAULT")),
    Peer("PVA", "10.0.0.7:42330", "bo", ("B1:FAULT", "B2:FAULT")),
    Peer("PVA", "[::1]:42331", "", ("B1:FAULT",)),
)


def _report(ca: str = CA, pva: str = PVA) -> Any:
    return lambda command: pva if command == PV_ACCESS else ca


def test_each_client_is_named_with_its_pvs() -> None:
    assert peers(_report()) == FOUND
    assert describe(FOUND).startswith("3 clients: ada at 10.0.0.5:42642 (CA, 2 PVs, first B1:FAULT); bo at ")
    assert "somebody at [::1]:42331" in describe(FOUND)


def test_many_are_counted_and_the_first_named() -> None:
    assert describe(FOUND[:1] * 12).endswith("; ada at 10.0.0.5:42642 (CA, 2 PVs, first B1:FAULT), and 2 more")


@pytest.mark.parametrize(
    "text", ["", "\x00\xff", "    Peer", "TCP client at ", "Channel: 'X'\n\tUser 'a', V", "a\n" * 9]
)
def test_nothing_that_can_be_read_is_nobody(text: str) -> None:
    assert peers(_report(text, text)) == ()
    assert describe(()) == "no client is connected"
