"""Which version begins after a restart, which skips nothing that the running service would have asked of a new one."""

from __future__ import annotations

from beampermit.registry.event import Event
from beampermit.registry.ledger_state import ModelState


def may_go_on(served: Event | None, state: ModelState) -> Event | None:
    """What answered last before this start, unless the ledger took it back since: retired, or rolled back."""
    if served is None or served.version in state.retired:
        return None
    promotion = state.promoted.get(served.version)
    if promotion is None or key_of(promotion) != key_of(served) or _rolled_back(served.version, state):
        return None
    return served


def key_of(event: Event) -> tuple[int, str]:
    """Events of the same version and permit are one promotion: a rollback repeats it."""
    return event.version, event.permit


def _rolled_back(version: int, state: ModelState) -> bool:
    """Whether somebody went back to another version after this one was put into service the last time."""
    for event in reversed(state.events):
        if event.starts_service and event.version == version:
            return False
        if event.event == "rollback":
            return True
    return False
