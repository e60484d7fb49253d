"""The ledger, printed: who, when, why, and which version is champion."""

from __future__ import annotations

from collections.abc import Callable

from rich.console import Console

from beampermit.registry.event import Event
from beampermit.registry.history import render_history
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
