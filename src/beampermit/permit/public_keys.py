"""The public keys that a laboratory trusts, and until when: a file of PEM blocks, each with `not-after:` before it."""

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
    """One key; `until` is the last moment (UTC) that it signs permits, None for ever."""

    key: Ed25519PublicKey
    until: datetime | None = None

    @property
    def id(self) -> str:
        """`sha256:<64 hex>` of the key (SubjectPublicKeyInfo, DER)."""
        return key_id(self.key)

    def must_hold(self, moment: datetime, what: str, name: Path | str) -> None:
        """Raises `Failed` where the key had expired at `moment`, when `what` happened."""
        if self.until is not None and moment > self.until:
            when, until = f"{moment:%Y-%m-%dT%H:%M:%SZ}", f"{self.until:%Y-%m-%d}"
            raise Failed(
                f"{what} at {when}, and the key {self.id[:19]}… is good until {until}",
                file=name,
                hint="beampermit permit keygen --out FOLDER, and add its permit.pub to the project's",
            )


@dataclass(frozen=True)
class PublicKeys:
    """All keys of a file. A key that was stolen is taken out; one that is replaced stays, with its last day."""

    keys: tuple[PublicKey, ...]

    @classmethod
    def only(cls, key: Ed25519PublicKey) -> PublicKeys:
        """One key, for ever."""
        return cls((PublicKey(key),))

    def find(self, id: str) -> PublicKey | None:
        """The key of that id."""
        return next((key for key in self.keys if key.id == id), None)


def key_id(key: Ed25519PublicKey) -> str:
    """`sha256:<64 hex>` of the public key (SubjectPublicKeyInfo, DER)."""
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    return digest_bytes(key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo))


def read_public_keys(file: Path) -> PublicKeys:
    """The public keys in `file`. Raises `BadInput` that names the line of what is no key and no date."""
    if not file.is_file():
        raise BadInput(
            "there is no public key here to verify a permit with",
            file=file,
            hint=f"beampermit permit keygen --out FOLDER, then commit its {PUBLIC} as {PUBLIC_IN_PROJECT}",
        )
    content = file.read_bytes()
    if len(content) > LARGEST:
        raise BadInput(f"a file of keys of more than {LARGEST} bytes is not read", file=file)
    found = tuple(_keys(content.decode(errors="replace"), file))
    if not found:
        raise BadInput("not a public key in PEM form", file=file)
    return PublicKeys(found)


def end_of_day(text: str) -> datetime | None:
    """The end of a day such as 2027-12-31, UTC; None where it is no day."""
    try:
        return datetime.combine(date.fromisoformat(text), time.max, UTC) if re.fullmatch(r"[\d-]{10}", text) else None
    except ValueError:
        return None


def _keys(text: str, file: Path) -> Iterator[PublicKey]:
    until: datetime | None = None
    block: list[str] = []
    for number, line in enumerate(text.splitlines(), 1):
        if block or line.strip() == BEGIN:
            block.append(line.strip())
            if line.strip() == END:
                yield PublicKey(_key("\n".join(block), file, number), until)
                until, block = None, []
        elif found := re.fullmatch(r"not-after:\s*(\S+)\s*", line):
            until = end_of_day(found[1])
            if until is None:
                raise BadInput(f"{found[1]!r} is no day; write it as 2027-12-31", file=file, line=number)
        elif line.strip() and not line.startswith("#"):
            # Passed over, a `not-after` with a slip of the pen would be a key for ever.
            raise BadInput("not a public key in PEM form, no `not-after: DAY` and no # comment", file=file, line=number)
    if block or until is not None:
        raise BadInput("not a public key in PEM form: it ends in the middle", file=file)


def _key(pem: str, file: Path, line: int) -> Ed25519PublicKey:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
    from cryptography.hazmat.primitives.serialization import load_pem_public_key

    try:
        key = load_pem_public_key(f"{pem}\n".encode())
    except Exception:
        raise BadInput("not a public key in PEM form", file=file, line=line) from None
    if not isinstance(key, Ed25519PublicKey):
        raise BadInput("not an Ed25519 public key", file=file, line=line)
    return key
