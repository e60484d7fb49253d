"""The ledger, printed: who, when, why, and which version is champion."""

from __future__ import annotations

from collections.abc import Callable

from rich.console import Console

from beampermit.registry.event import Event
from beampermit.registry.history import render_history
from beampermit.registry.ledger_state import LedgerState


def _printed(events: list[Event]) -> str:
    console = Console(record=True, width=140)
    console.print(render_history(LedgerState.of(events)))
    return console.export_text()


def test_an_empty_ledger_says_so() -> None:
    assert "nothing was promoted yet" in _printed([])


def test_the_champion_is_marked_and_markup_is_text(event: Callable[..., Event]) -> None:
    events = [
        event(),
        event(sequence=2, version=2, expected=1),
        event(event="rollback", sequence=3, expected=2, reason="[red]drifts[/red]"),
    ]
    lines = _printed(events).splitlines()
    marked = [line for line in lines if "●" in line]
    assert len(marked) == 1
    for word in ("rollback", "2 → 1", "2026-11-23 08:00", "Ada Operator", "[red]drifts[/red]"):
        assert word in marked[0]
