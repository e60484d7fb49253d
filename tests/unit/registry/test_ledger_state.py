"""The ledger is parsed strictly: an error names the first bad line."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from beampermit.errors import BadInput
from beampermit.registry.event import Event
from beampermit.registry.ledger_state import LedgerState, format_line, parse_last_line, parse_lines


@pytest.fixture
def text(event: Callable[..., Event]) -> str:
    """Two promotions and a rollback."""
    written = ""
    for changes in (
        {},
        {"version": 2, "sequence": 2, "expected": 1, "commit": "2" * 40},
        {"event": "rollback", "sequence": 3, "expected": 2, "reason": "drifts"},
    ):
        written += format_line(event(**changes))
    return written


def test_what_is_written_is_read(text: str) -> None:
    assert [(one.event, one.version) for one in parse_lines(text).events] == [
        ("promote", 1),
        ("promote", 2),
        ("rollback", 1),
    ]
    assert "".join(format_line(one) for one in parse_lines(text).events) == text


def _edit(number: int, **changes: Any) -> Callable[[str], str]:
    def edit(text: str) -> str:
        lines = text.splitlines()
        lines[number - 1] = json.dumps({**json.loads(lines[number - 1]), **changes})
        return "\n".join(lines) + "\n"

    return edit


def _more(*events: dict[str, Any]) -> Callable[[str], str]:
    """More lines; each takes missing keys from the first."""

    def more(text: str) -> str:
        first = json.loads(text.splitlines()[0])
        return text + "".join(json.dumps({**first, **event}) + "\n" for event in events)

    return more


RETIRED = {"event": "retire", "sequence": 4, "version": 1, "expected": 1}
FROZEN = {"event": "freeze", "sequence": 4, "version": 1, "expected": 1}
DEFECTS: dict[str, tuple[Callable[[str], str], int, str]] = {
    "cut off": (lambda text: text[:-10], 3, "incomplete"),
    "not JSON": (lambda text: text.replace('{"event": "rollback"', '"event": "rollback"'), 3, "not JSON"),
    "a list": (lambda text: "[]\n" + text, 1, "the line is not a JSON object"),
    "an empty line": (lambda text: "\n" + text, 1, "not JSON"),
    "a key twice": (lambda text: text.replace('"by":', '"at": "x", "by":', 1), 1, "'at' is given twice"),
    "a newer kind": (_edit(2, event="bless"), 2, "unknown event 'bless': written by a newer beampermit"),
    "a newer key": (_edit(2, colour="red"), 2, "unknown key 'colour': written by a newer beampermit"),
    "version as text": (_edit(2, version="2"), 2, "version: Input should be a valid integer"),
    "a short digest": (_edit(2, digest="sha256:00"), 2, "digest: String should match"),
    "a line lost": (lambda text: "".join(text.splitlines(keepends=True)[::2]), 2, "sequence is 3, but this is line 2"),
    "another expected": (_edit(3, expected=1), 3, "expected champion version 1, but it was 2"),
    "back to what never was": (_edit(3, version=9), 3, "version 9, which was never promoted"),
    "promoted twice": (_edit(2, version=1), 2, "promotes version 1 a second time"),
    "a retirement of what never was": (_edit(3, event="retire", version=9), 3, "retires version 9, which was never"),
    "retired twice": (_more(RETIRED, {**RETIRED, "sequence": 5, "expected": None}), 5, "was already retired"),
    "a thaw without a freeze": (_edit(3, event="thaw"), 3, "thaws a model that was not frozen"),
    "frozen twice": (_more(FROZEN, {**FROZEN, "sequence": 5}), 5, "freezes a model that was already frozen"),
    "promoted while frozen": (_more(FROZEN, {"sequence": 5, "version": 3, "expected": 1}), 5, "frozen since line 4"),
    "after a retirement": (_more(RETIRED, {"sequence": 5, "version": 3, "expected": 1}), 5, "but it was None"),
    "back with other bytes": (_edit(3, digest=f"sha256:{'d' * 64}"), 3, "never promoted with this digest"),
}


@pytest.mark.parametrize("defect", DEFECTS)
def test_a_bad_line_is_reported_with_its_number(text: str, defect: str) -> None:
    spoil, number, message = DEFECTS[defect]
    with pytest.raises(BadInput) as caught:
        parse_lines(spoil(text))
    assert str(caught.value).startswith(f"ledger.jsonl:{number}: ")
    assert message in caught.value.message


def test_new_lines_extend_a_state(text: str) -> None:
    first, rest = text.splitlines(keepends=True)[0], "".join(text.splitlines(keepends=True)[1:])
    grown = parse_lines(rest, parse_lines(first))
    assert grown.events == parse_lines(text).events
    with pytest.raises(BadInput, match=r"^ledger\.jsonl:4: "):
        parse_lines(text.splitlines(keepends=True)[2], grown)


def test_lines_of_other_models_are_counted_and_not_read(text: str, event: Callable[..., Event]) -> None:
    others = format_line(event(model="orbit", sequence=4, reason="as bpm-faults"))
    later = format_line(event(event="freeze", sequence=6, expected=1))
    mixed = text + others + others.replace('"sequence": 4', '"sequence": 9').replace("bpm-faults", "said") + later
    found = parse_lines(mixed, LedgerState("bpm-faults"))
    assert [one.sequence for one in found.events] == [1, 2, 3, 6]
    assert (found.length, found.state("orbit").events) == (6, [])
    with pytest.raises(BadInput, match="sequence is 9, but this is line 5"):
        parse_lines(mixed)
    with pytest.raises(BadInput, match="incomplete"):
        parse_lines(mixed[:-10], LedgerState("bpm-faults"))


def test_an_escaped_model_name_is_recognized(text: str, event: Callable[..., Event]) -> None:
    spelled = format_line(event(sequence=4, version=3, expected=1)).replace("bpm-faults", "\\u0062pm-faults")
    assert parse_lines(text + spelled, LedgerState("bpm-faults")).state("bpm-faults").champion_version == 3


def test_only_the_last_line_is_parsed(text: str) -> None:
    assert parse_last_line("no event\n" + text) == parse_lines(text).events[-1]
    with pytest.raises(BadInput, match=r"^ledger\.jsonl:4: "):
        parse_last_line(text + "no event\n")


def test_a_time_is_told_where_clocks_cannot_differ_so_much(event: Callable[..., Event]) -> None:
    now = datetime.now(UTC)

    def at(minutes: float, sequence: int) -> Event:
        moment = f"{now + timedelta(minutes=minutes):%Y-%m-%dT%H:%M:%SZ}"
        return event(at=moment, sequence=sequence, version=sequence, expected=sequence - 1 or None)

    assert LedgerState.of([at(8, 1), at(-1, 2)]).odd_times() == {}
    (said,) = LedgerState.of([at(12, 1)]).odd_times().values()
    assert said.endswith("which is in the future")
    (said,) = LedgerState.of([at(0, 1), at(-12, 2)]).odd_times().values()
    assert "line 2 is dated" in said
    assert "before line 1" in said


def test_a_day_that_no_month_has_is_no_time(event: Callable[..., Event]) -> None:
    line = format_line(event()).replace("2026-11-23T", "2026-02-31T")
    assert "2026-02-31T" in line
    with pytest.raises(BadInput, match="at: "):
        parse_lines(line)
