"""Limits that operators changed: judged, kept, taken up again, and dropped with the next promotion."""

from __future__ import annotations

import json
import logging
import math
import threading
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from beampermit.live.epics import changed_limits
from beampermit.live.epics.changed_limits import FILE, ChangedLimits
from beampermit.live.epics.puts import Put
from beampermit.live.epics.records import Records
from beampermit.live.limits import Limits
from beampermit.live.wiring import Wiring, wire
from support.served import served_contract

PV = "B1:FAULT"


@pytest.fixture
def wiring(tmp_path: Path, contract_text: str) -> Wiring:
    """One device whose score has high 50 and hihi 90, in a range of -100 to 100."""
    (tmp_path / "devices.csv").write_text("device\nB1\n")
    return wire(served_contract(contract_text), tmp_path)


Begin = Callable[..., tuple[ChangedLimits, Limits]]


@pytest.fixture
def begin(wiring: Wiring, tmp_path: Path) -> Begin:
    """A process of the service."""

    def made(promotion: str = "first") -> tuple[ChangedLimits, Limits]:
        limits = Limits(wiring)
        return ChangedLimits(wiring, limits, promotion, tmp_path), limits

    return made


def change(changed: ChangedLimits) -> str:
    refused = changed.set(PV, "hihi", 99.0)
    changed.keep()
    return refused


def test_outputs_do_not_wait_for_the_disk_that_keeps_a_limit(begin: Begin, monkeypatch: pytest.MonkeyPatch) -> None:
    changed, waited, lock = begin()[0], list[bool](), threading.Lock()
    monkeypatch.setattr(changed_limits, "write_text", lambda *_: waited.append(lock.locked()))
    put = Put("ada", "10.0.0.5", PV, "HIHI", 90.0, 99.0)
    records: Any = SimpleNamespace(
        _lock=lock,
        _changed=changed,
        _shown={PV: None},
        _contract=None,
        _judge_limit=lambda put: "" if lock.locked() and not changed.set(PV, "hihi", put.new) else "not judged",
    )
    monkeypatch.setattr("beampermit.live.epics.records.status_pv", lambda *_: "RESTART")
    assert Records._judge(records, put) == ""
    assert waited == [False]


def test_limits_that_were_moved_together_are_taken_up_together(begin: Begin) -> None:
    changed, limits = begin()
    assert [changed.set(PV, "hihi", 99.0), changed.set(PV, "high", 95.0), changed.set(PV, "low", 60.0)] == ["", "", ""]
    changed.keep()
    assert limits.of(PV) == {"low": 60.0, "high": 95.0, "hihi": 99.0}
    assert begin()[1].of(PV) == limits.of(PV)


def test_another_promotion_drops_them_for_good(begin: Begin, tmp_path: Path) -> None:
    change(begin()[0])
    assert begin("second")[1].of(PV) == {"high": 50.0, "hihi": 90.0}
    assert not (tmp_path / FILE).exists()
    assert begin("first")[1].of(PV) == {"high": 50.0, "hihi": 90.0}


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("high", 90.0, ""),
        ("high", 90.1, "alarm limits must rise: LOLO, LOW, HIGH, HIHI"),
        ("hihi", 100.0, ""),
        ("hihi", 100.1, "100.1 is outside the output's range [-100, 100], where it is never shown"),
        ("lolo", -100.1, "-100.1 is outside the output's range [-100, 100], where it is never shown"),
        ("lolo", 50.1, "alarm limits must rise: LOLO, LOW, HIGH, HIHI"),
        ("hihi", math.nan, "a limit is a number"),
        ("hihi", math.inf, "a limit is a number"),
    ],
)
def test_a_limit_has_to_be_a_limit(begin: Begin, tmp_path: Path, name: str, value: float, said: str) -> None:
    changed, limits = begin()
    before = limits.of(PV)
    assert changed.set(PV, name, value) == said
    assert limits.of(PV) == (before if said else {**before, name: value})
    changed.keep()
    kept = json.loads((tmp_path / FILE).read_text())["limits"]
    assert kept == ({} if said else {PV: {name: value}})


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("{", "cannot be read, so the contract's limits hold"),
        ('{"promotion": "first", "limits": {"B1:FAULT": {"hhi": 1}}}', "cannot be read, so the contract's limits hold"),
        ('{"promotion": "first", "limits": {"B1:FAULT": {"hihi": 200}}}', "B1:FAULT are dropped: 200 is outside"),
        (
            '{"promotion": "first", "limits": {"B1:FAULT": {"high": 95}}}',
            "B1:FAULT are dropped: alarm limits must rise",
        ),
        ('{"promotion": "first", "limits": {"B9:FAULT": {"hihi": 95}}}', "B9:FAULT are dropped: the model has no such"),
    ],
)
def test_what_is_kept_is_judged_again(
    begin: Begin, tmp_path: Path, caplog: pytest.LogCaptureFixture, content: str, said: str
) -> None:
    (tmp_path / FILE).write_text(content)
    assert begin()[1].of(PV) == {"high": 50.0, "hihi": 90.0}
    assert said in caplog.text


def test_a_disk_that_keeps_nothing_is_told_and_the_limit_holds(
    begin: Begin, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / FILE).mkdir()
    with caplog.at_level(logging.ERROR):
        changed, limits = begin()
        assert change(changed) == ""
    assert limits.of(PV)["hihi"] == 99.0
    assert "changed limits will not outlive a restart" in caplog.text


def test_the_file_is_json(begin: Begin, tmp_path: Path) -> None:
    change(begin()[0])
    kept = json.loads((tmp_path / FILE).read_text())
    assert kept == {"promotion": "first", "limits": {PV: {"hihi": 99.0}}}
