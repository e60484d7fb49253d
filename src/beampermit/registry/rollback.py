"""Rollback: a version that was champion before is champion again. An event like any other; nothing is deleted."""

from __future__ import annotations

import tempfile
from pathlib import Path

from beampermit.errors import BadInput
from beampermit.git import Git
from beampermit.registry.event import Event, circumstances, promoted, workflow_run
from beampermit.registry.ledger import Ledger
from beampermit.registry.mlflow import Registry
from beampermit.registry.models import bring
from beampermit.registry.promotion import Moved
from beampermit.registry.reconcile import Watch, reconcile


def rollback(
    git: Git, ledger: Ledger, registry: Registry, model: str, watch: Watch, *, to: int | None = None, reason: str = ""
) -> Moved:
    """Make version `to` of `model` champion again; if not given, the one that the present champion took over from.

    Raises `BadInput` where there is nothing to go back to, `Conflict` where somebody else was first, `Outside`.
    """
    watch("read the ledger")
    ledger.fetch()
    standing = ledger.champion(model)
    if standing is None:
        raise BadInput(f"no version of {model} was ever promoted", hint="beampermit history")
    done = _done_already(ledger, registry, standing, watch, to)
    if done:
        return done
    target = _target(ledger.events(), standing, to)
    watch("judge the bytes to go back to")
    with tempfile.TemporaryDirectory(prefix="beampermit-") as scratch:
        bring(registry, model, target.version, target.digest, Path(scratch))
    event = target.model_copy(
        update={
            "event": "rollback",
            "sequence": len(ledger.events()) + 1,
            "expected": standing.version,
            **circumstances(git, reason),
        }
    )
    watch("append to the ledger")
    ledger.append(event)
    return Moved(event, True, reconcile(ledger, registry, model, watch))


def _done_already(ledger: Ledger, registry: Registry, standing: Event, watch: Watch, to: int | None) -> Moved | None:
    """What to say where the champion is the one asked for, or an earlier run was killed after it wrote the ledger.

    Without this, a rollback that is run again to be finished would go back twice.
    """
    wanted = standing.event == "rollback" if to is None else standing.version == to
    if not wanted:
        return None
    moved = reconcile(ledger, registry, standing.model, watch)
    same_run = bool(standing.run) and standing.run == workflow_run()
    return Moved(standing, False, moved) if to is not None or moved or same_run else None


def _target(events: tuple[Event, ...], standing: Event, to: int | None) -> Event:
    first = promoted(events, standing.model, standing.version)
    version = to if to is not None else first and first.expected
    if version is None:
        raise BadInput(
            f"version {standing.version} of {standing.model} was the first; there is nothing before it to go back to",
            hint="beampermit history",
        )
    found = promoted(events, standing.model, version)
    if found is None:
        known = sorted({event.version for event in events if event.model == standing.model})
        raise BadInput(
            f"version {version} of {standing.model} was never champion; these were: {', '.join(map(str, known))}",
            hint="beampermit history",
        )
    return found
