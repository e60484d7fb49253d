"""Second servers of a PV, on real IOCs; a hostile answer is none."""

from __future__ import annotations

import struct

import pytest

from beampermit.inventory.search import CA_VERSION, Target, _Ca, _distinct, _Pva, find_servers
from support.epics import Network, epics, pva_server, soft_ioc

__all__ = ["epics"]


@pytest.mark.slow
def test_two_servers_of_one_pv_are_found_and_one_is_none(epics: Network) -> None:
    one, other = {"A:X": 1.0, "A:Y": 2.0}, {"A:X": 1.0}
    by_pva = {"A:X": {"nt": "d", "value": 1.0}, "A:P": {"nt": "d", "value": 1.0}}
    with soft_ioc(epics, one):
        assert {name: len(servers) for name, servers in find_servers(["A:X", "A:Y", "A:Z"], 0.5).items()} == {
            "A:X": 1,
            "A:Y": 1,
        }
        with soft_ioc(epics, other):
            found = find_servers(["A:X", "A:Y", "A:Z"], 0.5)
            assert {name: len(servers) for name, servers in found.items()} == {"A:X": 2, "A:Y": 1}
        with pva_server(epics, by_pva):
            found = find_servers(["A:X", "A:P"], 0.5)
            assert {name: len(servers) for name, servers in found.items()} == {"A:X": 2, "A:P": 1}


@pytest.mark.slow
def test_many_names_go_into_packets_that_fit(epics: Network) -> None:
    names = [f"MACHINE:DEVICE{number:04}:FAULT" for number in range(300)]
    for protocol in (_Pva(names), _Ca(names)):
        packets = list(protocol.packets(Target("127.0.0.1", 1, True), 0, 5))
        assert len(packets) < 20
        assert max(map(len, packets)) < 1400
    with soft_ioc(epics, {names[0]: 1.0, names[-1]: 1.0}):
        assert find_servers(names, 0.5).keys() == {names[0], names[-1]}


@pytest.mark.parametrize(
    ("servers", "count"),
    [
        ({(0, "10.0.0.5", 5064)}, 1),
        ({(0, "10.0.0.5", 5064), (1, "10.1.0.5", 5064)}, 1),  # may be one server with two networks
        ({(0, "10.0.0.5", 5064), (0, "10.0.0.6", 5064)}, 2),
        ({(0, "10.0.0.5", 5064), (1, "10.1.0.5", 40001)}, 2),
        ({(0, "10.0.0.5", 5064), (0, "10.0.0.6", 5064), (1, "10.1.0.5", 5064)}, 2),
    ],
)
def test_a_server_with_two_networks_is_one_over_ca(servers: set[tuple[int, str, int]], count: int) -> None:
    assert len(_distinct(servers)) == count


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\xca\x02\x00\x04",
        b"\xca\x02\x40\x04" + b"\0" * 38 + b"\xff",
        struct.pack("<BBBBI12sI16xHB3sBHI", 0xCA, 2, 0x40, 4, 40, b"g" * 12, 0, 5075, 3, b"tcp", 1, 1, 77),
        struct.pack("<BBBBI12sI16xHB3sBHI", 0xCA, 2, 0x40, 4, 40, b"g" * 12, 0, 5075, 3, b"tcp", 1, 60000, 0),
    ],
)
def test_what_is_no_answer_of_pva_names_no_server(content: bytes) -> None:
    asked = _Pva(["A:X"])
    try:
        asked.take(content, "10.0.0.5")
    except (struct.error, IndexError, ValueError):
        return
    assert asked.found() == {}


def test_answers_of_ca_have_the_address_that_the_server_names() -> None:
    asked = _Ca(["A:X", "A:Y"])
    said = CA_VERSION + struct.pack(">HHHHII", 6, 8, 5064, 0, 0xFFFFFFFF, 0) + b"\0" * 8
    asked.take(said + struct.pack(">HHHHII", 6, 0, 5064, 0, 0x0A000007, 3), "10.0.0.5")
    asked.take(b"\0" * 7, "10.0.0.5")
    assert asked.found() == {"A:X": ("10.0.0.5:5064",), "A:Y": ("10.0.0.7:5064",)}
