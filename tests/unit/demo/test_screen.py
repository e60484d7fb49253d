"""The demo does not print what is not true: a number as if nothing were wrong ends it."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import pytest

from beampermit.demo.screen import Screen, Shown
from support.epics import Ioc, Network, epics, pva_server

__all__ = ["epics"]
PV, OTHER = "B1:FAULT", "B2:FAULT"
ANSWER = (0.25, 0, "")
HELD = (0.25, 2, "held, because B1:TBT is NaN")
NONE = (math.nan, 3, "B1:TBT is NaN")


@pytest.mark.parametrize(
    ("shown", "answer", "why_not", "words"),
    [
        (ANSWER, True, False, "0.250"),
        ((0.95, 2, "HIHI"), True, False, "0.950 MAJOR (HIHI)"),
        (HELD, False, True, "0.250 MAJOR (held, because B1:TBT is NaN)"),
        (NONE, False, True, "INVALID (B1:TBT is NaN)"),
        ((0.25, 0, HELD[2]), False, False, "0.250 (held, because B1:TBT is NaN)"),
        ((0.25, 3, "B1:TBT is NaN"), False, False, "0.250 INVALID (B1:TBT is NaN)"),
        ((math.nan, 2, "B1:TBT is NaN"), False, False, "MAJOR (B1:TBT is NaN)"),
        ((math.nan, 3, ""), False, False, "INVALID"),
        ((0.25, 2, "held, because "), False, False, "0.250 MAJOR (held, because )"),
    ],
)
def test_what_is_an_answer_and_what_says_why_there_is_none(
    shown: tuple[float, int, str], answer: bool, why_not: bool, words: str
) -> None:
    one = Shown(*shown)
    assert (one.is_answer, one.says_why_not, str(one)) == (answer, why_not, words)


@pytest.fixture(scope="module")
def service(epics: Network) -> Iterator[Ioc]:
    """What a service might show, true or not."""
    texts = {"P:REASON": {"nt": "s", "value": "B1:TBT is NaN"}}
    with pva_server(epics, {**{pv: {"nt": "d", "value": 0.0} for pv in (PV, OTHER)}, **texts}) as ioc:
        yield ioc


@pytest.fixture(scope="module")
def screen(epics: Network, service: Ioc) -> Iterator[Screen]:
    with closing(Screen(epics, "P", PV, OTHER)) as made:
        while not made.connect():
            assert service.pid
        yield made


def show(service: Ioc, pv: str, value: float, severity: int, message: str) -> None:
    service.set(pv, value, severity=severity, message=message, timestamp=time.time())


@pytest.mark.parametrize(
    ("disturbed", "other", "goes_on", "untrue"),
    [
        (HELD, ANSWER, True, ""),
        (NONE, ANSWER, True, ""),
        (HELD, HELD, False, ""),
        (ANSWER, ANSWER, True, "B1:FAULT is 0.250, as if nothing were wrong"),
        (HELD, HELD, True, "B2:FAULT is 0.250 MAJOR (held, because B1:TBT is NaN), though its inputs are good"),
        (NONE, ANSWER, False, "B2:FAULT is 0.250, as if nothing were wrong"),
    ],
)
def test_outputs_are_judged_by_value_and_severity(
    screen: Screen, service: Ioc, disturbed: Any, other: Any, goes_on: bool, untrue: str
) -> None:
    show(service, PV, *disturbed)
    show(service, OTHER, *other)
    assert screen.judge(goes_on) == (
        f"B1:FAULT is {Shown(*disturbed)}, B2:FAULT is {Shown(*other)}; B1:TBT is NaN",
        untrue,
    )
    assert screen.is_well() is (disturbed == other == ANSWER)
