"""Makes the registry match the ledger, whoever changed it and wherever a run was killed."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

from beampermit.errors import Conflict, Outside
from beampermit.progress import Progress
from beampermit.registry.event import Event
from beampermit.registry.fetching import download_verified
from beampermit.registry.ledger import Ledger
from beampermit.registry.ledger_state import ModelState
from beampermit.registry.mlflow import IDENTITY, Registry, Run, Version, export
from beampermit.registry.refusals import is_denied

CHAMPION, NOT_BELIEVED = "champion", "not believed"
MARK = "ledger"
"""Tag of the registered model: the newest line of the ledger that it has shown, and a digest of the lines up to it."""
REBUILD, MOVED = "beampermit reconcile --rebuild", "beampermit reconcile --moved --reason WHY"
BUSY = timedelta(hours=1)
"""For so long a run without a version may be one of a promotion that goes on."""
STEPS = {
    CHAMPION: "tag the champion",
    "former": "tag the former champion",
    "retired": "tag the retired version",
    NOT_BELIEVED: "tag a version that is not believed",
}


def reconcile(
    ledger: Ledger,
    registry: Registry,
    model: str,
    progress: Progress,
    *,
    incremental: bool = False,
    checked: Event | None = None,
) -> tuple[str, ...]:
    """Set aliases and tags of `model` to what the ledger says, and remove runs that a promotion left without a version;
    one line for each change.

    With `incremental`, only the champion and the versions in events since the registry last matched the ledger are
    checked; manual changes to other versions stay. The bytes of the version of `checked` were verified just now.
    Raises `Failed` where the champion's permit is not believed, `Conflict` where the registry belongs to another
    ledger or has shown a longer one, `Outside` where it does not answer, or lost versions or the champion's bytes.
    """
    changes: list[str] = []
    for state in states_until_stable(ledger, model):
        changes += reconcile_once(ledger, registry, model, state, progress, incremental, checked)
    if not incremental:
        require_all_versions(registry, model, ledger.state(model), changes)
        changes += _remove_abandoned(registry, model, ledger.state(model), progress, name_others=True)
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


def require_same_registry(ledger: Ledger, registry: Registry, model: str, state: ModelState) -> Version | None:
    """The version with alias `champion`, or None.

    Raises `Conflict` where this is not the registry that the ledger names, or where it has shown events that the ledger
    lacks; `Outside` where it lost the model.
    """
    tags = registry.tags(model)
    require_identity(registry, model, state, tags)
    return require_same_ledger(ledger, registry, model, tags)


def require_same_ledger(ledger: Ledger, registry: Registry, model: str, tags: Mapping[str, str]) -> Version | None:
    """As `require_same_registry`, whatever the registry's identity."""
    current = registry.aliased(model, CHAMPION)
    line = _parse_line(current.tags.get("sequence", "") if current else "")
    if _lacks(ledger, model, line, tags.get(MARK, "")):
        # Somebody else may have appended and shown an event since the ledger was fetched.
        ledger.fetch()
        if missing := _lacks(ledger, model, line, tags.get(MARK, "")):
            raise _other_ledger(registry, model, current, missing)
    return current


def require_identity(registry: Registry, model: str, state: ModelState, tags: Mapping[str, str]) -> None:
    """Raises as `require_same_registry`."""
    home, identity = state.home, tags.get(IDENTITY)
    if home is None or identity == home.registry:
        return
    if identity is None and registry.address == home.address:
        raise Outside(
            f"the registry {registry.name} has lost {model}: it does not have the identity that it had when the "
            f"ledger's line {home.sequence} was written",
            hint=REBUILD,
        )
    found = f"its identity is {identity}" if identity else f"it does not know {model}"
    raise Conflict(
        f"{registry.name} is not the registry of this ledger, which is {home.address} since {home.at}: {found}, "
        f"not {home.registry}",
        hint=f"run `{export(home.address)}`; if the registry was moved for good, `{MOVED}`",
    )


def _lacks(ledger: Ledger, model: str, line: int, mark: str) -> str:
    """What the registry has shown and the ledger does not have; empty where the ledger continues it."""
    length = ledger.read(model).length
    marked = _parse_line(mark.partition(" ")[0])
    shown = max(line, marked)
    if shown > length:
        set_back = f"the registry has shown line {shown} of the ledger, which has {length}: it was set back"
        return set_back if length else "this ledger is empty: it was lost"
    if marked and mark != ledger.mark(marked):
        return f"the registry has shown another ledger up to line {marked}: it was rewritten"
    if line and not any(event.sequence == line for event in ledger.state(model).events):
        return f"the registry has shown line {line} for {model}, and the ledger has no such event there"
    return ""


def _other_ledger(registry: Registry, model: str, current: Version | None, why: str) -> Conflict:
    champion = f"has champion version {current.number} of {model}" if current else f"knows {model}"
    return Conflict(
        f"the registry {registry.name} {champion}, but {why}, or another project promotes a model of the same name; "
        f"the ledger was not changed",
        hint="push the branch beampermit-ledger from a clone that has all events, or rename one of the models",
    )


def _parse_line(text: str) -> int:
    """0 for what is not a line. No ledger has lines of ten digits, and int() refuses thousands of digits."""
    return int(text) if text.isascii() and text.isdecimal() and len(text) < 10 else 0


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


def require_all_versions(registry: Registry, model: str, state: ModelState, changes: Sequence[str]) -> None:
    """Raises `Outside` where former versions are lost that nobody ruled out by retiring them."""
    there = {version.number for version in registry.versions(model)}
    lost = [str(number) for number in sorted(state.promoted) if number not in there and number not in state.retired]
    if lost:
        done = f"; done: {', '.join(changes)}" if changes else ""
        raise Outside(
            f"the registry {registry.name} has lost version {', '.join(lost)} of {model}, so no rollback to it is "
            f"possible{done}",
            hint=f"run `{REBUILD}`, or `beampermit retire --version {lost[0]} --reason WHY` if nobody needs it",
        )


def reconcile_once(
    ledger: Ledger,
    registry: Registry,
    model: str,
    state: ModelState,
    progress: Progress,
    incremental: bool,
    checked: Event | None = None,
) -> Iterator[str]:
    """One pass, a line for each change. Raises as `reconcile`."""
    tags = registry.tags(model)
    require_identity(registry, model, state, tags)
    shown = require_same_ledger(ledger, registry, model, tags)
    current = shown.number if shown else None
    if state.last_in_service is None:
        if current is not None:
            progress("remove an alias without a promotion")
            registry.delete_alias(model, CHAMPION)
            yield f"alias champion removed from version {current}: no version was ever promoted"
        return
    recent = _recent_versions(registry, model, state, shown) if incremental else None
    versions = {version.number: version for version in recent or registry.versions(model)}
    champion = state.champion
    if champion:
        ledger.believe(champion)
        if champion.version not in versions:
            raise missing_version(registry, champion)
        if (not incremental or current != champion.version) and not _is_same_version(champion, checked):
            progress("check the bytes of the champion")
            verify_bytes(registry, champion)
    yield from _set_tags(ledger, registry, state, versions, progress)
    if champion is None:
        # Tags before the alias: an identity that may set an alias may lack the permission to delete it.
        yield from _set_statuses(ledger, registry, state, versions, progress)
        yield from _set_state(ledger, registry, model, state, tags, progress)
        yield from _remove_champion(registry, model, current, progress)
        return
    if current != champion.version:
        progress("move alias champion")
        registry.set_alias(model, CHAMPION, champion.version)
        origin = "" if current is None else f"from version {current} "
        yield f"alias champion moved {origin}to version {champion.version}"
    yield from _set_statuses(ledger, registry, state, versions, progress)
    yield from _set_state(ledger, registry, model, state, tags, progress)


def _is_same_version(event: Event, other: Event | None) -> bool:
    return other is not None and (event.version, event.digest) == (other.version, other.digest)


def verify_bytes(registry: Registry, event: Event) -> None:
    """Raises `Outside` where the registry holds other bytes for the version of an event."""
    with tempfile.TemporaryDirectory(prefix="beampermit-") as scratch:
        download_verified(registry, event.model, event.version, event.digest, Path(scratch))


def _recent_versions(registry: Registry, model: str, state: ModelState, shown: Version | None) -> list[Version] | None:
    """The versions in events since the champion that is `shown` was tagged, which is the last write of a pass.

    None where that tag is missing or is not of this ledger.
    """
    if shown is None or shown.tags.get("status") != CHAMPION:
        return None
    line = _parse_line(shown.tags.get("sequence", ""))
    numbers = state.versions_since(line) if line else None
    if numbers is None:
        return None
    read = (shown if number == shown.number else registry.version(model, number) for number in sorted(numbers))
    return [version for version in read if version]


def _set_tags(
    ledger: Ledger, registry: Registry, state: ModelState, versions: Mapping[int, Version], progress: Progress
) -> Iterator[str]:
    """Where tags differ from the promotion, the bytes are verified before the tags are corrected."""
    for number, event in state.promoted.items():
        if number not in versions:
            continue
        tags = {"permit": event.permit, "digest": event.digest, "commit": event.commit}
        wrong = {key: value for key, value in tags.items() if versions[number].tags.get(key) != value}
        if not wrong or not ledger.believes(event):
            continue
        progress("check the bytes of a version with wrong tags")
        verify_bytes(registry, event)
        registry.tag(event.model, number, **wrong)
        yield f"version {number}: {', '.join(wrong)} set from the ledger"


def _set_statuses(
    ledger: Ledger, registry: Registry, state: ModelState, versions: Mapping[int, Version], progress: Progress
) -> Iterator[str]:
    """The champion's is set last, so its tag means that all others are done."""
    for number, version in sorted(versions.items(), key=lambda item: item[0] == state.champion_version):
        tags = _status_tags(ledger, state, number)
        if {key: version.tags.get(key, "") for key in tags} == tags:
            continue
        status = tags["status"]
        progress(STEPS.get(status, "untag a version that was never promoted"))
        registry.tag(version.model, number, **tags)
        yield f"version {number} tagged {status}" if status else f"version {number}: tag champion removed"


def _status_tags(ledger: Ledger, state: ModelState, number: int) -> dict[str, str]:
    """Empty status for a version that the ledger does not know."""
    if state.champion and number == state.champion.version:
        return {"status": CHAMPION, "sequence": str(state.champion.sequence)}
    if number in state.retired:
        return {"status": "retired"}
    if number not in state.promoted:
        return {"status": ""}
    return {"status": "former" if ledger.believes(state.promoted[number]) else NOT_BELIEVED}


def _set_state(
    ledger: Ledger,
    registry: Registry,
    model: str,
    state: ModelState,
    tags: Mapping[str, str],
    progress: Progress,
) -> Iterator[str]:
    """`tags` are those of the model, as this pass found them."""
    wanted = ("in service" if state.champion else "out of service") + (", frozen" if state.frozen else "")
    mark = ledger.mark(state.events[-1].sequence)
    if tags.get("state") != wanted:
        progress("tag the model")
        registry.set_state(model, wanted)
        yield f"model tagged {wanted}"
    if tags.get(MARK) != mark:
        registry.set_tags(model, **{MARK: mark})


def _remove_champion(registry: Registry, model: str, current: int | None, progress: Progress) -> Iterator[str]:
    if current is None:
        return
    progress("remove alias champion")
    registry.delete_alias(model, CHAMPION)
    yield f"alias champion removed from version {current}: the model is out of service"


def _remove_abandoned(
    registry: Registry, model: str, state: ModelState, progress: Progress, *, name_others: bool
) -> Iterator[str]:
    """A line for each run without a version, which a promotion left that was killed, or that lost a reply.

    A promotion that began before the newest event ends with a conflict, so it needs its run no more. Other runs, which
    may be in use, are only named.
    """
    newest = state.events[-1].moment if state.events else datetime.min.replace(tzinfo=UTC)
    progress("look for runs without a version")
    for run in registry.runs_without_version(model):
        name = f"run {run.id} of permit {run.permit[:19]}"
        if run.began > max(newest, datetime.now(UTC) - BUSY):
            if name_others:
                yield f"{name} has no version yet: left for now, as a promotion may be using it"
            continue
        try:
            removed = registry.remove_run(run)
        except Outside as error:
            if not is_denied(error):
                raise
            # An account that may promote often may delete nothing: this fails no night's check.
            yield f"{name}, of which no version was made, stays: {registry.name} lets this account delete no runs"
            continue
        if removed:
            yield f"{name}, of which no version was made, is removed"


def find_abandoned(ledger: Ledger, registry: Registry, model: str, progress: Progress) -> tuple[str, ...]:
    """The runs without a version that `reconcile` would remove; they are no difference from the ledger."""
    read_only = _ReadOnly(registry.uri)
    return tuple(_remove_abandoned(read_only, model, ledger.state(model), progress, name_others=False))


def find_differences(ledger: Ledger, registry: Registry, model: str, progress: Progress) -> tuple[str, ...]:
    """The changes that `reconcile` would make; also verifies the bytes of the champion and of the rollback target.

    Raises as `reconcile`.
    """
    read_only = _ReadOnly(registry.uri)
    changes: tuple[str, ...] = ()
    for state in states_until_stable(ledger, model):
        changes = tuple(reconcile_once(ledger, read_only, model, state, progress, incremental=False))
    state = ledger.state(model)
    require_all_versions(read_only, model, state, ())
    target = state.rollback_target(ledger.believes)
    if target and not _is_same_version(target, state.champion):
        progress("check the bytes of the rollback target")
        verify_bytes(read_only, target)
    return changes


class _ReadOnly(Registry):
    """All writes do nothing."""

    def set_alias(self, model: str, alias: str, number: int) -> None: ...

    def delete_alias(self, model: str, alias: str) -> None: ...

    def set_tags(self, model: str, **tags: str) -> None: ...

    def tag(self, model: str, number: int, **tags: str) -> None: ...

    def remove_run(self, run: Run) -> bool:  # noqa: ARG002 - nothing is written
        return True
