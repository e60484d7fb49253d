"""The ledger as a table for people."""

from __future__ import annotations

import textwrap
from typing import Any

from beampermit.registry.ledger_state import LedgerState, ModelState

COLUMNS = ("", "#", "event", "version", "when (UTC)", "commit", "permit")
WIDTHS = (1, 3, 9, 9, 16, 8, 8)


def render_history(ledger: LedgerState, width: int, last: int | None = None) -> Any:
    """A rich `Text` to be printed with `soft_wrap`: the events of each model, all or the `last` ones, oldest first.

    Two lines an event: what happened, then by whom and why. An icon marks the champion.
    """
    from rich.text import Text

    if not ledger.events:
        return Text("The ledger is empty: nothing has been promoted yet.")
    since = ledger.events[-last].sequence if last and last < len(ledger.events) else 1
    return Text("\n\n").join(_render_model(model, state, since, width) for model, state in ledger.states.items())


def _render_model(model: str, state: ModelState, since: int, width: int) -> Any:
    from rich.text import Text

    lines = [Text(model + _status(state), style="bold"), Text(_row(COLUMNS), style="bold")]
    for event in (event for event in state.events if event.sequence >= since):
        cells = (
            "●" if event is state.champion else "",
            str(event.sequence),
            event.event,
            f"{event.expected} → {event.version}" if event.starts_service and event.expected else str(event.version),
            event.at[:16].replace("T", " "),
            event.commit[:8],
            event.permit.removeprefix("sha256:")[:8],
        )
        lines.append(Text(_row(cells), style="green" if event is state.champion else ""))
        why = textwrap.wrap(f"{event.by.partition(' <')[0]}: {event.reason}", width - 7, break_long_words=False)
        lines += [Text(f"       {line}", style="dim") for line in why]
    return Text("\n").join(lines)


def _row(cells: tuple[str, ...]) -> str:
    return "  ".join(cell.ljust(width) for cell, width in zip(cells, WIDTHS, strict=True)).rstrip()


def _status(state: ModelState) -> str:
    """What is unusual: nothing in service, promotions frozen."""
    notes = [] if state.champion else ["out of service"]
    if state.frozen:
        notes.append(f"frozen since {state.frozen.at} by {state.frozen.by}: {state.frozen.reason}")
    return f" · {' · '.join(notes)}" if notes else ""
