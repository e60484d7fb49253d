"""Ed25519 keys: generated, loaded, never printed."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from beampermit.errors import BadInput, BeampermitError
from beampermit.git import Git, find_top
from beampermit.permit.public_keys import PUBLIC, PUBLIC_IN_PROJECT, end_of_day, key_id, read_public_keys

__all__ = [
    "PRIVATE",
    "PUBLIC",
    "PUBLIC_IN_PROJECT",
    "VARIABLE",
    "generate_keys",
    "key_id",
    "load_signing_key",
    "refuse_in_pull_request",
    "require_matching_key",
]

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

VARIABLE = "BEAMPERMIT_SIGNING_KEY"
PRIVATE = "permit.key"


def refuse_in_pull_request(event: str) -> None:
    """A job of a pull request runs its code beside us: raise `BadInput` where the signing key is in our variables."""
    if os.environ.get(VARIABLE, "").strip() and (event.startswith("pull_request") or event == "merge_group"):
        raise BadInput(
            f"{VARIABLE} is set in a job whose code is not merged yet (GITHUB_EVENT_NAME is {event}), which could read"
            " the key: give the secret to the GitHub environment of the release only, and make a new key if it was"
            " here before",
            hint="beampermit permit keygen --out FOLDER",
        )


def generate_keys(folder: Path, until: str | None = None) -> tuple[Path, Path]:
    """Write `permit.key` (mode 0600) and `permit.pub` into `folder`. Nothing is ever overwritten.

    `until` is the last day on which the key is valid, such as 2027-12-31. Raises `BadInput` where a key exists, or
    where git would track the private key.
    """
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

    if until is not None and end_of_day(until) is None:
        raise BadInput(
            f"--until {until!r} is not a day", hint="beampermit permit keygen --out FOLDER --until 2027-12-31"
        )
    private, public = folder / PRIVATE, folder / PUBLIC
    for file in (private, public):
        if file.exists() or file.is_symlink():
            raise BadInput("a key exists here, and keys are never overwritten; choose another folder", file=file)
    folder.mkdir(parents=True, exist_ok=True)
    _require_untracked(private)
    key = Ed25519PrivateKey.generate()
    _write_new(private, key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()), 0o600)
    pem = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    _write_new(public, (f"not-after: {until}\n".encode() if until else b"") + pem, 0o644)
    return private, public


def load_signing_key(value: str | None) -> Ed25519PrivateKey:
    """`value` is PEM text or the path of a file. Raises `BadInput`, which never quotes the value."""
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    hint = "beampermit permit keygen --out FOLDER"
    if not value or not value.strip():
        raise BadInput(f"{VARIABLE} is not set: it must hold a private key as PEM text, or the path of one", hint=hint)
    pem = _pem(value)
    try:
        key = load_pem_private_key(pem, None)
    except TypeError:
        raise BadInput(f"the key in {VARIABLE} is encrypted; it must have no passphrase") from None
    except Exception:  # cryptography raises many kinds, and none may carry the key into a message
        raise BadInput(f"{VARIABLE} does not hold a private key in PEM format", hint=hint) from None
    if not isinstance(key, Ed25519PrivateKey):
        raise BadInput(f"the key in {VARIABLE} is not an Ed25519 key", hint=hint)
    return key


def require_matching_key(key: Ed25519PrivateKey, file: Path) -> None:
    """`file` must hold the public key, and it must not have expired. Raises `BadInput`, `Failed`."""
    public = read_public_keys(file).find(key_id(key.public_key()))
    if public is None:
        raise BadInput(f"the key in {VARIABLE} does not belong to any public key in this file", file=file)
    public.require_valid(datetime.now(UTC), "signed", file)


def _pem(value: str) -> bytes:
    if "-----BEGIN" in value:
        return value.encode()
    try:
        return Path(value.strip()).expanduser().read_bytes()
    except (OSError, ValueError):
        # The value may be a key that lost its first line, so it is not quoted.
        raise BadInput(f"{VARIABLE} holds neither PEM text nor the path of a readable file") from None


def _require_untracked(private: Path) -> None:
    try:
        root = find_top(private.parent)
    except BeampermitError:
        return
    if Git(root).try_("check-ignore", "--quiet", str(private.resolve())).code:
        raise BadInput(
            "git would track a private key in this folder; choose a folder outside the repository", file=private
        )


def _write_new(file: Path, content: bytes, mode: int) -> None:
    try:
        descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    except OSError as error:
        raise BadInput(f"the key cannot be written: {error.strerror}", file=file) from None
    with os.fdopen(descriptor, "wb") as stream:
        stream.write(content)
