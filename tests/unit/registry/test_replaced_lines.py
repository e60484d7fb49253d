"""One line of the ledger promotes a successor and retires what it replaces: both models read it, or neither has it."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from beampermit.errors import BadInput, Conflict
from beampermit.registry.event import Event
from beampermit.registry.ledger import Ledger
from beampermit.registry.ledger_state import LedgerState, ModelState, format_line, parse_lines

Make = Callable[..., Event]
OLD, NEW = "bpm-faults", "orbit-faults"


def _retires(event: Event, **changes: Any) -> dict[str, Any]:
    return {key: getattr(event, key) for key in ("model", "version", "digest", "permit", "commit")} | changes


@pytest.fixture
def lines(event: Make) -> list[Event]:
    """The old model's version 2 is replaced by the new model's first version."""
    first, second = event(), event(sequence=2, version=2, expected=1, commit="2" * 40)
    replaced = event(
        model=NEW,
        sequence=3,
        commit="3" * 40,
        reason="sees more",
        retires=_retires(second),
        until="2027-01-31T00:00:00Z",
    )
    return [first, second, replaced]


def _written(lines: list[Event]) -> str:
    return "".join(map(format_line, lines))


def test_what_is_written_is_read(lines: list[Event]) -> None:
    assert "".join(map(format_line, parse_lines(_written(lines)).events)) == _written(lines)


@pytest.mark.parametrize("read", [None, OLD])
def test_the_old_model_is_retired_with_its_successor(lines: list[Event], read: str | None) -> None:
    found = parse_lines(_written(lines), LedgerState(read))
    state = found.state(OLD)
    assert (state.champion, found.length) == (None, 3)
    retirement = state.retired[2]
    assert (retirement.event, retirement.version, retirement.successor_name) == ("retire", 2, NEW)
    assert (retirement.sequence, retirement.until, retirement.reason) == (3, "2027-01-31T00:00:00Z", "sees more")
    # The old model's registry is its own.
    assert retirement.registry == ""
    assert state.versions_since(2) == {2}
    # A rollback ends it.
    back = lines[0].model_copy(update={"event": "rollback", "sequence": 4, "expected": None})
    assert parse_lines(format_line(back), found).state(OLD).champion_version == 1


@pytest.mark.parametrize("read", [None, NEW])
def test_the_new_model_is_in_service(lines: list[Event], read: str | None) -> None:
    found = parse_lines(_written(lines), LedgerState(read))
    assert (found.state(NEW).champion_version, found.length) == (1, 3)


def test_the_version_before_can_be_retired_by_the_one_that_replaces_it(lines: list[Event], event: Make) -> None:
    first, second, _ = lines
    third = event(sequence=3, version=3, expected=2, commit="3" * 40, retires=_retires(second))
    state = parse_lines(_written([first, second, third])).state(OLD)
    assert (state.champion_version, [*state.retired]) == (3, [2])
    assert state.retired[2].successor_name == "version 3"
    assert state.rollback_target(lambda _: True) == first


FAULTS: dict[str, tuple[dict[str, Any], str]] = {
    "another champion": ({"version": 1, "commit": "1" * 40}, "expected champion version 1, but it was 2"),
    "other bytes": ({"digest": f"sha256:{'d' * 64}"}, "never promoted with this digest"),
    "a model that never was": ({"model": "said"}, "expected champion version 2, but it was None"),
    "more keys": ({"colour": "red"}, "retires.colour"),
    "less keys": ({"digest": None}, "retires.digest"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_forged_line_is_refused_for_both(lines: list[Event], fault: str) -> None:
    changes, message = FAULTS[fault]
    forged = json.loads(format_line(lines[2]))
    forged["retires"] |= changes
    text = _written(lines[:2]) + json.dumps(forged) + "\n"
    with pytest.raises(BadInput, match=r"^ledger\.jsonl:3: ") as caught:
        parse_lines(text)
    assert message in caught.value.message


def test_a_line_that_retires_what_is_retired_or_never_was_is_refused(lines: list[Event], event: Make) -> None:
    first, second, _ = lines
    gone = event(event="retire", sequence=3, expected=2, successor="3")
    for retired, message in ((_retires(first), "was already retired"), (_retires(first, version=3), "never promoted")):
        third = event(sequence=4, version=3, expected=2, commit="3" * 40, retires=retired)
        with pytest.raises(BadInput, match=message):
            parse_lines(_written([first, second, gone, third]))


def test_a_retirement_may_be_written_again_with_another_successor(event: Make) -> None:
    first = event()
    gone = event(event="retire", sequence=2, expected=1)
    told = event(event="retire", sequence=3, successor=NEW, until="2027-01-31T00:00:00Z")
    state = parse_lines(_written([first, gone, told])).state(OLD)
    assert state.retired[1].successor == NEW
    with pytest.raises(BadInput, match="was already retired"):
        parse_lines(_written([first, gone, told, told.model_copy(update={"sequence": 4})]))


@pytest.mark.slow
def test_it_is_appended_for_both_or_for_none(ledger: Ledger, other: Ledger, lines: list[Event]) -> None:
    for line in lines[:2]:
        ledger.append(line, permit=b"{}\n")
    other.fetch()
    ledger.append(lines[2], permit=b"{}\n")
    ledger.fetch()
    assert (ledger.state(OLD).champion, ledger.state(NEW).champion_version) == (None, 1)
    with pytest.raises(Conflict, match="somebody else was first: promote orbit-faults version 1, retire bpm-faults"):
        other.append(lines[2].model_copy(update={"by": "Bo"}), permit=b"{}\n")


def test_another_champion_of_the_old_model_is_a_conflict(ledger: Ledger, lines: list[Event]) -> None:
    ledger.append(lines[0], permit=b"{}\n")
    with pytest.raises(Conflict, match="the champion is version 1, not 2 as expected"):
        ledger.append(lines[2].model_copy(update={"sequence": 2}), permit=b"{}\n")
    assert ledger.state(OLD).champion_version == 1
    assert isinstance(ledger.state(NEW), ModelState)
    assert ledger.state(NEW).champion is None
