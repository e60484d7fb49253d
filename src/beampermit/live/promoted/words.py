"""Texts of ledger, remote and registry, made fit for an operator's screen."""

from __future__ import annotations

from datetime import UTC, datetime

from beampermit.registry.event import Event

LONGEST = 400


def plain(text: object, limit: int = LONGEST) -> str:
    """One line at most `limit` long; what a terminal would obey, or nobody would see, is spelled out."""
    line = " ".join(str(text).split())
    spelled = "".join(one if one.isprintable() else f"⟨U+{ord(one):04X}⟩" for one in line)
    return spelled if len(spelled) <= limit else f"{spelled[: limit - 1]}…"


def time_of(moment: datetime) -> str:
    """As the ledger writes times: `2026-11-23T08:00:00Z`."""
    return f"{moment.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"


def act(done: str, event: Event) -> str:
    """Such as `retired by Ada at 2026-11-23T08:00:00Z: drifts`."""
    return f"{done} by {plain(event.by, 80)} at {event.at}: {plain(event.reason, 200)}"
