"""The ledger, printed: who, when, why, and which version is champion."""

from __future__ import annotations

from collections.abc import Callable

from rich.console import Console

from beampermit.documents.history import render_history
from beampermit.registry.event import Event
from beampermit.registry.ledger_state import LedgerState


def _printed(events: list[Event]) -> list[str]:
    console = Console(record=True, width=80)
    console.print(render_history(LedgerState.of(events), 80), soft_wrap=True)
    return console.export_text().splitlines()


def test_an_empty_ledger_says_so() -> None:
    assert _printed([]) == ["The ledger is empty: nothing has been promoted yet."]


def test_the_champion_is_marked_and_markup_is_text(event: Callable[..., Event]) -> None:
    events = [
        event(),
        event(sequence=2, version=2, expected=1),
        event(event="rollback", sequence=3, expected=2, reason="[red]drifts[/red]"),
    ]
    lines = _printed(events)
    (marked,) = [number for number, line in enumerate(lines) if "●" in line]
    for word in ("rollback", "2 → 1", "2026-11-23 08:00"):
        assert word in lines[marked]
    assert lines[marked + 1].strip() == "Ada Operator: [red]drifts[/red]"


def test_each_line_fits_eighty_columns_and_a_long_reason_is_wrapped_whole(event: Callable[..., Event]) -> None:
    reason = "the beam-position monitors of arc 12 were exchanged, " * 4
    lines = _printed([event(sequence=123, version=1234, expected=1233, reason=reason)])
    assert max(map(len, lines)) <= 80
    assert " ".join(" ".join(lines).split()).count("the beam-position monitors of arc 12 were exchanged,") == 4


def test_a_name_a_reason_and_a_freeze_cannot_send_codes_to_the_terminal(event: Callable[..., Event]) -> None:
    hostile = "a\x1b[2Kb\u202ec " * 20
    frozen = event(event="freeze", sequence=2, expected=1, by=f"{hostile}<a@lab.example>", reason=hostile)
    lines = _printed([event(), frozen])
    assert max(map(len, lines)) <= 80
    assert not {"\x1b", "\u202e"} & {*"".join(lines)}


def test_columns_are_as_wide_as_their_widest_cell(event: Callable[..., Event]) -> None:
    events = [event(sequence=1), event(sequence=12345, version=12346, expected=12345)]
    heading, first, _, second, _ = _printed(events)[1:]
    assert heading.index("when") == first.index("2026") == second.index("2026")
