"""Retirement: a version goes out of service for good. What was done with it stays in the ledger, and its bytes stay."""

from __future__ import annotations

from beampermit.errors import BadInput
from beampermit.registry.change import Change, Moved


def retire(change: Change, *, version: int | None = None, reason: str) -> Moved:
    """Take `version` out of service, and nothing takes its place; if not given, the champion, and so the model.

    Nobody goes back to a retired version by chance: a rollback must say that it means one. Raises `BadInput` for a
    version that was never champion, `Conflict` where somebody else was first, `Outside`.
    """
    state, last = change.read()
    number = version or state.seen
    if number is None:
        # Perhaps by a run that was killed before the registry said so.
        return change.stands(state.retired[last.version])
    if number in state.retired:
        return change.stands(state.retired[number])
    if number not in state.promoted:
        known = ", ".join(map(str, sorted(state.promoted)))
        raise BadInput(f"version {number} was never champion; these were: {known}", hint="beampermit history")
    change.must_be_new("retire", state, version)
    return change.write("retire", state.promoted[number], reason)
