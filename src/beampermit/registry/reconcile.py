"""Makes the registry say what the ledger says, whoever moved it and wherever a run was killed."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

from beampermit.errors import Conflict, Outside
from beampermit.registry.event import Event
from beampermit.registry.ledger import Ledger
from beampermit.registry.mlflow import Registry, Version
from beampermit.registry.models import bring

CHAMPION = "champion"
Watch = Callable[[str], None]
"""Told what is done next, in a few words."""


def reconcile(ledger: Ledger, registry: Registry, model: str, watch: Watch) -> tuple[str, ...]:
    """Move alias and tags of `model` to what the ledger says; give a line for each thing that was otherwise.

    Raises `Conflict` where another ledger rules there; `Outside` when the registry does not answer, or does not hold
    the champion's bytes.
    """
    ledger.fetch()
    moved: list[str] = []
    while True:
        standing = ledger.champion(model)
        moved += _agree(registry, model, standing, watch)
        # An alias knows no compare-and-swap: if the ledger moved meanwhile, it may be ours that is the stale one.
        ledger.fetch()
        if ledger.champion(model) == standing:
            return tuple(moved)


def must_be_ours(registry: Registry, model: str, standing: Event | None) -> int | None:
    """The version shown as champion, or None. Raises `Conflict` where another ledger than this one put it there."""
    shown = registry.alias(model, CHAMPION)
    if standing is None and shown is not None:
        version = registry.version(model, shown)
        if version and "sequence" in version.tags:
            raise Conflict(
                f"the registry {registry.name} shows version {shown} of {model}, and this ledger is empty: "
                f"it was lost, or another project promotes a model of that name there; nothing moved",
                hint="push the ledger from a clone that has it, or give one of the models another name",
            )
    return shown


def _agree(registry: Registry, model: str, standing: Event | None, watch: Watch) -> Iterator[str]:
    shown = must_be_ours(registry, model, standing)
    if standing is None:
        if shown is not None:
            watch("remove an alias that the ledger knows nothing of")
            registry.delete_alias(model, CHAMPION)
            yield f"champion showed version {shown}, and nothing was ever promoted: removed"
        return
    yield from _tags(registry, standing, watch)
    if shown != standing.version:
        watch("move champion")
        registry.set_alias(model, CHAMPION, standing.version)
        yield f"champion moved from {_named(shown)} to version {standing.version}"
    yield from _statuses(registry, standing, watch)


def _tags(registry: Registry, standing: Event, watch: Watch) -> Iterator[str]:
    """The version's tags name what the ledger promoted; where they do not, its bytes are judged before it is shown."""
    version = registry.version(standing.model, standing.version)
    if version is None:
        raise Outside(
            f"the registry {registry.name} has no version {standing.version} of {standing.model}, "
            f"which the ledger calls champion",
            hint="beampermit history",
        )
    wanted = {"permit": standing.permit, "digest": standing.digest, "commit": standing.commit}
    wrong = {key: value for key, value in wanted.items() if version.tags.get(key) != value}
    if not wrong:
        return
    watch("judge the bytes of a version whose tags are not the ledger's")
    with tempfile.TemporaryDirectory(prefix="beampermit-") as scratch:
        bring(registry, standing.model, standing.version, standing.digest, Path(scratch))
    registry.tag(standing.model, standing.version, **wrong)
    yield f"version {standing.version}: {', '.join(wrong)} set to what the ledger says"


def _statuses(registry: Registry, standing: Event, watch: Watch) -> Iterator[str]:
    marked = registry.versions(standing.model, status=CHAMPION)
    for version in marked:
        if version.number != standing.version:
            watch("mark the champion before")
            registry.tag(standing.model, version.number, status="former")
            yield f"version {version.number} marked as former"
    if not _marked(marked, standing):
        watch("mark the champion")
        registry.tag(standing.model, standing.version, status=CHAMPION, sequence=str(standing.sequence))
        yield f"version {standing.version} marked as champion"


def _marked(marked: list[Version], standing: Event) -> bool:
    sequence = str(standing.sequence)
    return any(one.number == standing.version and one.tags.get("sequence") == sequence for one in marked)


def _named(version: int | None) -> str:
    return "nothing" if version is None else f"version {version}"
