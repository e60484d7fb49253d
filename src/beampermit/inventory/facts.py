"""What is read of a repository: the same for the same commits, so it is kept until one of them moves."""

from __future__ import annotations

from datetime import date, datetime
from typing import Literal

from beampermit.record import Number, Record, Text
from beampermit.registry.bypasses import AT_MOST, Bypass, in_force
from beampermit.registry.event import Event

FORMAT = 2


class Owner(Record):
    name: Text
    email: Text


class Locked(Record):
    """A package of a lock; `conda` where it comes from a channel."""

    name: Text
    version: Text
    conda: bool = False


class KeyFacts(Record):
    """A public key; `until` is None for one that never ends."""

    id: Text
    until: datetime | None


class Declared(Record):
    """What a contract says that an inventory needs."""

    model: Text
    summary: Text
    owners: tuple[Owner, ...]
    review_by: date
    on_call: Text
    prefix: Text
    outputs: tuple[Text, ...]
    """PVs; none where the model is not served as PVs."""
    every: Number
    """How often the monitor judges, s."""
    bypass_at_most: Number = AT_MOST
    """s that a bypass of an alarm lasts at most."""


class ModelFacts(Record):
    """A model of a repository: of a contract on the protected branch, of the ledger, or of both."""

    name: Text
    folder: Text = ""
    now: Declared | None = None
    """On the protected branch; None where that has no contract of this model, or one that cannot be read."""
    running: Declared | None = None
    """At the champion's commit; None without a believed champion."""
    champion: Event | None = None
    doubts: Text = ""
    """Why the champion is not believed."""
    last: Event | None = None
    """The event that last put a version into service."""
    promoted: tuple[int, ...] = ()
    retired: tuple[Event, ...] = ()
    """The retirements of versions that are retired."""
    frozen: Event | None = None
    home: Event | None = None
    """The last event that names the registry."""
    bypassed: tuple[Event, ...] = ()
    """The last bypass of each alarm, which may have ended."""
    packages: tuple[Locked, ...] = ()
    """Of the champion's locks."""
    troubles: tuple[Text, ...] = ()
    """What could not be read."""

    @property
    def declared(self) -> Declared | None:
        """What is in service, else what the protected branch says."""
        return self.running or self.now

    def bypasses(self, at: datetime) -> tuple[Bypass, ...]:
        """In force at a moment, oldest first."""
        return in_force(self.bypassed, at, self.declared.bypass_at_most if self.declared else AT_MOST)

    @property
    def state(self) -> Literal["in service", "retired", "never promoted"]:
        if self.champion:
            return "in service"
        return "retired" if self.last else "never promoted"


class RepositoryFacts(Record):
    """`made_by` is the version of beampermit and of this format; `tip` and `ledger` are commits."""

    made_by: Text
    tip: Text
    ledger: Text
    keys: tuple[KeyFacts, ...] = ()
    code_owners: tuple[Text, ...] | None = None
    """Who owns anything according to CODEOWNERS; None where there is no such file."""
    models: tuple[ModelFacts, ...] = ()
    troubles: tuple[Text, ...] = ()
