"""The ledger made readable."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from beampermit.registry.event import Event, champion


def table(events: Sequence[Event]) -> Any:
    """A rich table of events, newest last; the champions of today are marked."""
    from rich.table import Table
    from rich.text import Text

    if not events:
        return Text("The ledger is empty: nothing was promoted yet.")
    standing = [champion(events, model) for model in {event.model for event in events}]
    rows = Table(box=None, padding=(0, 2, 0, 0), header_style="bold")
    for name in ("#", "", "event", "model", "version", "instead of", "commit", "at", "by", "reason"):
        rows.add_column(name, no_wrap=name not in ("by", "reason"))
    for event in events:
        words = (
            event.event,
            event.model,
            str(event.version),
            "" if event.expected is None else str(event.expected),
            event.commit[:12],
            event.at,
            event.by,
            event.reason,
        )
        lamp = Text("●" if event in standing else "", style="green")
        rows.add_row(Text(str(event.sequence), style="dim"), lamp, *(Text(word) for word in words))
    return rows
