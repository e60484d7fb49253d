"""Makes the registry match the ledger, whoever changed it and wherever a run was killed."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path

from beampermit.errors import Conflict, Outside
from beampermit.progress import Progress
from beampermit.registry.event import Event
from beampermit.registry.ledger import Ledger
from beampermit.registry.ledger_state import ModelState
from beampermit.registry.mlflow import Registry, Version
from beampermit.registry.models import download_verified

CHAMPION = "champion"
REBUILD = "beampermit reconcile --rebuild"
STEPS = {
    CHAMPION: "tag the champion",
    "former": "tag the former champion",
    "retired": "tag the retired version",
}


def reconcile(
    ledger: Ledger, registry: Registry, model: str, progress: Progress, *, incremental: bool = False
) -> tuple[str, ...]:
    """Set aliases and tags of `model` to what the ledger says; one line for each change.

    With `incremental`, only the champion and the versions in events since the registry last matched the ledger are
    checked; manual changes to other versions stay. Raises `Conflict` where the registry belongs to another ledger,
    `Outside` where it does not answer or does not hold the champion's bytes.
    """
    changes: list[str] = []
    for state in states_until_stable(ledger, model):
        changes += reconcile_once(registry, model, state, progress, incremental)
    return tuple(changes)


def states_until_stable(ledger: Ledger, model: str) -> Iterator[ModelState]:
    """The state of `model`, again until the ledger has no new event of it.

    An alias has no compare-and-swap: if the ledger changes meanwhile, this run may have set the outdated value.
    """
    ledger.fetch()
    state, seen = ledger.state(model), None
    while seen != len(state.events):
        seen = len(state.events)
        yield state
        ledger.fetch()
        state = ledger.state(model)


def require_same_ledger(registry: Registry, model: str, state: ModelState) -> int | None:
    """The version with alias `champion`, or None. Raises `Conflict` where another ledger's promotion set the alias."""
    current = registry.alias(model, CHAMPION)
    if state.last_in_service is None and current is not None:
        version = registry.version(model, current)
        if version and "sequence" in version.tags:
            raise Conflict(
                f"the registry {registry.name} has champion version {current} of {model}, but this ledger is empty: "
                f"it was lost, or another project promotes a model of the same name; the ledger was not changed",
                hint="push the branch beampermit-ledger from a clone that has it, or rename one of the models",
            )
    return current


def require_version(registry: Registry, event: Event) -> Version:
    """The version of an event. Raises `Outside` where the registry does not have it."""
    version = registry.version(event.model, event.version)
    if version is None:
        raise missing_version(registry, event)
    return version


def missing_version(registry: Registry, event: Event) -> Outside:
    return Outside(
        f"the registry {registry.name} has no version {event.version} of {event.model}, which was promoted at "
        f"{event.at} according to the ledger",
        hint=REBUILD,
    )


def reconcile_once(
    registry: Registry, model: str, state: ModelState, progress: Progress, incremental: bool
) -> Iterator[str]:
    """One pass, a line for each change. Raises as `reconcile`."""
    current = require_same_ledger(registry, model, state)
    if state.last_in_service is None:
        if current is not None:
            progress("remove an alias without a promotion")
            registry.delete_alias(model, CHAMPION)
            yield f"alias champion removed from version {current}: no version was ever promoted"
        return
    checked = (_recent_versions(registry, model, state, current) if incremental else None) or registry.versions(model)
    versions = {version.number: version for version in checked}
    champion = state.champion
    if champion and champion.version not in versions:
        raise missing_version(registry, champion)
    yield from _set_tags(registry, state, versions, progress)
    if champion is None:
        # Tags before the alias: an identity that may set an alias may lack the permission to delete it.
        yield from _set_statuses(registry, state, versions, progress)
        yield from _set_state(registry, model, state, progress)
        yield from _remove_champion(registry, model, current, progress)
        return
    if current != champion.version:
        progress("move alias champion")
        registry.set_alias(model, CHAMPION, champion.version)
        origin = "" if current is None else f"from version {current} "
        yield f"alias champion moved {origin}to version {champion.version}"
    yield from _set_statuses(registry, state, versions, progress)
    yield from _set_state(registry, model, state, progress)


def _recent_versions(registry: Registry, model: str, state: ModelState, current: int | None) -> list[Version] | None:
    """The versions in events since the current champion was tagged, which is the last write of a pass.

    None where that tag is missing or is not of this ledger.
    """
    version = registry.version(model, current) if current else None
    line = version.tags.get("sequence", "") if version and version.tags.get("status") == CHAMPION else ""
    # No ledger has lines of ten digits, and int() refuses thousands of digits.
    numbers = state.versions_since(int(line)) if line.isdecimal() and len(line) < 10 else None
    if numbers is None:
        return None
    return [version for number in sorted(numbers) if (version := registry.version(model, number))]


def _set_tags(
    registry: Registry, state: ModelState, versions: Mapping[int, Version], progress: Progress
) -> Iterator[str]:
    """Where tags differ from the promotion, the bytes are verified before the tags are corrected."""
    for number, event in state.promoted.items():
        if number not in versions:
            continue
        tags = {"permit": event.permit, "digest": event.digest, "commit": event.commit}
        wrong = {key: value for key, value in tags.items() if versions[number].tags.get(key) != value}
        if not wrong:
            continue
        progress("check the bytes of a version with wrong tags")
        with tempfile.TemporaryDirectory(prefix="beampermit-") as scratch:
            download_verified(registry, event.model, number, event.digest, Path(scratch))
        registry.tag(event.model, number, **wrong)
        yield f"version {number}: {', '.join(wrong)} set from the ledger"


def _set_statuses(
    registry: Registry, state: ModelState, versions: Mapping[int, Version], progress: Progress
) -> Iterator[str]:
    """The champion's is set last, so its tag means that all others are done."""
    for number, version in sorted(versions.items(), key=lambda item: item[0] == state.champion_version):
        tags = _status_tags(state, number)
        if {key: version.tags.get(key, "") for key in tags} == tags:
            continue
        status = tags["status"]
        progress(STEPS.get(status, "untag a version that was never promoted"))
        registry.tag(version.model, number, **tags)
        yield f"version {number} tagged {status}" if status else f"version {number}: tag champion removed"


def _status_tags(state: ModelState, number: int) -> dict[str, str]:
    """Empty status for a version that the ledger does not know."""
    if state.champion and number == state.champion.version:
        return {"status": CHAMPION, "sequence": str(state.champion.sequence)}
    if number in state.retired:
        return {"status": "retired"}
    return {"status": "former" if number in state.promoted else ""}


def _set_state(registry: Registry, model: str, state: ModelState, progress: Progress) -> Iterator[str]:
    wanted = ("in service" if state.champion else "out of service") + (", frozen" if state.frozen else "")
    if registry.state(model) == wanted:
        return
    progress("tag the model")
    registry.set_state(model, wanted)
    yield f"model tagged {wanted}"


def _remove_champion(registry: Registry, model: str, current: int | None, progress: Progress) -> Iterator[str]:
    if current is None:
        return
    progress("remove alias champion")
    registry.delete_alias(model, CHAMPION)
    yield f"alias champion removed from version {current}: the model is out of service"


def find_differences(ledger: Ledger, registry: Registry, model: str, progress: Progress) -> tuple[str, ...]:
    """The changes that `reconcile` would make; also verifies the bytes of the champion and of the rollback target.

    Raises as `reconcile`; `Outside` also where the registry holds other bytes than the ledger says.
    """
    read_only = _ReadOnly(registry.uri)
    changes: tuple[str, ...] = ()
    for state in states_until_stable(ledger, model):
        changes = tuple(reconcile_once(read_only, model, state, progress, incremental=False))
    _verify_bytes(read_only, ledger.state(model), progress)
    return changes


def _verify_bytes(registry: Registry, state: ModelState, progress: Progress) -> None:
    progress("check the bytes of the champion and of the rollback target")
    for event in filter(None, (state.champion, state.rollback_target)):
        with tempfile.TemporaryDirectory(prefix="beampermit-") as scratch:
            download_verified(registry, event.model, event.version, event.digest, Path(scratch))


class _ReadOnly(Registry):
    """All writes do nothing."""

    def set_alias(self, model: str, alias: str, number: int) -> None: ...

    def delete_alias(self, model: str, alias: str) -> None: ...

    def set_state(self, model: str, state: str) -> None: ...

    def tag(self, model: str, number: int, **tags: str) -> None: ...
