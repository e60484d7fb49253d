"""The ledger made readable."""

from __future__ import annotations

from typing import Any

from beampermit.registry.ledger_state import LedgerState, ModelState


def render_history(chronicle: LedgerState, last: int | None = None) -> Any:
    """Rich tables of events, all or the `last` ones, one for each model, oldest first; an icon marks the champion."""
    from rich.console import Group
    from rich.text import Text

    if not chronicle.events:
        return Text("The ledger is empty: nothing was promoted yet.")
    since = chronicle.events[-last].sequence if last and last < len(chronicle.events) else 1
    return Group(*(_of(model, state, since) for model, state in chronicle.states.items()))


def _of(model: str, state: ModelState, since: int) -> Any:
    from rich.table import Table
    from rich.text import Text

    title = Text(model + _word(state))
    rows = Table(box=None, padding=(0, 2, 0, 0), header_style="bold", title=title, title_justify="left")
    for name in ("", "#", "event", "version", "commit", "permit", "when (UTC)"):
        rows.add_column(name, no_wrap=True)
    for name in ("by", "why"):
        rows.add_column(name, overflow="fold")
    for event in (event for event in state.events if event.sequence >= since):
        words = (
            str(event.sequence),
            event.event,
            f"{event.expected} → {event.version}" if event.places and event.expected else str(event.version),
            event.commit[:8],
            event.permit.removeprefix("sha256:")[:8],
            event.at[:16].replace("T", " "),
            event.by.partition(" <")[0],
            event.reason,
        )
        rows.add_row(Text("●" if event is state.champion else "", style="green"), *(Text(word) for word in words))
    return rows


def _word(state: ModelState) -> str:
    """What is out of the ordinary: nothing in service, promotions frozen."""
    words = [] if state.champion else ["out of service"]
    if state.frozen:
        words.append(f"frozen since {state.frozen.at} by {state.frozen.by}: {state.frozen.reason}")
    return f" · {' · '.join(words)}" if words else ""
