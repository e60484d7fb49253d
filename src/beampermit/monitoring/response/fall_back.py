"""The monitor goes back to the former champion by itself, where the contract allows it: once, and never onwards."""

from __future__ import annotations

from dataclasses import replace

from beampermit.monitoring.response.proposals import Suppressed
from beampermit.registry.event import Event
from beampermit.registry.operations import Session, rollback
from beampermit.registry.reconcile import require_same_registry
from beampermit.verdicts.monitoring import Trip

BY = "beampermit monitor"


def fall_back(session: Session, trip: Trip, host: str) -> Event:
    """The rollback event, by the monitor on `host`; the one that an earlier, killed run appended.

    Raises `Suppressed` where the version that tripped is not in service any more, or is itself what somebody went back
    to; `Conflict` where somebody else was first, and what a rollback raises.
    """
    session, reason = _of_monitor(session, trip, host)
    state, _ = session.read_state()
    champion = state.champion
    if champion is None:
        raise Suppressed("no version is in service")
    if _is_own(champion, session, reason, trip):
        return session.already(champion).event
    if champion.version != trip.version:
        raise Suppressed(f"version {champion.version} is in service by now, and version {trip.version} tripped")
    if champion.event == "rollback":
        # Back and back again, each time on the same fault of the machine, would end with the oldest model.
        raise Suppressed(f"version {champion.version} is in service by a rollback; only people go back further")
    if state.rollback_target(session.ledger.believes) is None:
        raise Suppressed("there is no former champion to go back to that is believed and not retired")
    # Whoever may only read the registry would leave it behind the ledger.
    require_same_registry(session.ledger, session.registry, session.model, state)
    session.registry.set_tags(session.model, monitor=session.by)
    return rollback(session, of=trip.version, reason=reason).event


def fell_back(session: Session, trip: Trip, host: str) -> Event | None:
    """The rollback event of an earlier run for this trip, if it is what put the champion in service."""
    session, reason = _of_monitor(session, trip, host)
    champion = session.read_state()[0].champion
    if champion is None or not _is_own(champion, session, reason, trip):
        return None
    return session.already(champion).event


def _is_own(champion: Event, session: Session, reason: str, trip: Trip) -> bool:
    own = (champion.reason, champion.by, champion.expected) == (reason, session.by, trip.version)
    return champion.event == "rollback" and own


def _of_monitor(session: Session, trip: Trip, host: str) -> tuple[Session, str]:
    """Acting in the monitor's name; with the reason that the event has."""
    reason = f"{trip.name}: {trip.standing.reading.detail or 'beyond its limit'}"[:900]
    return replace(session, by=f"{BY} on {host}"[:200]), reason
