"""Texts of ledger, remote and registry, made fit for an operator's screen."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime

from beampermit.live.bypassed import Bypassed
from beampermit.registry.bypasses import Bypass
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


def bypassed(bypasses: Iterable[Bypass]) -> tuple[Bypassed, ...]:
    """Of alarms, as the service shows them."""
    return tuple(
        Bypassed(
            one.alarm,
            plain(one.subject, 200),
            one.until.timestamp(),
            f"bypassed until {time_of(one.until)} by {plain(one.by, 80)}: {plain(one.reason, 200)}",
        )
        for one in bypasses
    )


def retired(retirement: Event, state: ModelState) -> str:
    """What is to be used instead comes first: of a message, channel access shows 39 bytes."""
    words = act(f"version {retirement.version} was retired", retirement)
    if state.champion:
        return f"{words}; version {state.champion.version} is champion now"
    instead = f"use {retirement.successor_name}: " if retirement.successor else ""
    return f"{instead}{words}" + (f"; its PVs end at {retirement.until}" if retirement.until else "")


def retirement_of(state: ModelState, version: int) -> Event | None:
    """Of the version, or of the one that replaced it, with which nothing is in service any more."""
    return state.retired.get(version) or state.out_of_service
