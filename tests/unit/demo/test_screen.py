"""The demo does not print what is not true: a number as if nothing were wrong ends it."""

from __future__ import annotations

import math
import re
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from beampermit.demo.control_room import ControlRoom
from beampermit.demo.screen import Screen, Shown
from beampermit.demo.stage import Stage
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
    assert one.brief == re.sub("held, because .*\\)", "held)", words)


@pytest.fixture(scope="module")
def service(epics: Network) -> Iterator[Ioc]:
    """What a service might show, true or not."""
    texts = {"P:REASON": {"nt": "s", "value": "B1:TBT is NaN"}, "P:VERSION": {"nt": "d", "value": 1.0}}
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
    shown, *told = screen.judge(goes_on)
    assert str(shown) == str(Shown(*disturbed))
    assert told == [
        f"B1:FAULT is {Shown(*disturbed)}, B2:FAULT is {Shown(*other)}; B1:TBT is NaN",
        untrue,
    ]
    assert screen.is_well() is (disturbed == other == ANSWER)


@pytest.fixture
def room(screen: Screen, service: Ioc) -> ControlRoom:
    """Its service is `service`, and all is well."""
    room = ControlRoom()
    room._screen = screen
    room._service = cast(Any, SimpleNamespace(poll=lambda: None))
    show(service, PV, *ANSWER)
    show(service, OTHER, *ANSWER)
    return room


@pytest.mark.parametrize(("wrong", "words"), [(HELD, "0.250 MAJOR (held)"), (NONE, "INVALID (B1:TBT is NaN)")])
def test_a_fault_is_told_with_what_shows_before_it_meanwhile_and_after_it(
    room: ControlRoom, service: Ioc, tmp_path: Path, wrong: Any, words: str
) -> None:
    said: list[str] = []
    begin, end = lambda: show(service, PV, *wrong), lambda: show(service, PV, 0.95, 2, "HIHI")
    stage = Stage(tmp_path, lambda line, *_: said.append(line))
    told = room._say(stage, "an input is NaN", begin, "NaN", end, other_goes_on=True)
    assert told == f"an input is NaN: 0.250 → {words} → 0.950 MAJOR (HIHI)"
    assert said == [f"$ # an input is NaN: B1:FAULT is {Shown(*wrong)}, B2:FAULT is 0.250; B1:TBT is NaN"]


def test_a_switch_is_told_with_what_each_version_answers(
    room: ControlRoom, service: Ioc, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def roll_back(_: Stage, *words: str) -> None:
        version = int(words[2])
        show(service, PV, version / 10, 0, "")
        service.set("P:VERSION", float(version))

    monkeypatch.setattr(Stage, "beampermit", roll_back)
    monkeypatch.setattr(room, "_longest_gap", lambda *_: 0.31)
    assert room.switch(Stage(tmp_path)) == (
        "version 1 → 2 → 1: B1:FAULT is 0.250 → 0.200 → 0.100; the longest time between two updates was 0.3 s"
    )
