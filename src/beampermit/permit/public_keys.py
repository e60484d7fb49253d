"""The public keys that a project trusts: a file of PEM blocks, each with an optional `not-after: DAY` before it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from pathlib import Path
from typing import TYPE_CHECKING

from beampermit.digest import digest_bytes
from beampermit.errors import BadInput, Failed

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

PUBLIC, PUBLIC_IN_PROJECT = "permit.pub", ".github/permit.pub"
LARGEST = 2**20
BEGIN, END = "-----BEGIN PUBLIC KEY-----", "-----END PUBLIC KEY-----"


@dataclass(frozen=True)
class PublicKey:
    """`until` is when the key expires (UTC), None for never."""

    key: Ed25519PublicKey
    until: datetime | None = None

    @property
    def id(self) -> str:
        """`sha256:<64 hex>` of the key (SubjectPublicKeyInfo, DER)."""
        return key_id(self.key)

    def require_valid(self, moment: datetime, what: str, name: Path | str) -> None:
        """Raises `Failed` where the key had expired at `moment`; `what` is what happened then, for the message."""
        if self.until is not None and moment > self.until:
            when, until = f"{moment:%Y-%m-%dT%H:%M:%SZ}", f"{self.until:%Y-%m-%d}"
            raise Failed(
                f"{what} at {when}, but key {self.id[:19]}… is valid until {until}",
                file=name,
                hint=f"run `beampermit permit keygen --out FOLDER`, then add its {PUBLIC} to {PUBLIC_IN_PROJECT}",
            )


@dataclass(frozen=True)
class PublicKeys:
    """A stolen key is removed from the file; a replaced one stays, with its last day."""

    keys: tuple[PublicKey, ...]

    @classmethod
    def only(cls, key: Ed25519PublicKey) -> PublicKeys:
        """One key that never expires."""
        return cls((PublicKey(key),))

    def find(self, id: str) -> PublicKey | None:
        return next((key for key in self.keys if key.id == id), None)


def key_id(key: Ed25519PublicKey) -> str:
    """`sha256:<64 hex>` of the public key (SubjectPublicKeyInfo, DER)."""
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    return digest_bytes(key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo))


def read_public_keys(file: Path) -> PublicKeys:
    """Raises `BadInput` with the line that is neither key, date nor comment."""
    if not file.is_file():
        raise BadInput(
            "there is no public key to verify permits with",
            file=file,
            hint=f"run `beampermit permit keygen --out FOLDER`, then commit its {PUBLIC} as {PUBLIC_IN_PROJECT}",
        )
    return parse_public_keys(file.read_bytes(), file)


def parse_public_keys(content: bytes, name: Path | str) -> PublicKeys:
    """`name` is the file that errors name. Raises as `read_public_keys`."""
    if len(content) > LARGEST:
        raise BadInput(f"larger than the {LARGEST} bytes allowed for public keys", file=name)
    keys = tuple(_keys(content.decode(errors="replace"), name))
    if not keys:
        raise BadInput("the file holds no public key in PEM format", file=name)
    return PublicKeys(keys)


def end_of_day(text: str) -> datetime | None:
    """The end of a day such as 2027-12-31 (UTC); None where `text` is not a day."""
    try:
        return datetime.combine(date.fromisoformat(text), time.max, UTC) if re.fullmatch(r"[\d-]{10}", text) else None
    except ValueError:
        return None


def _keys(text: str, file: Path | str) -> Iterator[PublicKey]:
    until: datetime | None = None
    block: list[str] = []
    for number, line in enumerate(text.splitlines(), 1):
        if block or line.strip() == BEGIN:
            block.append(line.strip())
            if line.strip() == END:
                yield PublicKey(_key("\n".join(block), file, number), until)
                until, block = None, []
        elif match := re.fullmatch(r"not-after:\s*(\S+)\s*", line):
            until = end_of_day(match[1])
            if until is None:
                raise BadInput(f"not-after is {match[1]!r}, not a day such as 2027-12-31", file=file, line=number)
        elif line.strip() and not line.startswith("#"):
            # With a misspelled `not-after`, the key would never expire.
            raise BadInput(
                "neither a public key in PEM format, nor `not-after: DAY`, nor a # comment", file=file, line=number
            )
    if block or until is not None:
        raise BadInput("the last public key is incomplete", file=file)


def _key(pem: str, file: Path | str, line: int) -> Ed25519PublicKey:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
    from cryptography.hazmat.primitives.serialization import load_pem_public_key

    try:
        key = load_pem_public_key(f"{pem}\n".encode())
    except Exception:
        raise BadInput("not a public key in PEM format", file=file, line=line) from None
    if not isinstance(key, Ed25519PublicKey):
        raise BadInput("not an Ed25519 public key", file=file, line=line)
    return key
