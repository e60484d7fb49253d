"""Registers the versions of a lost registry again, from ledger and DVC remote, under their old numbers.

MLflow counts versions from 1 and never reuses a number. So the versions are registered in order, and an empty version
takes the place of each number that the ledger does not know (a challenger that was never promoted).
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

from beampermit.errors import Conflict, Failed, Outside
from beampermit.progress import Progress
from beampermit.registry.event import Event
from beampermit.registry.ledger import Ledger
from beampermit.registry.ledger_state import ModelState
from beampermit.registry.mlflow import IDENTITY, Registry
from beampermit.registry.reconcile import REBUILD, require_identity, require_same_ledger

LOST = "lost"
"""Tag of an empty version."""
MOST_EMPTY = 1000
"""Versions in a row that were registered and never promoted."""
FetchModel = Callable[[Event, Path], Path]
"""Writes the model of a promotion below a folder; raises `Outside` where its bytes are gone."""


def rebuild(
    ledger: Ledger, registry: Registry, model: str, fetch: FetchModel, progress: Progress, *, moved: bool = False
) -> tuple[str, ...]:
    """Register the versions that the ledger knows and the registry lost; one line for each. `reconcile` must follow.

    A killed run is continued by the next. With `moved`, `registry` takes the place of the one that the ledger names,
    and `operations.move` must follow. Raises `Conflict` where it is another one without that, or where MLflow cannot
    give a number any more; `Failed` where the champion's permit is not believed; `Outside` where its bytes are gone. A
    former champion without bytes, or that is not believed, gets an empty version.
    """
    progress("read the ledger")
    ledger.fetch()
    state = ledger.state(model)
    if state.last_in_service is None:
        return ()
    _require_to_be_rebuilt(ledger, registry, model, state, moved)
    numbers = {version.number for version in registry.versions(model)}
    _require_few(state, max(numbers, default=0))
    missing = [number for number in range(1, max(state.promoted, default=0) + 1) if number not in numbers]
    wanted = [number for number in missing if number in state.promoted or number > max(numbers, default=0)]
    if wanted and numbers and wanted[0] < max(numbers):
        raise _number_used(registry, model, wanted[0], max(numbers) + 1)
    return tuple(
        line for number in wanted for line in _register(ledger, registry, model, state, number, fetch, progress)
    )


def _require_few(state: ModelState, there: int) -> None:
    """Raises `Failed` where a line of the ledger, which may be forged, asks for more empty versions than ever were."""
    for number in sorted(state.promoted):
        if number - there > MOST_EMPTY:
            event = state.promoted[number]
            raise Failed(
                f"line {event.sequence} of the ledger promotes version {number}, but the version before is {there}",
                hint="beampermit history",
            )
        there = max(there, number)


def _require_to_be_rebuilt(ledger: Ledger, registry: Registry, model: str, state: ModelState, moved: bool) -> None:
    """Gives the registry its identity: that of the one that was lost at the same address, else a new one."""
    tags, home = registry.tags(model), state.home
    lost_here = home is not None and IDENTITY not in tags and registry.address == home.address
    if not moved and not lost_here:
        require_identity(registry, model, state, tags)
    require_same_ledger(ledger, registry, model, tags)
    registry.identify(model, home.registry if home and lost_here else "")


def _register(
    ledger: Ledger,
    registry: Registry,
    model: str,
    state: ModelState,
    number: int,
    fetch: FetchModel,
    progress: Progress,
) -> Iterator[str]:
    event = state.promoted.get(number)
    with tempfile.TemporaryDirectory(prefix="beampermit-") as scratch:
        if event is None:
            yield _register_empty(registry, model, number, "it was never promoted", {}, Path(scratch), progress)
            return
        try:
            ledger.believe(event)
        except Failed as error:
            if number == state.champion_version:
                raise
            yield _register_empty(registry, model, number, error.message, {}, Path(scratch), progress)
            return
        tags = {"permit": event.permit, "digest": event.digest, "commit": event.commit}
        progress("fetch the bytes of a lost version")
        try:
            folder = fetch(event, Path(scratch))
        except Outside as error:
            if number == state.champion_version:
                raise
            yield _register_empty(registry, model, number, error.message, tags, Path(scratch), progress)
            return
        signed = ledger.permit(event)
        run = registry.store(model, folder, event.permit, {"permit.dsse.json": signed.decode()} if signed else {})
    progress("register a lost version")
    _create(registry, model, number, run, tags)
    yield f"version {number} registered again, from commit {event.commit[:12]}"


def _register_empty(
    registry: Registry, model: str, number: int, why: str, tags: dict[str, str], scratch: Path, progress: Progress
) -> str:
    progress("register an empty version to keep its number")
    folder = scratch / "empty"
    folder.mkdir()
    (folder / "LOST.txt").write_text(f"Version {number} has no model, only its number: {why}.\n")
    run = registry.store(model, folder, f"{LOST} {number}", {})
    _create(registry, model, number, run, {**tags, LOST: "true"})
    return f"version {number} registered without a model to keep its number: {why}"


def _create(registry: Registry, model: str, number: int, run: str, tags: dict[str, str]) -> None:
    created = registry.create_version(model, run, **tags)
    if created != number:
        raise _number_used(registry, model, number, created)


def _number_used(registry: Registry, model: str, number: int, following: int) -> Conflict:
    return Conflict(
        f"version {number} of {model} was deleted in the registry {registry.name}, and MLflow does not reuse numbers: "
        f"the next is {following}",
        hint=f"roll back to an existing version, or delete the registered model {model} in MLflow and run `{REBUILD}`",
    )
