"""Rollback, retire, freeze, thaw, re-sign and move: each appends an event to the ledger, then updates the registry."""

from __future__ import annotations

import re
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from beampermit.errors import BadInput, Conflict, Failed, Outside
from beampermit.git import Git
from beampermit.permit.envelope import sign_statement
from beampermit.progress import Progress
from beampermit.registry.event import Event, Kind, provenance
from beampermit.registry.ledger import Ledger
from beampermit.registry.ledger_state import ModelState
from beampermit.registry.mlflow import Registry
from beampermit.registry.reconcile import reconcile, require_same_registry, require_version, verify_bytes
from beampermit.registry.trust import require_committed, require_listed, verify_promotion
from beampermit.verdicts.verdict import workflow_run

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey


MODEL_NAME = re.compile(r"[a-z][a-z0-9]*([-_][a-z0-9]+)*")


@dataclass(frozen=True)
class Result:
    """The event in effect; `new`: this run appended it; `changes`: one line for each change in the registry."""

    event: Event
    new: bool
    changes: tuple[str, ...]


@dataclass(frozen=True)
class Session:
    """Ledger and registry of one model, as one command uses them."""

    git: Git
    ledger: Ledger
    registry: Registry
    model: str
    progress: Progress
    by: str = ""
    """Who acts, where it is not a person: a service's own name."""

    def read_state(self) -> tuple[ModelState, Event]:
        """The model's state, and the event that last put a version into service.

        Raises `BadInput` where no version was ever promoted.
        """
        self.progress("read the ledger")
        self.ledger.fetch()
        state = self.ledger.state(self.model)
        if state.last_in_service is None:
            raise BadInput(f"no version of {self.model} was ever promoted", hint="beampermit history")
        return state, state.last_in_service

    def append(
        self,
        kind: Kind,
        of: Event,
        reason: str,
        *,
        permit: bytes | None = None,
        checked: Event | None = None,
        own: Mapping[str, str | None] | None = None,
    ) -> Result:
        """Append an event about the version of `of`, with the keys `own`, and update the registry.

        `permit` is a new envelope of its permit; the bytes of the version of `checked` were verified just now. Raises
        `Conflict` where somebody else was first or this is another registry; `Outside`.
        """
        if not reason.strip():
            raise BadInput("a reason is required, and the ledger keeps it", hint=f"beampermit {kind} --reason WHY")
        # The line is read now: an event that is fetched while the registry is asked is a conflict.
        state, line = self.ledger.state(self.model), self.ledger.read(self.model).length + 1
        where: dict[str, str] = {}
        if kind == "move":
            where = {"registry": self.registry.identify(self.model), "address": self.registry.address}
        else:
            # A registry that does not answer stops nobody from freezing or retiring: the ledger decides.
            with suppress(Outside):
                require_same_registry(self.ledger, self.registry, self.model, state)
                where = {"address": self.registry.address} if state.home else {}
        next_line = {**state.next_event(of), "event": kind, "sequence": line}
        who = provenance(self.git, reason) | ({"by": self.by} if self.by else {})
        event = Event.model_validate({**next_line, **where, **who, **(own or {})})
        self.progress("append to the ledger")
        self.ledger.append(event, permit=permit)
        return Result(event, True, update_registry(event, self.ledger, self.registry, self.progress, checked))

    def refuse_rerun(self, kind: Kind, state: ModelState, version: int | None = None) -> None:
        """Raises `Conflict` where this workflow run did the same before and it was undone since.

        `version` is the version that was asked for, None for the current champion.
        """
        for event in state.events:
            # One run may retire a former version and the champion.
            same = event.version == version if version else kind != "retire" or event.version == event.expected
            if event.event == kind and same and is_same_run(event):
                raise Conflict(
                    f"this workflow run did this already at {event.at} ({event.summary}), and that was superseded "
                    f"since; the ledger was not changed",
                    hint="to do it again, start a new workflow run; `beampermit history` shows what happened since",
                )

    def already(self, event: Event) -> Result:
        """The result where the ledger has the event; an earlier run may have been killed before the registry had it."""
        return Result(event, False, update_registry(event, self.ledger, self.registry, self.progress))


def update_registry(
    event: Event, ledger: Ledger, registry: Registry, progress: Progress, checked: Event | None = None
) -> tuple[str, ...]:
    """`reconcile` after `event` was appended. Raises as it does, with a message that says that the ledger has it."""
    try:
        return reconcile(ledger, registry, event.model, progress, incremental=True, checked=checked)
    except (Failed, Outside) as error:
        raise type(error)(
            f"the ledger was updated ({event.summary}), the registry was not: {error.message}",
            hint=error.hint if error.hint.startswith("beampermit") else "beampermit reconcile",
        ) from None


def is_same_run(event: Event) -> bool:
    """Whether the current workflow run appended this event."""
    return bool(event.run) and event.run == workflow_run()


def is_same_command(event: Event, git: Git, reason: str) -> bool:
    """Whether the event has the same person, reason and workflow run as the current command."""
    current = provenance(git, reason)
    return all(getattr(event, key) == current[key] for key in ("by", "reason", "run"))


def retire(
    session: Session,
    *,
    version: int | None = None,
    reason: str,
    successor: str | None = None,
    until: str | None = None,
) -> Result:
    """Take `version`, by default the champion, out of service; `successor` is the version or model to be used instead.

    Its PVs stay until `until`, as INVALID ones, or for good. A rollback to a retired version must ask for it. Both can
    be changed later. Raises `BadInput` for a version that was never champion or a successor that is not available,
    `Conflict` where somebody else was first, `Outside`.
    """
    state, last = session.read_state()
    number = version or state.champion_version or last.version
    if successor:
        _require_successor(session, state, number, successor)
    before = state.retired.get(number)
    told = {"successor": successor or (before and before.successor), "until": until or (before and before.until)}
    if before and told == {"successor": before.successor, "until": before.until}:
        return session.already(before)
    promotion = state.promotion_of(number)
    if before is None:
        session.refuse_rerun("retire", state, version)
    return session.append("retire", promotion, reason, own=told)


def _require_successor(session: Session, state: ModelState, retired: int, successor: str) -> None:
    if successor.isdecimal():
        number = int(successor)
        if number == retired:
            raise BadInput(f"version {retired} cannot be its own successor", hint="beampermit history")
        state.promotion_of(number)
        if number in state.retired:
            raise BadInput(f"version {number} of {session.model} is retired as well", hint="beampermit history")
        return
    if not MODEL_NAME.fullmatch(successor) or successor == session.model:
        raise BadInput(
            f"--successor {successor[:80]!r} is neither a version of {session.model} nor another model's name"
        )


def freeze(session: Session, *, reason: str) -> Result:
    """Refuse promotions until `thaw`. Where they are frozen already, the result is that event."""
    state, last = session.read_state()
    if state.frozen:
        return session.already(state.frozen)
    session.refuse_rerun("freeze", state)
    return session.append("freeze", last, reason)


def thaw(session: Session, *, reason: str) -> Result:
    """Allow promotions again. Raises `BadInput` for a model that was never frozen."""
    state, _ = session.read_state()
    if state.frozen:
        session.refuse_rerun("thaw", state)
        return session.append("thaw", state.frozen, reason)
    thawed = next((event for event in reversed(state.events) if event.event == "thaw"), None)
    if thawed is None:
        raise BadInput(f"{session.model} was never frozen", hint="beampermit history")
    return session.already(thawed)


def re_sign(session: Session, key: Ed25519PrivateKey, *, version: int, reason: str) -> Result:
    """Sign the permit of a promoted version again with `key`, after the key that signed it was taken out.

    What was signed must be what the commit, which the protected branch contains, says; and its first signature must be
    of a key that the project trusted at that commit. Raises `Failed` otherwise, `BadInput` for another key than those
    of the protected branch, `Conflict` where somebody else was first, `Outside`.
    """
    state, _ = session.read_state()
    promotion = state.promotion_of(version)
    if session.ledger.believes(promotion):
        return session.already(promotion)
    require_listed(key, session.ledger.keys(), datetime.now(UTC))
    permit = verify_promotion(promotion, session.ledger.permit(promotion), session.ledger.keys_at(promotion.commit))
    require_committed(session.git, permit)
    return session.append("re-sign", promotion, reason, permit=sign_statement(permit, key))


def move(session: Session, *, reason: str) -> Result | None:
    """Say in the ledger that the registry is this one from here on; None where it says so."""
    state, last = session.read_state()
    require_version(session.registry, last)
    if state.home and state.home.registry == session.registry.identify(session.model):
        return None
    return session.append("move", last, reason)


def require_not_frozen(state: ModelState) -> None:
    """Raises `Conflict`."""
    frozen = state.frozen
    if frozen:
        raise Conflict(
            f"promotions of {frozen.model} are frozen since {frozen.at} by {frozen.by}: {frozen.reason}; "
            f"the ledger was not changed",
            hint="beampermit thaw --reason WHY",
        )


def rollback(
    session: Session, *, to: int | None = None, of: int | None = None, reason: str = "", retired: bool = False
) -> Result:
    """Make version `to` champion again, by default the champion before that is not retired.

    `of` is the version that must be in service; `retired` allows a retired version. Raises `BadInput` where there is no
    such version, `Conflict` where somebody else was first, `Outside`.
    """
    state, last = session.read_state()
    if of is not None and state.champion_version != of:
        raise Conflict(f"version {of} of {session.model} is not in service any more; the ledger was not changed")
    require_same_registry(session.ledger, session.registry, session.model, state)
    done = _already_done(session, state, to, reason)
    if done:
        return done
    session.refuse_rerun("rollback", state, to)
    target = _find_target(session.ledger, state, last, to, retired)
    session.progress("check the bytes of the rollback target")
    require_version(session.registry, target)
    verify_bytes(session.registry, target)
    return session.append("rollback", target, reason, checked=target)


def _already_done(session: Session, state: ModelState, to: int | None, reason: str) -> Result | None:
    """The result where version `to` is champion, or where an earlier run of the same rollback appended its event.

    Otherwise a rollback that is repeated, because it was killed or its output was lost, would go back twice. So the
    same person with the same reason goes further back only with `to`.
    """
    champion = state.champion
    if champion is None or not (champion.event == "rollback" if to is None else champion.version == to):
        return None
    if to is not None:
        return session.already(champion)
    # Not `update_registry`: unless the registry was behind, the event may be of another rollback.
    changes = reconcile(session.ledger, session.registry, session.model, session.progress, incremental=True)
    repeated = is_same_run(champion) or is_same_command(champion, session.git, reason)
    return Result(champion, False, changes) if changes or repeated else None


def _find_target(ledger: Ledger, state: ModelState, last: Event, to: int | None, retired: bool) -> Event:
    if to is None:
        target = state.rollback_target(ledger.believes)
        if target is None:
            raise BadInput(
                f"{last.model} has no version before {last.version} to roll back to; retired versions, and those whose "
                f"permit is not believed, do not count",
                hint="beampermit history",
            )
        return target
    promotion = state.promotion_of(to)
    ledger.believe(promotion)
    retirement = state.retired.get(to)
    if retirement and not retired:
        raise BadInput(
            f"version {to} of {last.model} was retired at {retirement.at} by {retirement.by}: {retirement.reason}",
            hint=f"beampermit rollback --to {to} --retired --reason WHY",
        )
    return promotion
