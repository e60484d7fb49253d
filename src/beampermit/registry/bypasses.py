"""Bypasses of alarms: which are in force, by whom and why. One ends by itself, and lasts no longer than allowed."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Self

from beampermit.contract.causes import checks_of
from beampermit.contract.service import Monitoring
from beampermit.registry.event import SKEW, Event

AT_MOST = Monitoring().bypass_at_most
"""Seconds, where the contract does not say."""


@dataclass(frozen=True)
class Bypass:
    """An alarm that is not raised from `since` on, and again from `until` on."""

    alarm: str
    """A check of monitoring such as `MON001`, or a cause of the contract such as `score.high`."""
    subject: str
    """The signal, device or PV; empty for all of them."""
    since: datetime
    until: datetime
    by: str
    reason: str
    sequence: int
    """Line of the ledger."""

    @classmethod
    def of(cls, event: Event, at_most: timedelta = timedelta.max) -> Self:
        """Of its event. Whoever writes a line chooses its times, so the contract bounds how long it lasts."""
        since, until = event.moment, datetime.fromisoformat(event.until or event.at)
        return cls(
            alarm=event.alarm or "",
            subject=event.subject or "",
            since=since,
            until=since + min(until - since, at_most),
            by=event.by,
            reason=event.reason,
            sequence=event.sequence,
        )

    @property
    def name(self) -> str:
        """Such as `MON001 turns.std`."""
        return f"{self.alarm} {self.subject}".rstrip()

    def in_force(self, at: datetime) -> bool:
        return self.since - at <= SKEW and at < self.until

    def covers(self, alarm: str, subject: str = "") -> bool:
        """A cause such as `drift` covers its checks of monitoring, and a signal all that is measured of it."""
        of_it = self.subject in ("", subject) or subject.startswith(f"{self.subject}.")
        return of_it and alarm in (self.alarm, *checks_of(self.alarm))


def in_force(events: Iterable[Event], at: datetime, at_most: float = AT_MOST) -> tuple[Bypass, ...]:
    """Of these bypasses, what is in force at a moment, oldest first; none lasts longer than `at_most` s."""
    every = (Bypass.of(event, timedelta(seconds=at_most)) for event in events)
    return tuple(sorted((one for one in every if one.in_force(at)), key=lambda one: one.sequence))


def find_bypass(bypasses: Iterable[Bypass], alarm: str, subject: str = "") -> Bypass | None:
    """The one that ends last of those that cover an alarm."""
    return max((one for one in bypasses if one.covers(alarm, subject)), key=lambda one: one.until, default=None)
