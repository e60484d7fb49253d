"""Texts of ledger, remote and registry, made fit for an operator's screen."""

from __future__ import annotations

from datetime import UTC, datetime

from beampermit.registry.event import Event
from beampermit.registry.ledger_state import ModelState

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


def retired(retirement: Event, state: ModelState) -> str:
    """What is to be used instead comes first: of a message, channel access shows 39 bytes."""
    words = act(f"version {retirement.version} was retired", retirement)
    if state.champion:
        return f"{words}; version {state.champion.version} is champion now"
    instead = f"use {retirement.successor_name}: " if retirement.successor else ""
    return f"{instead}{words}" + (f"; its PVs end at {retirement.until}" if retirement.until else "")
