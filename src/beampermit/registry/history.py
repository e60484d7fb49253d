"""The ledger made readable."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from beampermit.registry.event import Event, champion


def table(events: Sequence[Event]) -> Any:
    """Rich tables of events, one for each model, oldest first; a lamp marks the champion of today."""
    from rich.console import Group
    from rich.text import Text

    if not events:
        return Text("The ledger is empty: nothing was promoted yet.")
    return Group(*(_of(model, events) for model in dict.fromkeys(event.model for event in events)))


def _of(model: str, events: Sequence[Event]) -> Any:
    from rich.table import Table
    from rich.text import Text

    standing = champion(events, model)
    rows = Table(box=None, padding=(0, 2, 0, 0), header_style="bold", title=Text(model), title_justify="left")
    for name in ("", "#", "event", "version", "commit", "when (UTC)"):
        rows.add_column(name, no_wrap=True)
    for name in ("by", "why"):
        rows.add_column(name, overflow="fold")
    for event in (event for event in events if event.model == model):
        words = (
            str(event.sequence),
            event.event,
            str(event.version) if event.expected is None else f"{event.expected} → {event.version}",
            event.commit[:8],
            event.at[:16].replace("T", " "),
            event.by.partition(" <")[0],
            event.reason,
        )
        rows.add_row(Text("●" if event is standing else "", style="green"), *(Text(word) for word in words))
    return rows
