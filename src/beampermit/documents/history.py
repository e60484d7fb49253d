"""The ledger on a terminal."""

from __future__ import annotations

import textwrap
from typing import Any

from beampermit.documents.markdown import visible
from beampermit.documents.screen import format_columns
from beampermit.registry.event import Event
from beampermit.registry.ledger_state import LedgerState, ModelState

COLUMNS = ("", "#", "event", "version", "when (UTC)", "commit", "permit")
INDENT = " " * 7


def render_history(ledger: LedgerState, width: int, last: int | None = None) -> Any:
    """A rich `Text` to be printed with `soft_wrap`: the events of each model, all or the `last` ones, oldest first.

    Two lines an event: what happened, then by whom and why. An icon marks the champion.
    """
    from rich.text import Text

    if not ledger.events:
        return Text("The ledger is empty: nothing has been promoted yet.")
    since = ledger.events[-last].sequence if last and last < len(ledger.events) else 1
    models = (_render_model(model, state, since, width) for model, state in ledger.states.items())
    return Text("\n\n").join(models)


def _render_model(model: str, state: ModelState, since: int, width: int) -> Any:
    from rich.text import Text

    events = [event for event in state.events if event.sequence >= since]
    rows = [_cells(event, event is state.champion) for event in events]
    heading, *table = format_columns(COLUMNS, rows).split("\n")
    lines = [Text(visible(model), style="bold"), *(Text(line) for line in _wrapped(_status(state), width)), heading]
    for event, line in zip(events, table, strict=True):
        line.stylize("green" if event is state.champion else "")
        lines.append(line)
        why = f"{event.by.partition(' <')[0]}: {event.reason}"
        lines += [Text(line, style="dim") for line in _wrapped(why, width)]
    return Text("\n").join(lines)


def _cells(event: Event, champion: bool) -> tuple[str, ...]:
    replaced = event.starts_service and event.expected
    return (
        "●" if champion else "",
        str(event.sequence),
        event.event,
        f"{event.expected} → {event.version}" if replaced else str(event.version),
        event.at[:16].replace("T", " "),
        event.commit[:8],
        event.permit.removeprefix("sha256:")[:8],
    )


def _wrapped(text: str, width: int) -> list[str]:
    indent = INDENT if width > 2 * len(INDENT) else ""
    return textwrap.wrap(visible(text), max(width, 1), initial_indent=indent, subsequent_indent=indent)


def _status(state: ModelState) -> str:
    """What is unusual: nothing in service, promotions frozen."""
    notes = [] if state.champion else ["out of service"]
    if state.frozen:
        notes.append(f"frozen since {state.frozen.at} by {state.frozen.by}: {state.frozen.reason}")
    return "; ".join(notes)
