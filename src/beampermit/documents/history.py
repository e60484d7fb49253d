"""The ledger on a terminal."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

from beampermit.documents.markdown import visible
from beampermit.documents.screen import format_columns
from beampermit.registry.event import Event, written
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
    now = datetime.now(UTC)
    models = (_render_model(model, state, since, width, now) for model, state in ledger.states.items())
    return Text("\n\n").join(models)


def _render_model(model: str, state: ModelState, since: int, width: int, now: datetime) -> Any:
    from rich.text import Text

    events = [event for event in state.events if event.sequence >= since]
    rows = [_cells(event, event is state.champion) for event in events]
    heading, *table = format_columns(COLUMNS, rows).split("\n")
    notes = (line for note in _notes(state, now) for line in _wrapped(note, width))
    lines = [Text(visible(model), style="bold"), *map(Text, notes), heading]
    for event, line in zip(events, table, strict=True):
        line.stylize("green" if event is state.champion else "")
        lines.append(line)
        why = f"{event.by.partition(' <')[0]}: {event.reason}"
        for text in (_own(event), why):
            lines += [Text(line, style="dim") for line in _wrapped(text, width)]
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


def _own(event: Event) -> str:
    """What only events of this kind say."""
    if event.image:
        return event.image
    if event.event == "bypass":
        ended = event.until == event.at
        return f"{event.alarm_name}: the bypass is ended" if ended else f"{event.alarm_name} until {event.until}"
    return ""


def _wrapped(text: str, width: int) -> list[str]:
    indent = INDENT if width > 2 * len(INDENT) else ""
    several = " " in text  # an image alone stays whole, to be copied
    return textwrap.wrap(
        visible(text),
        max(width, 1),
        initial_indent=indent,
        subsequent_indent=indent,
        break_long_words=several,
        break_on_hyphens=several,
    )


def _notes(state: ModelState, now: datetime) -> Iterator[str]:
    """What is unusual: nothing in service, promotions frozen, alarms bypassed."""
    if state.champion is None:
        yield "out of service"
    if frozen := state.frozen:
        yield f"frozen since {frozen.at} by {frozen.by}: {frozen.reason}"
    for one in state.bypasses(now):
        yield f"bypassed until {written(one.until)}: {one.name}, by {one.by}: {one.reason}"
