"""The version in service, with the contract that it was promoted under."""

from __future__ import annotations

from dataclasses import dataclass

from beampermit.contract import FILE_NAME, Contract, parse_contract
from beampermit.errors import BadInput
from beampermit.project import Project
from beampermit.registry.event import Event
from beampermit.registry.ledger import Ledger


@dataclass(frozen=True)
class Champion:
    """The event that put the champion into service, and the contract of its commit, which may differ from today's."""

    event: Event
    contract: Contract

    @property
    def description(self) -> str:
        """Such as `version 3 of bpm-faults, in service since 2026-11-23T08:00:00Z`."""
        return f"version {self.event.version} of {self.event.model}, in service since {self.event.at}"


def load_champion(project: Project) -> Champion | None:
    """The champion according to the ledger on origin; None where there is none.

    Raises as `Ledger.believe`; `BadInput` for a commit that this clone does not have, `Outside` where origin does not
    answer.
    """
    ledger = Ledger(project.git)
    ledger.fetch()
    event = ledger.champion(project.contract.model.name)
    if event is None:
        return None
    commit = event.commit[:12]
    if project.git.resolve(event.commit) is None:
        raise BadInput(
            f"version {event.version} was made at commit {commit}, which is not in this clone",
            hint="run `git fetch --unshallow origin` in a shallow clone, else `git fetch origin`",
        )
    text = project.git.read(event.commit, FILE_NAME)
    if text is None:
        raise BadInput(f"commit {commit} of version {event.version} has no contract", file=FILE_NAME)
    return Champion(event, parse_contract(text, f"{commit}:{FILE_NAME}"))
