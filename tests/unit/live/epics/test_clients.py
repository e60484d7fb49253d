"""What aioca, caproto and pvapy read of the service's records: nobody of them shares a line with what serves."""

from __future__ import annotations

import getpass
import math
from typing import Any

import pytest

from support.epics import Client
from support.served import NOW
from support.served_records import ORBIT, SCORE, UNTOUCHED, Records, aioca, alarm, caproto, pvapy, served, start

__all__ = ["aioca", "caproto", "pvapy", "served", "start"]
INVALID, MAJOR, MINOR = 3, 2, 1
LINK, CALC = 14, 12
KINDS = ("aioca", "caproto", "pvapy")


@pytest.fixture(params=KINDS)
def one(request: pytest.FixtureRequest) -> Client:
    """Each of the three."""
    return request.getfixturevalue(request.param)


def status(read: dict[str, Any]) -> int | str:
    """Of CA a number; PVA has kinds of status of its own, and the words of the message."""
    return read.get("message", read["status"])


def test_value_severity_status_and_time(served: Records, one: Client) -> None:
    served.show(SCORE, 12.5, time=NOW + 0.25)
    read = one.get(SCORE)
    assert (read["value"], read["timestamp"], *alarm(read)) == (12.5, NOW + 0.25, 0, 0)
    message = "held, because B1:TBT is disconnected"
    served.show(SCORE, 12.5, time=NOW + 1, severity="MAJOR", status="LINK", message=message)
    read = one.get(SCORE)
    assert (read["value"], read["timestamp"], read["severity"]) == (12.5, NOW + 1, MAJOR)
    assert status(read) in (LINK, message)


def test_what_is_no_number_is_invalid(served: Records, one: Client) -> None:
    message = "the model gave NaN for score"
    served.show(SCORE, math.nan, severity="INVALID", status="CALC", message=message, time=NOW + 2)
    read = one.get(SCORE)
    assert math.isnan(read["value"])
    assert (read["timestamp"], read["severity"]) == (NOW + 2, INVALID)
    assert status(read) in (CALC, message)


def test_units_precision_and_limits_of_a_scalar(served: Records, one: Client) -> None:
    read = one.get(UNTOUCHED)
    assert (read["unit"], read["precision"]) == ("um2", 2)
    limits = {"high": 50.0, "hihi": 90.0, "display_low": -100.0, "display_high": 100.0}
    assert {key: read["limits"][key] for key in limits} == limits
    assert all(math.isnan(read["limits"][key]) for key in ("lolo", "low")), "none is set"


def test_arrays_are_flattened_row_after_row(served: Records, one: Client) -> None:
    message = "B1:TBT has severity MINOR"
    served.show(ORBIT, [1.0, 2.0, 3.0], time=NOW, severity="MINOR", status="LINK", message=message)
    served.show("B1:IMAGE", [[1, 2, 3], [4, 5, 6]], time=NOW + 1)
    read, image = one.get(ORBIT), one.get("B1:IMAGE")
    assert (read["value"], read["severity"], read["timestamp"]) == ([1.0, 2.0, 3.0], MINOR, NOW)
    assert status(read) in (LINK, message)
    assert (read["unit"], read["precision"]) == ("mm", 3)
    assert [read["limits"][key] for key in ("display_low", "display_high")] == [-40.0, 40.0]
    assert (image["value"], image["timestamp"], *alarm(image)) == ([1.0, 2.0, 3.0, 4.0, 5.0, 6.0], NOW + 1, 0, 0)


def test_an_array_of_which_nothing_true_can_be_said_is_all_nan(served: Records, one: Client) -> None:
    served.show(ORBIT, [math.nan] * 3, severity="INVALID", status="LINK", message="B1:TBT is disconnected", time=NOW)
    read = one.get(ORBIT)
    assert len(read["value"]) == 3
    assert all(math.isnan(number) for number in read["value"])
    assert read["severity"] == INVALID


def test_what_a_client_of_ca_sees_beside_the_value(served: Records, aioca: Client) -> None:
    served.show(ORBIT, [math.nan] * 3, severity="INVALID", status="LINK")
    assert aioca.get(f"{ORBIT}.UDF")["value"] == 1
    assert [aioca.get(f"{UNTOUCHED}.{field}")["value"] for field in ("HHSV", "HSV", "LSV", "LLSV")] == [2, 1, 0, 0]


@pytest.mark.slow
def test_what_a_client_of_pva_sees_beside_the_value(served: Records, pvapy: Client) -> None:
    assert pvapy.get(UNTOUCHED)["fields"]["display"]["description"] == "Fault score - of a beam position moni..."


@pytest.mark.slow
def test_who_is_connected_is_named_with_protocol_host_and_user(served: Records, aioca: Client, pvapy: Client) -> None:
    aioca.get(SCORE)
    pvapy.get(UNTOUCHED)
    found = {one["protocol"]: one for one in served.ask(clients=None)}
    assert SCORE in found["CA"]["pvs"]
    assert UNTOUCHED in found["PVA"]["pvs"]
    for peer in found.values():
        assert peer["host"].startswith("127.0.0.1:")
        assert peer["user"] == getpass.getuser()
