"""Which promotions count: those whose permit is signed with a key that the protected branch lists now.

A line of the ledger is never believed by itself: whoever can push to the ledger's branch can write one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING

from beampermit.contract import FILE_NAME, parse_contract
from beampermit.digest import digest_file
from beampermit.errors import BadInput, BeampermitError, Failed
from beampermit.git import Git
from beampermit.models.manifest import Manifest
from beampermit.permit.envelope import UntrustedKey, verify_envelope
from beampermit.permit.public_keys import PUBLIC_IN_PROJECT, PublicKeys, key_id
from beampermit.permit.statement import Statement
from beampermit.processes import scratch_folder
from beampermit.registry.event import Event

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

ReadPermit = Callable[[Event], bytes | None]


@dataclass(frozen=True)
class Trust:
    """The permits of one state of the ledger, judged with `keys`."""

    keys: PublicKeys
    read_permit: ReadPermit
    _known: dict[tuple[int, str, str, str], Statement | Failed] = field(default_factory=dict)

    def believe(self, event: Event, promoted: Iterable[Event]) -> Statement:
        """The permit of the version that `event` names; `promoted` are the promotions of its model, oldest first.

        Raises `Failed` where nothing signed says that this version may be in service.
        """
        permit = self._signed(event)
        for earlier in promoted:
            if earlier.version == event.version:
                break
            if (earlier.commit, earlier.digest) == (event.commit, event.digest) and self._is_signed(earlier):
                raise Failed(
                    f"{_name(event)} is not believed: its permit was promoted before, as version {earlier.version}",
                    hint="beampermit history",
                )
        return permit

    def _is_signed(self, event: Event) -> bool:
        try:
            self._signed(event)
        except Failed:
            return False
        return True

    def _signed(self, event: Event) -> Statement:
        key = (event.version, event.permit, event.commit, event.digest)
        if key not in self._known:
            try:
                self._known[key] = verify_promotion(event, self.read_permit(event), self.keys)
            except Failed as error:
                self._known[key] = error
        known = self._known[key]
        if isinstance(known, Failed):
            raise known
        return known


def verify_promotion(event: Event, content: bytes | None, keys: PublicKeys) -> Statement:
    """The statement in the envelope `content`, which must be signed with one of `keys`, and be what `event` says."""
    if content is None:
        raise Failed(
            f"{_name(event)} is not believed: the ledger has no signed permit for it", hint="beampermit history"
        )
    try:
        permit = verify_envelope(content, keys, permit_file(event))
    except UntrustedKey as error:
        raise Failed(
            f"{_name(event)} is not believed: its permit is {error.message}, which {PUBLIC_IN_PROJECT} of the "
            f"protected branch lists",
            hint=f"beampermit re-sign --version {event.version} --reason WHY",
        ) from None
    except BeampermitError as error:
        raise Failed(f"{_name(event)} is not believed: {error}", hint="beampermit history") from None
    _require_same(event, permit)
    return permit


def require_listed(key: Ed25519PrivateKey, keys: PublicKeys, at: datetime) -> None:
    """What is signed with `key` will be believed. `keys` are the protected branch's. Raises `BadInput`, `Failed`."""
    public = keys.find(key_id(key.public_key()))
    if public is None:
        raise BadInput(
            "the signing key does not belong to any public key of the protected branch", file=PUBLIC_IN_PROJECT
        )
    public.require_valid(at, "signed", PUBLIC_IN_PROJECT)


def require_committed(git: Git, permit: Statement) -> None:
    """Raises `Failed` where the permit binds other bytes than its commit lists: whoever stole a key can sign those."""
    facts = permit.predicate
    for bound in facts.files:
        if _digest_at(git, facts.commit, bound.file) != bound.digest:
            raise _not_committed(facts.commit, bound.file)
    text = git.read(facts.commit, FILE_NAME)
    model = parse_contract(text or "", f"{facts.commit[:12]}:{FILE_NAME}").model
    listed, folder = git.read(facts.commit, model.manifest), f"{model.path}/"
    files = Manifest.parse(listed, f"{facts.commit[:12]}:{model.manifest}").files if listed else {}
    if {path.removeprefix(folder): digest for path, digest in files.items() if path.startswith(folder)} != facts.model:
        raise _not_committed(facts.commit, model.manifest)


def _digest_at(git: Git, commit: str, file: str) -> str | None:
    """The digest of a file as a clone has it, line ends included; None where the commit does not have it."""
    if git.read(commit, file) is None:
        return None
    with scratch_folder() as scratch:
        return digest_file(git.export(commit, scratch, file) / file)


def _not_committed(commit: str, file: str) -> Failed:
    return Failed(
        f"the permit does not bind what commit {commit[:12]} has in {file}: it is not signed again",
        hint="beampermit history",
    )


def permit_file(event: Event) -> str:
    """On the ledger's branch."""
    return f"permits/{event.permit.removeprefix('sha256:')}.json"


def no_keys(why: str) -> BadInput:
    return BadInput(f"no permit of the ledger can be verified: {why}", file=PUBLIC_IN_PROJECT, hint="git fetch origin")


def _require_same(event: Event, permit: Statement) -> None:
    facts = {
        "model": (event.model, permit.name),
        "digest": (event.digest, permit.model_digest),
        "commit": (event.commit, permit.predicate.commit),
        "permit": (event.permit, permit.digest),
    }
    for what, (written, signed) in facts.items():
        if written != signed:
            raise Failed(
                f"{_name(event)} is not believed: the ledger says {what} {written}, its signed permit {signed}",
                hint="beampermit history",
            )


def _name(event: Event) -> str:
    """Such as `version 2 of bpm-faults`."""
    return f"version {event.version} of {event.model}"
