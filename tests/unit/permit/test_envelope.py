"""A changed byte anywhere, another key, another model: a permit is refused."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given, settings
from hypothesis import strategies as st

from beampermit.digest import canonical_json
from beampermit.errors import BadInput, BeampermitError, Failed
from beampermit.permit.envelope import (
    Envelope,
    pre_authentication,
    read_envelope,
    sign_statement,
    verify_envelope,
)
from beampermit.permit.public_keys import PublicKey, PublicKeys
from beampermit.permit.statement import validate_statement
from support.permits import KEY, SEALED, TRUSTED, statement


def test_a_signed_permit_is_verified() -> None:
    found = verify_envelope(SEALED, TRUSTED)
    assert found == statement()
    assert found.digest == statement().digest
    assert sign_statement(statement(), KEY) == SEALED


def test_the_format_is_in_toto_and_dsse() -> None:
    envelope = json.loads(SEALED)
    payload = json.loads(base64.b64decode(envelope["payload"]))
    assert envelope["payloadType"] == "application/vnd.in-toto+json"
    assert set(envelope) == {"payloadType", "payload", "signatures"}
    assert set(envelope["signatures"][0]) == {"keyid", "sig"}
    assert payload["_type"] == "https://in-toto.io/Statement/v1"
    assert set(payload) == {"_type", "subject", "predicateType", "predicate"}
    assert pre_authentication("http://example.com/HelloWorld", b"hello world") == (
        b"DSSEv1 29 http://example.com/HelloWorld 11 hello world"
    )


@pytest.mark.slow
@given(st.integers(0, len(SEALED) - 1), st.integers(1, 255))
@settings(max_examples=300)
def test_any_changed_byte_fails(position: int, change: int) -> None:
    spoiled = bytearray(SEALED)
    spoiled[position] ^= change
    with pytest.raises(BeampermitError):
        verify_envelope(bytes(spoiled), TRUSTED)


@pytest.mark.parametrize("spoil", [lambda b: b[:-1], lambda b: b + b"\n", lambda b: b.replace(b": ", b":", 1)])
def test_an_envelope_that_is_not_canonical_fails(spoil: Callable[[bytes], bytes]) -> None:
    with pytest.raises(Failed, match="was changed after it was signed"):
        verify_envelope(spoil(SEALED), TRUSTED)


def test_another_key_is_refused() -> None:
    with pytest.raises(Failed, match="signed with an untrusted key"):
        verify_envelope(SEALED, PublicKeys.only(Ed25519PrivateKey.generate().public_key()))


def test_another_key_with_our_key_id_is_refused() -> None:
    forged = json.loads(sign_statement(statement(), Ed25519PrivateKey.generate()))
    forged["signatures"][0]["keyid"] = json.loads(SEALED)["signatures"][0]["keyid"]
    with pytest.raises(Failed, match="the signature is invalid"):
        verify_envelope(Envelope.model_validate(forged).to_bytes(), TRUSTED)


def test_an_unsigned_permit_is_refused() -> None:
    with pytest.raises(BadInput, match="not a signed permit"):
        verify_envelope(statement().text.encode(), TRUSTED)


def _without(path: str) -> dict[str, object]:
    body = statement().model_dump(mode="json")
    *parents, last = path.split(".")
    part: Any = body
    for key in parents:
        part = part[int(key)] if isinstance(part, list) else part[key]
    del part[last]
    return body


@pytest.mark.parametrize("path", ["predicate.commit", "predicate.model", "predicate.verdicts", "subject"])
def test_a_permit_with_a_missing_field_is_refused(path: str) -> None:
    with pytest.raises(BadInput, match=rf"not a permit: {path}"):
        validate_statement(_without(path), "permit.json")


def _signed(payload: bytes) -> bytes:
    """An envelope of our own key around any bytes."""
    signature = KEY.sign(pre_authentication("application/vnd.in-toto+json", payload))
    envelope = json.loads(SEALED)
    envelope["payload"] = base64.b64encode(payload).decode()
    envelope["signatures"][0]["sig"] = base64.b64encode(signature).decode()
    return Envelope.model_validate(envelope).to_bytes()


@pytest.mark.attack(
    guard="permit verify",
    tried="the same statement, signed in another spelling: white space, key order, escapes, a number written otherwise",
    said="the signed statement is not in canonical form",
)
def test_a_signed_statement_in_another_spelling_is_refused(said: str) -> None:
    payload = statement().payload
    body = json.loads(payload)
    assert _signed(payload) == SEALED
    spellings = (
        payload + b"\n",
        json.dumps(body, sort_keys=True).encode(),
        json.dumps(dict(reversed(body.items())), separators=(",", ":")).encode(),
        payload.replace(b'"predicate"', b'"predic\\u0061te"', 1),
        payload.replace(b"0.98", b"0.980", 1),
        payload.replace(b'"base":null,', b"", 1),
    )
    for spelling in spellings:
        assert validate_statement(json.loads(spelling), "permit") == statement()
        with pytest.raises(Failed, match=said):
            verify_envelope(_signed(spelling), TRUSTED)


@pytest.mark.attack(
    guard="permit verify",
    tried="the signature of an envelope in another spelling of base64, with the same bytes",
    said="the envelope was changed after it was signed: base64 not in canonical form",
)
def test_a_signature_in_another_spelling_is_refused(said: str) -> None:
    envelope = json.loads(SEALED)
    signature = envelope["signatures"][0]["sig"]
    letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
    other = letters[letters.index(signature[-3]) ^ 1]  # its last four bits are not part of the 64 bytes
    envelope["signatures"][0]["sig"] = f"{signature[:-3]}{other}=="
    assert base64.b64decode(envelope["signatures"][0]["sig"]) == base64.b64decode(signature)
    with pytest.raises(Failed, match=said):
        verify_envelope(Envelope.model_validate(envelope).to_bytes(), TRUSTED)


def test_what_is_no_envelope_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(BadInput, match="there is no signed permit"):
        read_envelope(tmp_path / "permit.dsse.json", TRUSTED)
    with pytest.raises(BadInput, match="this is a Sigstore bundle") as caught:
        verify_envelope(b'{"verificationMaterial": {}}', TRUSTED)
    assert caught.value.hint == "beampermit permit verify FILE --identity WORKFLOW"
    monkeypatch.setattr("beampermit.permit.envelope.LARGEST", len(SEALED))
    assert verify_envelope(SEALED, TRUSTED)
    with pytest.raises(BadInput, match="bytes allowed for a permit"):
        verify_envelope(SEALED + b" ", TRUSTED)


@pytest.mark.attack(
    guard="permit verify",
    tried="a signed permit lists an interlock twice, so that one of them seems to stand for another",
    said="an interlock has two verdicts",
)
def test_a_permit_with_an_interlock_twice_is_refused(said: str) -> None:
    body = statement().model_dump(mode="json")
    verdicts = body["predicate"]["verdicts"]
    verdicts.append({**verdicts[0], "reason": "once more"})
    with pytest.raises(BadInput, match=said):
        verify_envelope(_signed(canonical_json(body)), TRUSTED)
    verdicts[1]["id"] = "DOC002"
    assert len(verify_envelope(_signed(canonical_json(body)), TRUSTED).predicate.verdicts) == 2


@pytest.mark.attack(
    guard="permit verify",
    tried="a signed permit without a base names another contract than the commit's as the one that judged",
    said="base_contract is not the commit's own contract, and there is no base",
)
def test_a_permit_that_was_judged_by_a_contract_of_nowhere_is_refused(said: str) -> None:
    body = statement().model_dump(mode="json")
    body["predicate"]["base_contract"] = f"sha256:{'9' * 64}"
    with pytest.raises(BadInput, match=said):
        verify_envelope(_signed(canonical_json(body)), TRUSTED)
    body["predicate"]["base"] = "c" * 40
    assert verify_envelope(_signed(canonical_json(body)), TRUSTED).predicate.base == "c" * 40


def test_a_failed_interlock_cannot_be_written_into_a_permit() -> None:
    body = statement().model_dump(mode="json")
    body["predicate"]["verdicts"][0]["outcome"] = "failed"
    with pytest.raises(BadInput, match=r"predicate\.verdicts\.0\.outcome"):
        validate_statement(body, "permit.json")


def test_a_subject_with_another_digest_is_refused() -> None:
    body = statement().model_dump(mode="json")
    body["predicate"]["model"]["MLmodel"] = f"sha256:{'9' * 64}"
    with pytest.raises(BadInput, match="not that of the files it lists"):
        validate_statement(body, "permit.json")


def test_another_predicate_is_refused() -> None:
    body = {**statement().model_dump(mode="json"), "predicateType": "https://slsa.dev/provenance/v1"}
    with pytest.raises(BadInput, match="predicateType"):
        validate_statement(body, "permit.json")


def test_each_changed_field_of_envelope_and_statement_fails() -> None:
    """Not bytes but values: each one at any depth, with an unchanged signature."""
    payload = json.loads(base64.b64decode(json.loads(SEALED)["payload"]))
    changed = 0
    for body in (json.loads(SEALED), payload):
        for spoiled in _changed(body):
            inside = {**json.loads(SEALED), "payload": base64.b64encode(canonical_json(spoiled)).decode()}
            content = spoiled if body is not payload else inside
            with pytest.raises(BeampermitError):
                verify_envelope((json.dumps(content, indent=2) + "\n").encode(), TRUSTED)
            changed += 1
    assert changed > 40


def _changed(value: Any) -> Iterator[Any]:
    """Copies of `value`, each with one inner value changed, left out or added."""
    if isinstance(value, dict):
        for key, inner in value.items():
            yield {name: other for name, other in value.items() if name != key}
            yield from ({**value, key: other} for other in _changed(inner))
        yield {**value, "more": "1"}
    elif isinstance(value, list):
        for place, inner in enumerate(value):
            yield from ([*value[:place], other, *value[place + 1 :]] for other in _changed(inner))
        yield [*value, "more"]
    else:
        yield value * 2 if isinstance(value, float) else f"{value}x"


def test_a_permit_outlives_its_key_but_an_expired_key_promotes_nothing() -> None:
    def trusted(day: int) -> PublicKeys:
        return PublicKeys((PublicKey(KEY.public_key(), datetime(2026, 11, day, 23, 59, 59, tzinfo=UTC)),))

    later = datetime(2026, 12, 1, tzinfo=UTC)
    assert verify_envelope(SEALED, trusted(23)) == statement()
    with pytest.raises(Failed, match=r"used at 2026-12-01T00:00:00Z, but key sha256:.*… is valid until 2026-11-23"):
        verify_envelope(SEALED, trusted(23), now=later)
    with pytest.raises(Failed, match=r"issued at 2026-11-23T08:00:00Z, but key .* is valid until 2026-11-22"):
        verify_envelope(SEALED, trusted(22))


@pytest.mark.parametrize("issued", ["yesterday", "2026-02-31T08:00:00Z", "2026-11-23T08:00:00+01:00"])
def test_a_permit_with_an_impossible_date_is_refused(issued: str) -> None:
    body = statement().model_dump(mode="json")
    body["predicate"]["issued"] = issued
    with pytest.raises(BadInput, match="not a permit"):
        validate_statement(body, "permit.json")
