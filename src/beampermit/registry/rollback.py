"""Rollback: a version that was champion before is champion again. An event like any other; nothing is deleted.

It is possible while promotions are frozen: a freeze keeps new models out, and the way back to a known one stays open.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

from beampermit.errors import BadInput
from beampermit.registry.change import Change, Moved, same_command, same_run
from beampermit.registry.chronicle import State
from beampermit.registry.event import Event
from beampermit.registry.models import bring
from beampermit.registry.reconcile import must_be_there, reconcile


def rollback(change: Change, *, to: int | None = None, reason: str = "", retired: bool = False) -> Moved:
    """Make version `to` champion again; if not given, the one before the champion that was not retired.

    `retired` lets a version be taken that was retired. Raises `BadInput` where there is nothing to go back to,
    `Conflict` where somebody else was first, `Outside`.
    """
    state, last = change.read()
    done = _done_already(change, state, to, reason)
    if done:
        return done
    change.must_be_new("rollback", state, to)
    target = _target(state, last, to, retired)
    change.watch("judge the bytes to go back to")
    must_be_there(change.registry, target)
    with tempfile.TemporaryDirectory(prefix="beampermit-") as scratch:
        bring(change.registry, change.model, target.version, target.digest, Path(scratch))
    return change.write("rollback", target, reason)


def _done_already(change: Change, state: State, to: int | None, reason: str) -> Moved | None:
    """What to say where the champion is the one asked for, or an earlier run was killed after it wrote the ledger.

    Without this, a rollback that is run again to be finished would go back twice: also one that was finished, and
    whose last word was lost. So the same person with the same reason goes further back only with `to`.
    """
    standing = state.champion
    if standing is None or not (standing.event == "rollback" if to is None else standing.version == to):
        return None
    if to is not None:
        return change.stands(standing)
    # Not told as "the ledger has it": unless the registry was behind, this rollback is not the one that is asked for.
    moved = reconcile(change.ledger, change.registry, change.model, change.watch, news=True)
    again = same_run(standing) or same_command(standing, change.git, reason)
    return Moved(standing, False, moved) if moved or again else None


def _target(state: State, last: Event, to: int | None, retired: bool) -> Event:
    if to is None:
        if state.before is None:
            raise BadInput(
                f"version {last.version} of {last.model} is the first that is not retired; "
                f"there is nothing before it to go back to",
                hint="beampermit history",
            )
        return state.before
    found = state.promoted.get(to)
    if found is None:
        known = ", ".join(map(str, sorted(state.promoted)))
        raise BadInput(
            f"version {to} of {last.model} was never champion; these were: {known}", hint="beampermit history"
        )
    end = state.retired.get(to)
    if end and not retired:
        raise BadInput(
            f"version {to} of {last.model} was retired at {end.at} by {end.by}: {end.reason}",
            hint=f"beampermit rollback --to {to} --retired --reason WHY",
        )
    return found
