"""A registry that was lost is made again from ledger and DVC remote, and each version keeps its number.

MLflow counts versions itself, from 1, and gives no number twice. So the versions are registered in their order, and
where the ledger knows none of a number (a challenger that was never promoted) an empty one keeps its place.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

from beampermit.errors import Conflict, Outside
from beampermit.progress import Progress
from beampermit.registry.event import Event
from beampermit.registry.ledger import Ledger
from beampermit.registry.ledger_state import ModelState
from beampermit.registry.mlflow import Registry
from beampermit.registry.reconcile import require_same_ledger

LOST = "lost"
"""Tag of a version that is only there for its number."""
FetchModel = Callable[[Event, Path], Path]
"""Brings the bytes of a version below a folder; raises `Outside` where they are gone."""


def rebuild(ledger: Ledger, registry: Registry, model: str, recover: FetchModel, progress: Progress) -> tuple[str, ...]:
    """Register again what the ledger knows and the registry lost; give a line for each version. `reconcile` follows.

    Killed anywhere, the next run goes on. Raises `Conflict` where a number cannot be given any more; `Outside` where
    the champion's bytes are gone: of a former champion only that is said.
    """
    progress("read the ledger")
    ledger.fetch()
    state = ledger.state(model)
    require_same_ledger(registry, model, state)
    known = {version.number for version in registry.versions(model)}
    missing = [number for number in range(1, max(state.promoted, default=0) + 1) if number not in known]
    wanted = [number for number in missing if number in state.promoted or number > max(known, default=0)]
    if wanted and known and wanted[0] < max(known):
        raise _used_up(registry, model, wanted[0], max(known) + 1)
    return tuple(
        line for number in wanted for line in _register(ledger, registry, model, state, number, recover, progress)
    )


def _register(
    ledger: Ledger,
    registry: Registry,
    model: str,
    state: ModelState,
    number: int,
    recover: FetchModel,
    progress: Progress,
) -> Iterator[str]:
    event = state.promoted.get(number)
    with tempfile.TemporaryDirectory(prefix="beampermit-") as scratch:
        if event is None:
            yield _keep_number(registry, model, number, "it was never promoted", {}, Path(scratch), progress)
            return
        tags = {"permit": event.permit, "digest": event.digest, "commit": event.commit}
        progress("bring the bytes of a lost version")
        try:
            found = recover(event, Path(scratch))
        except Outside as error:
            if number == state.seen:
                raise
            yield _keep_number(registry, model, number, error.message, tags, Path(scratch), progress)
            return
        signed = ledger.permit(event)
        run = registry.store(model, found, event.permit, {"permit.dsse.json": signed.decode()} if signed else {})
    progress("register a lost version again")
    _create(registry, model, number, run, tags)
    yield f"version {number} registered again, from commit {event.commit[:12]}"


def _keep_number(
    registry: Registry, model: str, number: int, why: str, tags: dict[str, str], scratch: Path, progress: Progress
) -> str:
    progress("keep the number of a version that cannot be brought back")
    folder = scratch / "kept"
    folder.mkdir()
    (folder / "LOST.txt").write_text(f"There is no model here. Version {number} keeps its number: {why}.\n")
    run = registry.store(model, folder, f"{LOST} {number}", {})
    _create(registry, model, number, run, {**tags, LOST: "true"})
    return f"version {number} keeps its number and nothing else: {why}"


def _create(registry: Registry, model: str, number: int, run: str, tags: dict[str, str]) -> None:
    made = registry.create_version(model, run, **tags)
    if made != number:
        raise _used_up(registry, model, number, made)


def _used_up(registry: Registry, model: str, number: int, made: int) -> Conflict:
    return Conflict(
        f"version {number} of {model} was deleted in the registry {registry.name}, and MLflow gives a number but "
        f"once: the next is {made}",
        hint=f"roll back to a version that is there; or delete the registered model {model} in MLflow, "
        f"then run `beampermit reconcile --rebuild`",
    )
