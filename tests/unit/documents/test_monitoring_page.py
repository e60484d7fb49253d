"""The monitor's page says what is wrong, since when, how bad, what to do and whom to call."""

from __future__ import annotations

from typing import Any

import pytest

from beampermit.contract import parse_contract
from beampermit.documents.local_time import local_moment
from beampermit.documents.monitoring_guide import GUIDES
from beampermit.documents.monitoring_page import headline, monitoring_page
from beampermit.verdicts.monitoring import Level, Picture, Reading, Result, Standing, Window

AT = 1_795_000_000.0


def standing(level: Level, subject: str = "turns.std", check: str = "MON001", **others: Any) -> Standing:
    reading = Reading(check=check, subject=subject, value=1.5, limit=0.5, detail="twice as wide")
    return Standing(reading=reading, level=level, since=AT - 7200, **others)


def result(*standings: Standing, version: int = 3) -> Result:
    window = Window(since=AT - 3600, until=AT, rows=60, version=version)
    return Result(model="bpm-faults", at=AT, window=window, standings=standings, drift=3.0)


@pytest.mark.slow
def test_the_page_of_an_alarm_has_what_an_operator_needs(contract_text: str) -> None:
    contract = parse_contract(contract_text)
    picture = Picture(subject="turns.std", edges=(0.0, 1.0, 3.0), reference=(0.5, 0.5), window=(0.0, 1.0))
    made = monitoring_page(result(standing("MAJOR"), standing("NO_ALARM", "turns.mean")), contract, [picture])
    for part in (
        "1 alarm, the worst is MAJOR",
        "2026-11-18 09:06:40 UTC",  # since
        "60 rows from 2026-11-18 10:06:40 UTC to 2026-11-18 11:06:40 UTC. Written at 2026-11-18 11:06:40 UTC; ",
        "1.5, 3 times its limit of 0.5",
        "twice as wide",
        "BPM-FAULTS:MON001",
        contract.operations.on_call,
        "beampermit bypass MON001 --subject turns.std --until 8h --reason WHY",
        "data:image/svg+xml",
    ):
        assert part in made, part
    other = monitoring_page(result(standing("MINOR", check="MON006")), contract)
    assert GUIDES["MON006"].steps[0].split("`")[0].split("(")[0].strip() in other
    steps = next(alarm.action for alarm in contract.operations.alarms if "drift" in alarm.raised_by)
    assert steps[0].split("`")[0] in made


def test_times_are_those_of_the_control_room_and_utc(contract_text: str) -> None:
    contract = parse_contract(contract_text)
    operations = contract.operations.model_copy(update={"time_zone": "America/Chicago"})
    contract = contract.model_copy(update={"operations": operations})
    said = {"bypassed_until": AT + 60, "bypassed_by": "Ada", "bypass_reason": "water is off"}
    made = monitoring_page(result(standing("MAJOR", **said)), contract)
    assert "2026-11-18 03:06 CST (2026-11-18 09:06:40 UTC)" in made, "since"
    assert "until 2026-11-18 05:07 CST (2026-11-18 11:07:40 UTC) by Ada" in made
    assert "Written at 2026-11-18 05:06 CST (2026-11-18 11:06:40 UTC); the next" in made
    assert local_moment(AT, "Europe/Nowhere") == "2026-11-18 11:06:40 UTC"
    assert local_moment(1e300, "America/Chicago") == "a time that no clock shows"


def test_a_quiet_page_has_neither_steps_nor_drawings(contract_text: str) -> None:
    made = monitoring_page(result(standing("NO_ALARM")), parse_contract(contract_text))
    assert "nothing is in alarm" in made
    assert "What to do" not in made
    assert "<img" not in made


def test_what_is_bypassed_is_there_and_says_so(contract_text: str) -> None:
    said = {"bypassed_until": AT + 60, "bypassed_by": "Ada", "bypass_reason": "water is off"}
    shown = result(standing("MAJOR", **said))
    assert headline(shown) == "nothing is in alarm; 1 alarm bypassed"
    assert "by Ada: water is off" in monitoring_page(shown, parse_contract(contract_text))


@pytest.mark.parametrize("hostile", ["<script>alert(1)</script>", "| x | [a](javascript:b) ```"])
def test_text_of_a_log_cannot_make_markup(contract_text: str, hostile: str) -> None:
    one = standing("MAJOR", bypassed_by=hostile, bypass_reason=hostile, bypassed_until=AT + 1)
    reading = one.reading.model_copy(update={"detail": hostile, "subject": hostile})
    made = monitoring_page(result(one.model_copy(update={"reading": reading})), parse_contract(contract_text))
    assert "<script" not in made
    assert "href=" not in made.split("What to do")[0].split("</style>")[1]


def test_without_a_version_the_page_says_that_nothing_is_watched() -> None:
    assert "No version is in service" in monitoring_page(result(version=0), None)
