"""The signed form of a permit: a DSSE envelope with an Ed25519 signature.

An envelope has one canonical form; any other bytes are refused, so a changed byte never verifies.
"""

from __future__ import annotations

import base64
import binascii
import json
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field, ValidationError

from beampermit.errors import BadInput, Failed
from beampermit.git import find_top
from beampermit.permit.public_keys import PUBLIC_IN_PROJECT, PublicKey, PublicKeys, key_id, read_public_keys
from beampermit.permit.statement import Statement, parse_statement, validate_statement
from beampermit.reading import first_fault, parse_json, read_json
from beampermit.record import Record

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

PAYLOAD_TYPE = "application/vnd.in-toto+json"
LARGEST = 16 * 2**20
SIGN_AGAIN = "beampermit permit sign"


class UntrustedKey(Failed):
    """A key that is not among the trusted ones signed the permit."""


class Signature(Record):
    """`keyid` is the key's digest, `sig` is base64."""

    keyid: str
    sig: str


class Envelope(Record):
    """DSSE version 1."""

    payloadType: Literal["application/vnd.in-toto+json"] = PAYLOAD_TYPE  # noqa: N815 - DSSE's own name
    payload: str
    signatures: Annotated[tuple[Signature, ...], Field(min_length=1, max_length=1)]

    def to_bytes(self) -> bytes:
        """The canonical form."""
        return (json.dumps(self.model_dump(mode="json"), indent=2) + "\n").encode()


def pre_authentication(payload_type: str, payload: bytes) -> bytes:
    """DSSE's PAE: the bytes that are signed."""
    kind = payload_type.encode()
    return b"DSSEv1 %d %s %d %s" % (len(kind), kind, len(payload), payload)


def sign_statement(statement: Statement, key: Ed25519PrivateKey) -> bytes:
    """The bytes of the envelope; deterministic."""
    return seal(statement.payload, key)


def seal(payload: bytes, key: Ed25519PrivateKey) -> bytes:
    """The bytes of the envelope of a statement of any type; deterministic."""
    signature = key.sign(pre_authentication(PAYLOAD_TYPE, payload))
    return Envelope(
        payload=_encode(payload),
        signatures=(Signature(keyid=key_id(key.public_key()), sig=_encode(signature)),),
    ).to_bytes()


@dataclass(frozen=True)
class Signed:
    """A verified statement, and the bytes of its envelope."""

    statement: Statement
    content: bytes

    @property
    def key(self) -> str:
        """The id of the signing key."""
        return json.loads(self.content)["signatures"][0]["keyid"]


def read_envelope(file: Path, trusted: PublicKeys, *, now: datetime | None = None) -> Signed:
    """Raises as `verify_envelope`, and `BadInput` where there is no such file."""
    if not file.is_file():
        raise BadInput("there is no signed permit", file=file, hint=SIGN_AGAIN)
    content = file.read_bytes()
    return Signed(verify_envelope(content, trusted, file, now=now), content)


def read_permit(file: Path, project: Path) -> Statement:
    """The permit in `file`, unsigned or signed with a key of the project."""
    body = read_json(file, limit=LARGEST)
    if isinstance(body, dict) and "payloadType" in body:
        return read_envelope(file, read_public_keys(find_top(project) / PUBLIC_IN_PROJECT)).statement
    return validate_statement(body, file)


def verify_envelope(
    content: bytes, trusted: PublicKeys, name: Path | str = "permit", *, now: datetime | None = None
) -> Statement:
    """The statement in an envelope that a trusted key signed while it was valid; with `now`, a key still valid then.

    A permit stays valid after its key expires. To promote a new model give `now`: the date in the permit can be forged
    with a stolen key. Raises `BadInput` where this is not an envelope, `Failed` where another key signed it, the key
    had expired, or a byte was changed.
    """
    payload, key = unseal(content, trusted, name)
    statement = parse_statement(payload, name)
    if statement.payload != payload:
        raise Failed("the signed statement is not in canonical form", file=name, hint=SIGN_AGAIN)
    key.require_valid(statement.predicate.moment, "issued", name)
    if now is not None:
        key.require_valid(now, "used", name)
    return statement


def unseal(content: bytes, trusted: PublicKeys, name: Path | str, *, what: str = "permit") -> tuple[bytes, PublicKey]:
    """The payload of an envelope, and the trusted key that signed it, which may have expired since.

    Its type is part of what was signed, and judged by whoever parses it; `what` names it in errors. Raises as
    `verify_envelope`.
    """
    from cryptography.exceptions import InvalidSignature

    envelope = _parse(content, name)
    signature = envelope.signatures[0]
    key = trusted.find(signature.keyid)
    if key is None:
        ids = " or ".join(f"{trusted_key.id[:23]}…" for trusted_key in trusted.keys)
        raise UntrustedKey(
            f"signed with an untrusted key: {signature.keyid[:23]}…, not {ids}", file=name, hint=SIGN_AGAIN
        )
    payload = _decode(envelope.payload, name)
    try:
        key.key.verify(_decode(signature.sig, name), pre_authentication(envelope.payloadType, payload))
    except InvalidSignature:
        raise Failed(
            f"the signature is invalid: the {what} was changed after it was signed", file=name, hint=SIGN_AGAIN
        ) from None
    return payload, key


def _parse(content: bytes, name: Path | str) -> Envelope:
    if len(content) > LARGEST:
        raise BadInput(f"larger than the {LARGEST} bytes allowed for a permit", file=name)
    body: Any = parse_json(content, name)
    if isinstance(body, dict) and "verificationMaterial" in body:
        raise BadInput(
            "this is a Sigstore bundle, not a permit signed with a key",
            file=name,
            hint="beampermit permit verify FILE --identity WORKFLOW",
        )
    try:
        envelope = Envelope.model_validate(body, strict=False)
    except ValidationError as error:
        raise BadInput(f"not a signed permit: {first_fault(error)}", file=name, hint="beampermit permit sign") from None
    if envelope.to_bytes() != content:
        raise Failed("the envelope was changed after it was signed", file=name, hint=SIGN_AGAIN)
    return envelope


def _encode(content: bytes) -> str:
    return base64.b64encode(content).decode()


def _decode(text: str, name: Path | str) -> bytes:
    try:
        content = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise Failed("the envelope was changed after it was signed: not base64", file=name, hint=SIGN_AGAIN) from None
    # Bits of the last base64 letter can change without changing the decoded bytes.
    if _encode(content) != text:
        raise Failed(
            "the envelope was changed after it was signed: base64 not in canonical form", file=name, hint=SIGN_AGAIN
        )
    return content
