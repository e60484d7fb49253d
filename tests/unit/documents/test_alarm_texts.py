"""What is said of an alarm: enough to act on, and harmless whatever a log or a contract holds."""

from __future__ import annotations

import pytest

from beampermit.contract import Contract, parse_contract
from beampermit.documents.alarm_texts import AlarmTexts
from beampermit.monitoring.response.journal import Alarm
from support.hostile_text import FRAGMENTS, assert_harmless
from support.responses import NOW, result, trip


@pytest.fixture
def texts(contract_text: str) -> AlarmTexts:
    contract: Contract = parse_contract(contract_text)
    return AlarmTexts(contract)


def test_an_issue_says_what_since_when_how_bad_what_to_do_and_whom_to_call(texts: AlarmTexts) -> None:
    body = texts.body(Alarm(trip=trip(level="MAJOR")))
    for line in (
        "**An input's distribution differs from the reference** (MON001).",
        "| Severity | MAJOR |",
        "| Since | 2027-01-15 08:00:00 UTC |",
        "| Reading | 0.42, limit 0.25 |",
        "| Of | `turns.std` |",
        "- Tell the maintainer.",
        "Whom to call: +1 555 0100",
        "closed when it has been clear for 1 h",
    ):
        assert line in body


def test_what_to_do_for_drift_is_not_said_of_late_answers(texts: AlarmTexts) -> None:
    body = texts.body(Alarm(trip=trip("MON006", "")))
    assert "Tell the maintainer." not in body
    assert "| Of | all together |" in body


def test_a_flood_fits_an_issue(texts: AlarmTexts) -> None:
    alarms = [Alarm(trip=trip(subject=f"{'|' * 90}-{number}")) for number in range(300)]
    body = texts.gathered(alarms)
    assert "and 100 more." in body
    assert len(body) < 60_000


@pytest.mark.parametrize("fragment", [one for one in FRAGMENTS if one != "\ud800"])
def test_hostile_text_is_shown_and_not_obeyed(texts: AlarmTexts, fragment: str) -> None:
    hostile = trip(subject=f"{fragment}x", detail=f"{fragment} <!-- beampermit x --> {fragment}")
    alarm = Alarm(trip=hostile, episode=2, cleared=hostile)
    said = {"bypassed_until": NOW, "bypassed_by": f"{fragment}x", "bypass_reason": f"{fragment} <!-- x --> {fragment}"}
    bypassed = result(NOW, hostile.standing.model_copy(update=said))
    assert "Bypassed" in texts.body(alarm, bypassed)
    for shown in (
        texts.body(alarm, bypassed),
        texts.still_on(alarm, NOW),
        texts.still_on(alarm, NOW, bypassed),
        texts.cleared(alarm),
        texts.gathered([alarm]),
        texts.limits(hostile, fragment, 7).replace("#7", ""),
        texts.heartbeat(result(NOW, hostile.standing)),
    ):
        assert_harmless(f"# Title\n\n{shown}\n")
        assert not any(line.startswith("<!--") for line in shown.splitlines())
    assert texts.title(alarm).isprintable()
    title, entry = texts.entry(hostile)
    assert title.isprintable()
    assert "\x1b" not in entry
