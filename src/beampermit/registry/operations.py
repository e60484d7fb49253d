"""What rollback, retire, freeze and thaw have in common: an event like any other, and a registry that then says it."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path

from beampermit.errors import BadInput, Conflict, Outside
from beampermit.git import Git
from beampermit.progress import Progress
from beampermit.registry.event import Event, Kind, provenance, workflow_run
from beampermit.registry.ledger import Ledger
from beampermit.registry.ledger_state import ModelState
from beampermit.registry.mlflow import Registry
from beampermit.registry.models import download_verified
from beampermit.registry.reconcile import reconcile, require_version


@dataclass(frozen=True)
class Result:
    """The event that stands now, whether this run wrote it, and what of the registry was moved."""

    event: Event
    new: bool
    moved: tuple[str, ...]


@dataclass(frozen=True)
class Session:
    """One change to what the ledger says of a model."""

    git: Git
    ledger: Ledger
    registry: Registry
    model: str
    progress: Progress

    def read(self) -> tuple[ModelState, Event]:
        """The model's state of this moment, and the event that put a version into service last.

        Raises `BadInput` where nothing of it was ever promoted.
        """
        self.progress("read the ledger")
        self.ledger.fetch()
        state = self.ledger.state(self.model)
        if state.last is None:
            raise BadInput(f"no version of {self.model} was ever promoted", hint="beampermit history")
        return state, state.last

    def write(self, kind: Kind, of: Event, reason: str) -> Result:
        """Write an event that names the version of another, and make the registry say it.

        Raises `Conflict` where somebody else was first, and then nothing moved; `Outside`.
        """
        if not reason.strip():
            raise BadInput("the ledger keeps why, and no reason was given", hint=f"beampermit {kind} --reason WHY")
        event = of.model_copy(
            update={
                "event": kind,
                "sequence": self.ledger.chronicle(self.model).length + 1,
                "expected": self.ledger.state(self.model).seen,
                **provenance(self.git, reason),
            }
        )
        self.progress("append to the ledger")
        self.ledger.append(event)
        return Result(event, True, update_registry(event, self.ledger, self.registry, self.progress))

    def must_be_new(self, kind: Kind, state: ModelState, version: int | None = None) -> None:
        """Refuse what this workflow run did before, and what was undone since: it is run again, late or by mistake.

        `version` is the one that was asked for; None for the champion of the moment. Raises `Conflict`.
        """
        for event in state.events:
            # A run may close the way back to a version and retire the champion as well.
            same = event.version == version if version else kind != "retire" or event.version == event.expected
            if event.event == kind and same and is_same_run(event):
                raise Conflict(
                    f"this workflow run did it at {event.at} ({event.summary}), and that was changed since; "
                    f"nothing moved",
                    hint="beampermit history; then, to do it again, a new run",
                )

    def stands(self, event: Event) -> Result:
        """What to say where the ledger has it already: an earlier run may have been killed before the registry had."""
        return Result(event, False, update_registry(event, self.ledger, self.registry, self.progress))


def update_registry(event: Event, ledger: Ledger, registry: Registry, progress: Progress) -> tuple[str, ...]:
    """`reconcile` after `event` was written. Raises `Outside` which says that only the registry is behind."""
    try:
        return reconcile(ledger, registry, event.model, progress, news=True)
    except Outside as error:
        raise Outside(
            f"the ledger has it ({event.summary}), the registry does not show it yet: {error.message}",
            hint=error.hint if error.hint.startswith("beampermit") else "beampermit reconcile",
        ) from None


def is_same_run(event: Event) -> bool:
    """Whether the workflow run that we are in wrote this event: it is run again."""
    return bool(event.run) and event.run == workflow_run()


def is_same_command(event: Event, git: Git, reason: str) -> bool:
    """Whether whoever gives this command now wrote the event as well: same person, reason and workflow run."""
    now = provenance(git, reason)
    return all(getattr(event, key) == now[key] for key in ("by", "reason", "run"))


def retire(change: Session, *, version: int | None = None, reason: str) -> Result:
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


def freeze(change: Session, *, reason: str) -> Result:
    """Refuse promotions until `thaw`. Frozen already is no error: the event says by whom and why."""
    state, last = change.read()
    if state.frozen:
        return change.stands(state.frozen)
    change.must_be_new("freeze", state)
    return change.write("freeze", last, reason)


def thaw(change: Session, *, reason: str) -> Result:
    """Let promotions pass again. Raises `BadInput` for a model that was never frozen."""
    state, _ = change.read()
    if state.frozen:
        change.must_be_new("thaw", state)
        return change.write("thaw", state.frozen, reason)
    thawed = next((event for event in reversed(state.events) if event.event == "thaw"), None)
    if thawed is None:
        raise BadInput(f"{change.model} was never frozen", hint="beampermit history")
    return change.stands(thawed)


def require_not_frozen(state: ModelState) -> None:
    """Raises `Conflict` that says who froze the model, when and why."""
    frozen = state.frozen
    if frozen:
        raise Conflict(
            f"{frozen.model} is frozen since {frozen.at} by {frozen.by}: {frozen.reason}; nothing moved",
            hint="beampermit thaw --reason WHY",
        )


def rollback(change: Session, *, to: int | None = None, reason: str = "", retired: bool = False) -> Result:
    """Make version `to` champion again; if not given, the one before the champion that was not retired.

    `retired` lets a version be taken that was retired. Raises `BadInput` where there is nothing to go back to,
    `Conflict` where somebody else was first, `Outside`.
    """
    state, last = change.read()
    done = _already_done(change, state, to, reason)
    if done:
        return done
    change.must_be_new("rollback", state, to)
    target = _target(state, last, to, retired)
    change.progress("judge the bytes to go back to")
    require_version(change.registry, target)
    with tempfile.TemporaryDirectory(prefix="beampermit-") as scratch:
        download_verified(change.registry, change.model, target.version, target.digest, Path(scratch))
    return change.write("rollback", target, reason)


def _already_done(change: Session, state: ModelState, to: int | None, reason: str) -> Result | None:
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
    moved = reconcile(change.ledger, change.registry, change.model, change.progress, news=True)
    again = is_same_run(standing) or is_same_command(standing, change.git, reason)
    return Result(standing, False, moved) if moved or again else None


def _target(state: ModelState, last: Event, to: int | None, retired: bool) -> Event:
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
