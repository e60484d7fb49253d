"""A line of the public keys that is neither key, date nor comment is an error."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from beampermit.errors import BadInput
from beampermit.permit.public_keys import key_id, read_public_keys

OLD, NEW = (Ed25519PrivateKey.from_private_bytes(bytes([number]) * 32).public_key() for number in (1, 2))


def pem(key: Ed25519PublicKey) -> str:
    return key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()


OF_ANOTHER_KIND = (
    generate_private_key(SECP256R1()).public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
)


def test_a_replaced_key_stays_with_its_last_day(tmp_path: Path) -> None:
    file = tmp_path / "permit.pub"
    file.write_text(f"# Ada had it\nnot-after: 2026-06-30\n{pem(OLD)}\n{pem(NEW)}")
    found = read_public_keys(file)
    assert [key.id for key in found.keys] == [key_id(OLD), key_id(NEW)]
    assert [key.until for key in found.keys] == [datetime(2026, 6, 30, 23, 59, 59, 999999, UTC), None]
    assert found.find(key_id(NEW)) is found.keys[1]
    assert found.find("sha256:0") is None


BAD = {
    "nothing": ("", "holds no public key"),
    "nonsense": ("nonsense", "1: neither a public key in PEM format, nor `not-after: DAY`, nor a # comment"),
    "a slip of the pen": (
        f"not_after: 2026-06-30\n{pem(OLD)}",
        "1: neither a public key in PEM format, nor `not-after",
    ),
    "no day": (f"not-after: 2026-02-30\n{pem(OLD)}", "1: not-after is '2026-02-30', not a day such as 2027-12-31"),
    "a week": (f"not-after: 2026-W06-1\n{pem(OLD)}", "1: not-after is '2026-W06-1', not a day"),
    "half a key": (pem(OLD)[:60], "the last public key is incomplete"),
    "a day without its key": (f"{pem(OLD)}not-after: 2026-06-30\n", "the last public key is incomplete"),
    "a spoilt key": (pem(OLD).replace("MC", "XX"), "3: not a public key in PEM format"),
    "another kind": (OF_ANOTHER_KIND.decode(), "not an Ed25519 public key"),
}


@pytest.mark.parametrize("case", BAD)
def test_an_invalid_line_is_refused(tmp_path: Path, case: str) -> None:
    text, words = BAD[case]
    (tmp_path / "permit.pub").write_text(text)
    with pytest.raises(BadInput) as caught:
        read_public_keys(tmp_path / "permit.pub")
    assert words in str(caught.value)


def test_a_missing_public_key_tells_how_to_make_one(tmp_path: Path) -> None:
    with pytest.raises(BadInput) as caught:
        read_public_keys(tmp_path / "permit.pub")
    assert "beampermit permit keygen" in caught.value.hint


def test_a_file_of_keys_that_is_too_large_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "permit.pub"
    file.write_text(pem(Ed25519PrivateKey.generate().public_key()))
    size = file.stat().st_size
    monkeypatch.setattr("beampermit.permit.public_keys.LARGEST", size)
    assert len(read_public_keys(file).keys) == 1
    file.write_text(f"{file.read_text()}#")
    with pytest.raises(BadInput, match=f"larger than the {size} bytes allowed for public keys"):
        read_public_keys(file)
