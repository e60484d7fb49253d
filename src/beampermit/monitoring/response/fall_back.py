"""The monitor goes back to the former champion by itself, where the contract allows it: once, and never onwards."""

from __future__ import annotations

from dataclasses import replace

from beampermit.monitoring.response.proposals import Suppressed
from beampermit.registry.event import Event
from beampermit.registry.operations import Session, rollback
from beampermit.verdicts.monitoring import Trip

BY = "beampermit monitor"


def fall_back(session: Session, trip: Trip, host: str) -> Event:
    """The rollback event, by the monitor on `host`; the one that an earlier, killed run appended.

    Raises `Suppressed` where the version that tripped is not in service any more, or is itself what somebody went back
    to; `Conflict` where somebody else was first, and what a rollback raises.
    """
    session = replace(session, by=f"{BY} on {host}"[:200])
    reason = f"{trip.name}: {trip.standing.reading.detail or 'beyond its limit'}"[:900]
    state, _ = session.read_state()
    champion = state.champion
    if champion is None:
        raise Suppressed("no version is in service")
    own = champion.event == "rollback" and (champion.reason, champion.by) == (reason, session.by)
    if own and champion.expected == trip.version:
        return session.already(champion).event
    if champion.version != trip.version:
        raise Suppressed(f"version {champion.version} is in service by now, and version {trip.version} tripped")
    if champion.event == "rollback":
        # Back and back again, each time on the same fault of the machine, would end with the oldest model.
        raise Suppressed(f"version {champion.version} is in service by a rollback; only people go back further")
    if not any(number != champion.version and number not in state.retired for number in state.promoted):
        raise Suppressed("there is no former champion to go back to")
    return rollback(session, of=trip.version, reason=reason).event
