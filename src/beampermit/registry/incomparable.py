"""Whether what a contract calls incomparable is the champion."""

from __future__ import annotations

from beampermit.changes.incomparable import REPACKAGED
from beampermit.contract.judging import Incomparable
from beampermit.errors import Failed
from beampermit.registry.event import Event
from beampermit.registry.ledger import Ledger


def is_about(incomparable: Incomparable, champion: Event, ledger: Ledger) -> bool:
    """Whether the champion is the version that is meant, or the same model packaged again with another contract.

    The pull request that says so may itself be released: its saved model differs in nothing but the contract.
    """
    if champion.version == incomparable.version:
        return True
    meant = ledger.state(champion.model).promoted.get(incomparable.version)
    if meant is None:
        return False
    try:
        one, other = (ledger.believe(event).predicate.model for event in (meant, champion))
    except Failed:
        return False
    return all(one.get(path) == other.get(path) for path in {*one, *other} - REPACKAGED)
