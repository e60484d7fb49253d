"""Makes the registry say what the ledger says, whoever moved it and wherever a run was killed."""

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
    CHAMPION: "mark the champion",
    "former": "mark the champion before",
    "retired": "mark the retired",
}


def reconcile(
    ledger: Ledger, registry: Registry, model: str, progress: Progress, *, news: bool = False
) -> tuple[str, ...]:
    """Move alias and tags of `model` to what the ledger says; give a line for each thing that was otherwise.

    With `news`, of the versions only those are looked at of which the ledger said something since the registry was
    last found to show all of it; the champion always is. What somebody changed by hand at others, stays.
    Raises `Conflict` where another ledger rules there; `Outside` when the registry does not answer, or does not hold
    the champion's bytes.
    """
    moved: list[str] = []
    for state in states_until_stable(ledger, model):
        moved += reconcile_once(registry, model, state, progress, news)
    return tuple(moved)


def states_until_stable(ledger: Ledger, model: str) -> Iterator[ModelState]:
    """The state of `model`, again and again, until the ledger said nothing more of it while the last one was used.

    An alias knows no compare-and-swap: if the ledger moved meanwhile, it may be ours that is the stale one.
    """
    ledger.fetch()
    state, seen = ledger.state(model), None
    while seen != len(state.events):
        seen = len(state.events)
        yield state
        ledger.fetch()
        state = ledger.state(model)


def require_same_ledger(registry: Registry, model: str, state: ModelState) -> int | None:
    """The version shown as champion, or None. Raises `Conflict` where another ledger than this one put it there."""
    shown = registry.alias(model, CHAMPION)
    if state.last is None and shown is not None:
        version = registry.version(model, shown)
        if version and "sequence" in version.tags:
            raise Conflict(
                f"the registry {registry.name} shows version {shown} of {model}, and this ledger is empty: "
                f"it was lost, or another project promotes a model of that name there; nothing moved",
                hint="push the ledger from a clone that has it, or give one of the models another name",
            )
    return shown


def require_version(registry: Registry, event: Event) -> Version:
    """The version that an event names. Raises `Outside` where the registry has lost it."""
    version = registry.version(event.model, event.version)
    if version is None:
        raise missing_version(registry, event)
    return version


def missing_version(registry: Registry, event: Event) -> Outside:
    """What to say of a version that the ledger knows and the registry does not."""
    return Outside(
        f"the registry {registry.name} has no version {event.version} of {event.model}, which the ledger says was "
        f"promoted at {event.at}",
        hint=REBUILD,
    )


def reconcile_once(registry: Registry, model: str, state: ModelState, progress: Progress, news: bool) -> Iterator[str]:
    """One pass: each step, and the line that says what was otherwise. Raises as `reconcile`."""
    shown = require_same_ledger(registry, model, state)
    if state.last is None:
        if shown is not None:
            progress("remove an alias that the ledger knows nothing of")
            registry.delete_alias(model, CHAMPION)
            yield f"champion showed version {shown}, and nothing was ever promoted: removed"
        return
    found = (_news(registry, model, state, shown) if news else None) or registry.versions(model)
    known = {version.number: version for version in found}
    standing = state.champion
    if standing and standing.version not in known:
        raise missing_version(registry, standing)
    yield from _tags(registry, state, known, progress)
    if standing is None:
        # Said before the alias goes: not every identity that may move one may also take it away.
        yield from _statuses(registry, state, known, progress)
        yield from _state(registry, model, state, progress)
        yield from _removed(registry, model, shown, progress)
        return
    if shown != standing.version:
        progress("move champion")
        registry.set_alias(model, CHAMPION, standing.version)
        yield f"champion moved from {_named(shown)} to version {standing.version}"
    yield from _statuses(registry, state, known, progress)
    yield from _state(registry, model, state, progress)


def _news(registry: Registry, model: str, state: ModelState, shown: int | None) -> list[Version] | None:
    """The versions of which the ledger said something since the one that is shown was marked as champion.

    That mark is the last thing that is written. None where there is none, or it is not one of this ledger.
    """
    marked = registry.version(model, shown) if shown else None
    place = marked.tags.get("sequence", "") if marked and marked.tags.get("status") == CHAMPION else ""
    # More digits are no line, and Python refuses thousands of them.
    numbers = state.touched(int(place)) if place.isdecimal() and len(place) < 10 else None
    if numbers is None:
        return None
    return [version for number in sorted(numbers) if (version := registry.version(model, number))]


def _tags(registry: Registry, state: ModelState, known: Mapping[int, Version], progress: Progress) -> Iterator[str]:
    """Tags name what the ledger promoted; where they do not, the bytes are judged before they are called that."""
    for number, event in state.promoted.items():
        if number not in known:
            continue
        wanted = {"permit": event.permit, "digest": event.digest, "commit": event.commit}
        wrong = {key: value for key, value in wanted.items() if known[number].tags.get(key) != value}
        if not wrong:
            continue
        progress("judge the bytes of a version whose tags are not the ledger's")
        with tempfile.TemporaryDirectory(prefix="beampermit-") as scratch:
            download_verified(registry, event.model, number, event.digest, Path(scratch))
        registry.tag(event.model, number, **wrong)
        yield f"version {number}: {', '.join(wrong)} set to what the ledger says"


def _statuses(registry: Registry, state: ModelState, known: Mapping[int, Version], progress: Progress) -> Iterator[str]:
    """The champion's comes last: whoever finds it marked finds all else done."""
    for number, version in sorted(known.items(), key=lambda item: item[0] == state.seen):
        wanted = _status(state, number)
        if {key: version.tags.get(key, "") for key in wanted} == wanted:
            continue
        status = wanted["status"]
        progress(STEPS.get(status, "unmark a version that was never promoted"))
        registry.tag(version.model, number, **wanted)
        yield f"version {number} marked as {status}" if status else f"version {number}: the mark of a champion removed"


def _status(state: ModelState, number: int) -> dict[str, str]:
    """The tags that say what became of a version; a version of the registry alone is a challenger at most."""
    if state.champion and number == state.champion.version:
        return {"status": CHAMPION, "sequence": str(state.champion.sequence)}
    if number in state.retired:
        return {"status": "retired"}
    return {"status": "former" if number in state.promoted else ""}


def _state(registry: Registry, model: str, state: ModelState, progress: Progress) -> Iterator[str]:
    wanted = ("in service" if state.champion else "out of service") + (", frozen" if state.frozen else "")
    if registry.state(model) == wanted:
        return
    progress("mark the model")
    registry.set_state(model, wanted)
    yield f"the model marked as {wanted}"


def _removed(registry: Registry, model: str, shown: int | None, progress: Progress) -> Iterator[str]:
    if shown is None:
        return
    progress("remove champion")
    registry.delete_alias(model, CHAMPION)
    yield f"champion removed from version {shown}: the model was taken out of service"


def _named(version: int | None) -> str:
    return "nothing" if version is None else f"version {version}"


def find_differences(ledger: Ledger, registry: Registry, model: str, progress: Progress) -> tuple[str, ...]:
    """The lines that `reconcile` would give; the bytes in service, and those that a rollback needs, are judged as well.

    Raises as `reconcile`; `Outside` also where the registry holds other bytes than the ledger promised.
    """
    looked_at = _ReadOnly(registry.uri)
    found: tuple[str, ...] = ()
    for state in states_until_stable(ledger, model):
        found = tuple(reconcile_once(looked_at, model, state, progress, news=False))
    _verify_bytes(looked_at, ledger.state(model), progress)
    return found


def _verify_bytes(registry: Registry, state: ModelState, progress: Progress) -> None:
    progress("judge the bytes in service, and those of the way back")
    for event in filter(None, (state.champion, state.before)):
        with tempfile.TemporaryDirectory(prefix="beampermit-") as scratch:
            download_verified(registry, event.model, event.version, event.digest, Path(scratch))


class _ReadOnly(Registry):
    """A registry in which nothing is written."""

    def set_alias(self, model: str, alias: str, number: int) -> None:
        """Nothing."""

    def delete_alias(self, model: str, alias: str) -> None:
        """Nothing."""

    def set_state(self, model: str, state: str) -> None:
        """Nothing."""

    def tag(self, model: str, number: int, **tags: str) -> None:
        """Nothing."""
