"""One model, and all that was found of it: what findings are made of."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from beampermit.inventory.facts import Declared, ModelFacts, RepositoryFacts
from beampermit.inventory.listing import KEY_ENDS_WITHIN
from beampermit.inventory.site_files import AlarmTree
from beampermit.inventory.vulnerabilities import Known
from beampermit.live.observation.services import ServiceStatus
from beampermit.live.status_pvs import STATUS_PVS
from beampermit.verdicts.inventory import Finding, Level

BY_LEDGER = ("INV001", "INV004", "INV005", "INV011")
"""Findings that compare what others say with the newest line of the ledger."""


@dataclass(frozen=True)
class Shown:
    """Of the registry: the version with alias champion, or None; `identity` is empty where it has no such model."""

    champion: int | None
    identity: str


@dataclass(frozen=True)
class Site:
    """What is the same for all models; None for what was not asked."""

    at: datetime
    key_ends_within: float = KEY_ENDS_WITHIN
    tree: AlarmTree | None = None
    archived: frozenset[str] | None = None
    people: frozenset[str] | None = None

    @classmethod
    def now(cls, **more: Any) -> Site:
        return cls(datetime.now(UTC), **more)


@dataclass(frozen=True)
class Seen:
    """A model of a project; what is None was not asked."""

    project: str
    """The repository, without a login."""
    model: ModelFacts
    repository: RepositoryFacts
    address: str = ""
    """Prefix or URL of its service; empty where it has none."""
    service: ServiceStatus | None = None
    shown: Shown | None = None
    """By the registry that the ledger names."""
    servers: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """PV -> its servers."""
    known: tuple[Known, ...] = ()
    stale: bool = False
    """The repository does not answer: its ledger may have moved on."""

    @property
    def declared(self) -> Declared | None:
        return self.model.declared

    @property
    def pvs(self) -> tuple[str, ...]:
        return self.declared.outputs if self.declared else ()

    @property
    def status_pvs(self) -> tuple[str, ...]:
        """Those with a history."""
        if not self.declared or not self.pvs:
            return ()
        return tuple(f"{self.declared.prefix}:{pv.name}" for pv in STATUS_PVS if not pv.writable)

    @property
    def alarmed_pvs(self) -> tuple[str, ...]:
        """Those that belong into the alarm tree: outputs, and the one that has the worst of monitoring."""
        return (*self.pvs, f"{self.declared.prefix}:MONITOR") if self.declared and self.pvs else ()

    def finding(self, id: str, level: Level, message: str, next: str) -> Finding:
        return Finding(
            id=id,
            level=level,
            project=self.project,
            model=self.model.name,
            message=message,
            next=next,
            unknown=self.stale and id in BY_LEDGER,
        )
