"""Which version is watched, by which limits: those of its own commit, as its permit vouches for it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from beampermit.contract import Contract
from beampermit.contract.causes import cause_of
from beampermit.errors import BeampermitError, Failed
from beampermit.live.promoted.promoted import Declared
from beampermit.live.promoted.promotions import Promotions
from beampermit.live.promoted.words import plain
from beampermit.monitoring.limits import Limits, limits_of_bytes
from beampermit.monitoring.trip_rules import Bypassed
from beampermit.registry.bypasses import Bypass, find_bypass
from beampermit.registry.event import Event
from beampermit.registry.ledger import Ledger
from beampermit.registry.ledger_state import ModelState
from beampermit.verdicts.monitoring import Reading


@dataclass(frozen=True)
class Watched:
    """A version with its contract, device table and limits."""

    declared: Declared
    limits: Limits | None
    problem: str = ""
    """Why there are no limits, or why nothing vouches for the version."""

    @property
    def version(self) -> int:
        return self.declared.version

    @property
    def contract(self) -> Contract:
        return self.declared.contract


class Watch:
    """Follows the ledger. A version's files are verified once; whether its permit is believed is asked each time."""

    def __init__(self, promotions: Promotions):
        self._promotions = promotions
        self._known: dict[tuple[int, str], Watched] = {}
        self.note = ""
        """Why the ledger cannot be followed; the one that was last read counts meanwhile."""

    def another_ledger(self) -> Ledger:
        """To append to, in another thread. Raises `Outside` where the ledger was never read here."""
        return self._promotions.mirror.another_ledger()

    def known(self, version: int) -> Watched | None:
        """A version whose files were verified before; for other threads too."""
        return next((one for one in tuple(self._known.values()) if one.version == version), None)

    def folder_of(self, watched: Watched) -> str:
        """That of its project in the repository, such as `models/faults/`; empty at the top. Raises as `watched`."""
        return self._promotions.folder_of(watched.declared)

    def look(self) -> ModelState:
        """Raises `Outside` where the ledger was never read here, `BadInput` where it cannot be read."""
        try:
            self._promotions.look()
            self.note = ""
        except BeampermitError as error:
            self.note = f"the ledger as it was last read here: {plain(error)}"
        return self._promotions.state()

    def watched(self, event: Event) -> Watched:
        """The version of an event. Raises `Failed` where its permit is not believed, `Outside`."""
        key = event.version, event.commit
        if key not in self._known:
            self._known = {key: self._verified(event), **dict(list(self._known.items())[:1])}
        known = self._known[key]
        self._promotions.verify_permit(known.declared)
        return known

    def believed(self, state: ModelState, champion: Event) -> tuple[Watched | None, str]:
        """The champion, or why it is not believed, with what is judged instead: what was watched last, or else was last
        in service. None where nobody vouches for any of them.
        """
        try:
            return self.watched(champion), ""
        except BeampermitError as error:
            problem = plain(f"version {champion.version}: {error}")
        for known in self._known.values():
            if known.version not in state.retired:
                return known, problem
        for event in reversed(state.events):
            if event.starts_service and event.version not in state.retired:
                try:
                    return self.watched(event), problem
                except BeampermitError:
                    continue
        return None, problem

    def _verified(self, event: Event) -> Watched:
        declared = self._promotions.declare(event)
        try:
            return Watched(declared, self._limits(declared))
        except BeampermitError as error:
            return Watched(declared, None, plain(error))

    def _limits(self, declared: Declared) -> Limits:
        monitoring, read = declared.contract.monitoring, self._promotions.read
        content, calibration = read(declared, monitoring.limits), read(declared, monitoring.calibration)
        if content is None:
            raise Failed(f"commit {declared.statement.predicate.commit[:12]} has no {monitoring.limits}")
        return limits_of_bytes(content.encode(), calibration.encode() if calibration else None, declared.contract)


def bypassing(bypasses: Sequence[Bypass]) -> Callable[[Reading], Bypassed | None]:
    """What of readings is bypassed: by the check's id, or by the contract's cause, such as `drift`."""

    def of(reading: Reading) -> Bypassed | None:
        found = find_bypass(bypasses, reading.check, reading.subject)
        if found is None and (cause := cause_of(reading.check)):
            found = find_bypass(bypasses, cause, reading.subject)
        return found and Bypassed(found.until.timestamp(), plain(found.by, 80), plain(found.reason, 200))

    return of


def in_force(state: ModelState, contract: Contract, at: float) -> tuple[Bypass, ...]:
    return state.bypasses(datetime.fromtimestamp(at, UTC), contract.monitoring.bypass_at_most)
