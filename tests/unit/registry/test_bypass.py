"""An alarm is bypassed until a time, by name and reason; it ends by itself, and no line makes it last longer."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from beampermit.contract.causes import checks_of
from beampermit.documents.history import render_history
from beampermit.errors import BadInput, BeampermitError, Conflict
from beampermit.project import Project
from beampermit.registry.bypass_subjects import require_subject, subjects_of
from beampermit.registry.bypasses import find_bypass
from beampermit.registry.bypassing import bypass, end_bypass
from beampermit.registry.event import Event, written
from beampermit.registry.ledger import Ledger
from beampermit.registry.ledger_state import LedgerState, ModelState, format_line, parse_lines
from beampermit.registry.moments import parse_moment
from support.forked_commands import beampermit
from support.registry_project import append_promotion

NOW = datetime(2026, 11, 23, 9, tzinfo=UTC)
HOUR, DAY = timedelta(hours=1), timedelta(days=1)
Make = Callable[..., Event]


@pytest.fixture
def said(event: Make) -> Callable[..., ModelState]:
    """The state after a promotion and bypasses, as read from the lines of a ledger."""

    def state(*lines: dict[str, str]) -> ModelState:
        events = [event(), *(_bypassed(event, line, number) for number, line in enumerate(lines, 2))]
        return parse_lines("".join(map(format_line, events))).state("bpm-faults")

    return state


def _bypassed(event: Make, line: dict[str, str], number: int) -> Event:
    own = {"alarm": "MON001", "at": "2026-11-23T09:00:00Z", "until": "2026-11-23T17:00:00Z", **line}
    return event(event="bypass", sequence=number, expected=1, reason="a test of the monitors", **own)


def test_a_bypass_is_in_force_from_its_line_to_its_end(said: Callable[..., ModelState]) -> None:
    state = said({})
    (found,) = state.bypasses(NOW)
    assert (found.name, found.by, found.reason) == (
        "MON001",
        "Ada Operator <ada@lab.example>",
        "a test of the monitors",
    )
    second = timedelta(seconds=1)
    # Clocks may be ten minutes apart.
    for at, there in ((-601, 0), (-600, 1), (8 * 3600 - 1, 1), (8 * 3600, 0)):
        assert len(state.bypasses(NOW + at * second)) == there, at


def test_no_line_makes_it_last_longer_than_the_contract_allows(said: Callable[..., ModelState]) -> None:
    state = said({"until": "9999-12-31T23:59:59Z"})
    second = timedelta(seconds=1)
    assert state.bypasses(NOW + 7 * DAY - second)
    assert not state.bypasses(NOW + 7 * DAY)
    assert not state.bypasses(NOW + DAY, at_most=86400)
    # A line dated in the future, or before all time, bypasses nothing now.
    assert not said({"at": "9999-12-30T00:00:00Z", "until": "9999-12-31T23:59:59Z"}).bypasses(NOW)
    assert not said({"at": "0001-01-01T00:00:00Z", "until": "9999-12-31T23:59:59Z"}).bypasses(NOW)


def test_several_are_in_force_at_once_and_each_ends_alone(said: Callable[..., ModelState]) -> None:
    state = said(
        {},
        {"subject": "turns.std", "until": "2026-11-23T12:00:00Z"},
        {"alarm": "score.high"},
        {"alarm": "MON003"},
        {"alarm": "MON003", "at": "2026-11-23T09:30:00Z", "until": "2026-11-23T09:30:00Z"},
    )
    assert [one.name for one in state.bypasses(NOW + HOUR)] == ["MON001", "MON001 turns.std", "score.high"]
    assert [one.name for one in state.bypasses(NOW + 3 * HOUR)] == ["MON001", "score.high"]
    found = state.bypasses(NOW + HOUR)
    for alarm, subject, name in (
        ("MON001", "turns.std", "MON001"),
        ("MON001", "current", "MON001"),
        ("score.high", "", "score.high"),
        ("MON002", "", None),
        ("MON003", "", None),
    ):
        one = find_bypass(found, alarm, subject)
        assert (one.name if one else None) == name
    assert find_bypass(said({"subject": "turns.std"}).bypasses(NOW), "MON001") is None
    # A signal stands for all that is measured of it, and for no other that begins as it does.
    turns = said({"subject": "turns"}).bypasses(NOW)
    every = ("turns", "turns.std", "turns.missing", "turns2", "turns2.std", "current", "")
    assert [bool(find_bypass(turns, "MON001", subject)) for subject in every] == [1, 1, 1, 0, 0, 0, 0]
    drift = said({"alarm": "drift"}).bypasses(NOW)
    assert [bool(find_bypass(drift, check, "turns.std")) for check in ("MON001", "MON002", "MON003")] == [1, 1, 0]


def test_the_last_line_of_an_alarm_counts_whatever_the_clocks_said(said: Callable[..., ModelState]) -> None:
    """The clock of whoever ended it is behind."""
    ended = {"at": "2026-11-23T08:58:00Z", "until": "2026-11-23T08:58:00Z"}
    assert not said({}, ended).bypasses(NOW + HOUR)
    assert said({}, ended, {"at": "2026-11-23T09:10:00Z"}).bypasses(NOW + HOUR)


DEFECTS = {
    "no alarm": ({"alarm": None}, "a bypass needs an alarm"),
    "no end": ({"until": None}, "a bypass needs an alarm, and a time"),
    "an end before it began": ({"until": "2026-11-23T08:59:59Z"}, "a bypass needs an alarm, and a time"),
    "a time without a zone": ({"until": "2026-11-23T17:00:00"}, "until: String should match"),
    "a day that there is not": ({"until": "2026-02-31T17:00:00Z"}, "until"),
    "an alarm that is a command": ({"alarm": "MON001\n; reboot"}, "alarm: String should match"),
    "a subject without an end": ({"subject": "x" * 201}, "subject: String should have at most 200"),
    "an alarm of a freeze": ({"event": "freeze", "until": None}, "a freeze has no alarm"),
    "an end of a promotion": ({"event": "promote", "alarm": None}, "a promotion that retires nothing has no until"),
    "another version": ({"version": 4}, "bypasses an alarm of version 4"),
    "another champion": ({"expected": 4}, "expected champion version 4"),
}


@pytest.mark.parametrize("defect", DEFECTS)
def test_a_forged_line_is_refused_with_its_number(event: Make, defect: str) -> None:
    changes, message = DEFECTS[defect]
    first = event()
    own = {"alarm": "MON001", "until": "2026-11-23T17:00:00Z", "at": "2026-11-23T09:00:00Z"}
    forged = {**first.content, "event": "bypass", "sequence": 2, "expected": 1, **own, **changes}
    with pytest.raises(BadInput, match=r"^ledger\.jsonl:2: ") as caught:
        parse_lines(format_line(first) + json.dumps(forged) + "\n")
    assert message in caught.value.message


def test_history_says_what_is_bypassed_and_what_each_line_did(event: Make) -> None:
    until = written(datetime.now(UTC) + HOUR)
    at = written(datetime.now(UTC))
    lines = [{"at": at, "until": until, "subject": "turns.std"}, {"alarm": "score.high", "at": at, "until": at}]
    events = [event(), *(_bypassed(event, line, number) for number, line in enumerate(lines, 2))]
    console = Console(record=True, width=100)
    console.print(render_history(LedgerState.of(events), 100), soft_wrap=True)
    printed = console.export_text()
    assert (
        f"bypassed until {until}: MON001 turns.std, by Ada Operator <ada@lab.example>: a test of the monitors"
        in " ".join(printed.split())
    )
    assert f"       MON001 turns.std until {until}\n" in printed
    assert "       score.high: the bypass is ended\n" in printed


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("8h", NOW + 8 * HOUR),
        ("90 min", NOW + 1.5 * HOUR),
        ("2026-11-24T06:00Z", NOW + 21 * HOUR),
        ("2026-11-24T07:00+01:00", NOW + 21 * HOUR),
        ("2026-11-24T06:00:00.2Z", NOW + 21 * HOUR + timedelta(seconds=1)),
    ],
)
def test_a_time_is_a_duration_or_has_a_zone(text: str, moment: datetime) -> None:
    assert parse_moment(text, "--until", NOW) == moment


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("2026-11-24T06:00", "--until '2026-11-24T06:00' has no time zone"),
        ("2026-11-24", "has no time zone"),
        ("tomorrow", "--until 'tomorrow' is not a time"),
        ("", "is not a time"),
        (f"{'9' * 400}d", "is not a time"),
        ("0001-01-01T00:00+14:00", "is not a time"),
        ("-8h", "is not a time"),
    ],
)
def test_another_time_is_refused(text: str, message: str) -> None:
    with pytest.raises(BadInput, match=r"no(t a)? time") as caught:
        parse_moment(text, "--until", NOW)
    assert message in caught.value.message
    assert "8h" in caught.value.hint


@pytest.fixture
def promoted(ledger: Ledger, project: Project, event: Make, monkeypatch: pytest.MonkeyPatch) -> Ledger:
    """Version 1 in service."""
    for name in ("GITHUB_ACTOR", "GITHUB_RUN_ID"):
        monkeypatch.delenv(name, raising=False)
    append_promotion(ledger, event(commit=project.git.head()))
    return ledger


@pytest.mark.slow
def test_a_bypass_is_appended_made_longer_and_ended(promoted: Ledger, project: Project, other: Ledger) -> None:
    now = datetime.now(UTC)
    first, new = bypass(project, promoted, "MON001", subject="turns", until="8h", reason="a test", now=now)
    assert (new, first.by, first.reason, first.version, first.expected) == (
        True,
        "Ada Operator <ada@lab.example>",
        "a test",
        1,
        1,
    )
    assert bypass(project, promoted, "MON001", subject="turns", until=first.until or "", reason="a test", now=now) == (
        first,
        False,
    )
    bypass(project, promoted, "MON001", subject="turns", until="24h", reason="it takes longer", now=now)
    bypass(project, promoted, "drift", until="24h", reason="all of it", now=now)
    other.fetch()
    state = other.state("bpm-faults")
    assert [one.name for one in state.bypasses(now + 9 * HOUR)] == ["MON001 turns", "drift"]
    with pytest.raises(BadInput, match="MON001 is not bypassed; in force: MON001 turns; drift"):
        end_bypass(project, promoted, "MON001", reason="done", now=now)
    ended, new = end_bypass(project, promoted, "MON001", subject="turns", reason="done", now=now)
    assert (new, ended.until) == (True, ended.at)
    assert end_bypass(project, promoted, "MON001", subject="turns", reason="done", now=now + HOUR) == (ended, False)
    other.fetch()
    assert [one.name for one in other.state("bpm-faults").bypasses(now + HOUR)] == ["drift"]


@pytest.mark.parametrize(
    ("alarm", "subjects"),
    [
        ("MON001", "turns turns.mean turns.std turns.span turns.step"),
        ("MON003", "turns turns.missing turns.outside severity"),
        ("MON004", "score score.flagged"),
        ("MON005", "score score.invalid score.fallback"),
        ("MON007", "score truth"),
        ("MON008", "limits log permit truth"),
        ("drift", "turns turns.mean turns.std turns.span turns.step"),
    ],
)
def test_a_check_has_the_subjects_of_its_signals(project: Project, alarm: str, subjects: str) -> None:
    checks = checks_of(alarm) or (alarm,)
    assert " ".join(one for check in checks for one in subjects_of(check, project.contract)) == subjects
    for subject in ("", *subjects.split()):
        require_subject(alarm, subject, project.contract, project.root)


def test_a_cause_of_an_output_is_bypassed_for_its_pvs_and_devices(project: Project) -> None:
    """The table in service may be another one, so a PV is known by its form."""
    signals = project.contract.signals.model_copy(update={"devices": "devices.csv"})
    contract = project.contract.model_copy(update={"signals": signals})
    (pattern,) = (output.pv for output in signals.outputs)
    pv = re.sub(r"{.*}", "NEW:X", pattern or "")
    require_subject("score.high", "B1:X", contract, project.root)  # nobody can read the table here
    columns = list(dict.fromkeys(re.findall(r"{(.*?)}", " ".join(one.pv or "" for one in signals.inputs))))
    (project.root / "devices.csv").write_text(f"{','.join(columns)}\n{','.join(['B1', 'X'][: len(columns)])}\n")
    name = ":".join(["B1", "X"][: len(columns)])
    for subject in (name, pv):
        require_subject("score.high", subject, contract, project.root)
    for subject in ("C1:X", "B1:X:OTHER"):
        with pytest.raises(BadInput, match=rf"'{subject}' is not a subject of score\.high"):
            require_subject("score.high", subject, contract, project.root)


REFUSED = {
    "an alarm that there is not": ({"alarm": "MON01"}, "'MON01' is not an alarm of bpm-faults; did you mean"),
    "a cause of another model": ({"alarm": "orbit.high"}, "'orbit.high' is not an alarm of bpm-faults"),
    "a moment longer than allowed": ({"until": "169h"}, "a bypass lasts at most 7 d: monitoring.bypass_at_most"),
    "far ahead": ({"until": "9999-12-31T23:59Z"}, "a bypass lasts at most 7 d"),
    "a past time": ({"until": "2020-01-01T00:00Z"}, "is 2020-01-01T00:00:00Z, which is past"),
    "no time zone": ({"until": "2026-11-24T06:00"}, "has no time zone"),
    "no reason": ({"reason": " "}, "a reason is required"),
    "a subject that is misspelled": ({"subject": "trns"}, "'trns' is not a subject of MON001; did you mean 'turns'?"),
    "a subject of another check": ({"subject": "score"}, "'score' is not a subject of MON001"),
    "a subject of all together": ({"alarm": "MON002", "subject": "turns"}, "MON002 is about all together"),
    "a subject of no check of a cause": ({"alarm": "drift", "subject": "score"}, "'score' is not a subject of drift"),
    "a subject with control characters": ({"subject": "a\x1b[2K"}, "--subject is the name"),
}


@pytest.mark.slow
@pytest.mark.parametrize("case", REFUSED)
def test_what_is_refused_leaves_the_ledger_alone(promoted: Ledger, project: Project, case: str) -> None:
    changes, message = REFUSED[case]
    words = {"alarm": "MON001", "until": "7d", "reason": "a test", **changes}
    with pytest.raises(BeampermitError) as caught:
        bypass(project, promoted, now=datetime.now(UTC), **words)
    assert message in caught.value.message
    assert [event.event for event in promoted.events()] == ["promote"]


@pytest.mark.slow
def test_seven_days_are_allowed_and_another_event_meanwhile_is_a_conflict(
    promoted: Ledger, project: Project, other: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    now, append = datetime.now(UTC), Ledger.append
    other.fetch()

    def overtaken(self: Ledger, event: Event, **more: Any) -> None:
        monkeypatch.setattr(Ledger, "append", append)
        bypass(project, promoted, "MON001", until="7d", reason="a test", now=now)
        self.append(event, **more)

    monkeypatch.setattr(Ledger, "append", overtaken)
    with pytest.raises(Conflict, match="somebody else was first: bypass MON001 of bpm-faults by Ada"):
        bypass(project, other, "MON002", until="7d", reason="a test", now=now)


@pytest.mark.slow
def test_the_limit_is_that_of_the_version_in_service(promoted: Ledger, project: Project) -> None:
    file = project.root / "contract.yaml"
    file.write_text(re.sub(r"(?m)^monitoring: *\{", "monitoring: {bypass_at_most: 300d, ", file.read_text()))
    assert Project(project.root).contract.monitoring.bypass_at_most == 300 * 86400
    with pytest.raises(BadInput, match="at most 7 d"):
        bypass(Project(project.root), promoted, "MON001", until="100d", reason="a test", now=datetime.now(UTC))


@pytest.mark.slow
def test_the_command(promoted: Ledger, project: Project) -> None:
    def run(*words: str) -> tuple[int, str]:
        finished = beampermit("bypass", *words, cwd=Path(project.root))
        return finished.returncode, finished.stdout + finished.stderr

    assert run() == (0, "no alarm is bypassed\n")
    code, said = run("MON001", "--subject", "turns", "--until", "8h", "--reason", "a test")
    assert code == 0, said
    assert said.startswith("bypassed: MON001 turns of bpm-faults until ")
    assert said.endswith("by Ada Operator <ada@lab.example>: a test\n")
    (listed,) = json.loads(run("--json")[1])
    assert (listed["alarm"], listed["subject"], listed["reason"]) == ("MON001", "turns", "a test")
    code, said = run("MON001", "--subject", "turns", "--end", "--reason", "done")
    assert (code, said.startswith("ended, the bypass of MON001 turns of bpm-faults, at ")) == (0, True)
    assert run() == (0, "no alarm is bypassed\n")
    assert run("MON001", "--reason", "a test")[0] == 2
