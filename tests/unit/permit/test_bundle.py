"""A permit that a workflow signed through Sigstore is verified, and refused where anything differs."""

from __future__ import annotations

import base64
import dataclasses
import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from beampermit.errors import BadInput, BeampermitError, Failed
from beampermit.permit.bundle import Signer, read_bundle, verify_bundle
from beampermit.permit.envelope import verify_envelope
from beampermit.permit.keyless import sign_keyless
from beampermit.permit.statement import Statement, validate_statement
from support.permits import SEALED, TRUSTED, statement
from support.sigstore_stand_in import GITHUB, Job, Sigstore, running

SIGNER = Signer("https://github.com/lab/faults/.github/workflows/release.yml@refs/heads/main", GITHUB)
SHARED = "tools/shared/.github/workflows/release.yml@refs/tags/v1"
DAY = timedelta(days=1)
Sign = Callable[..., bytes]


@pytest.fixture(scope="module")
def sigstore() -> Iterator[Sigstore]:
    with running() as found:
        yield found


@pytest.fixture(scope="module")
def trust(sigstore: Sigstore, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return sigstore.trust(tmp_path_factory.mktemp("trust") / "trust.json")


@pytest.fixture(scope="module")
def sign(sigstore: Sigstore, trust: Path) -> Sign:
    """Sign in a job of lab/faults, or in another."""

    def signed(job: Job | None = None, permit: Statement | None = None) -> bytes:
        sigstore.job = job or Job()
        with sigstore.at_work():
            return sign_keyless(permit or statement(), trust).content

    return signed


@pytest.fixture(scope="module")
def bundle(sign: Sign) -> bytes:
    return sign()


def refusal(content: bytes, trust: Path, signer: Signer = SIGNER) -> str:
    """Why the bundle fails; the message is one line with the file."""
    with pytest.raises(Failed) as caught:
        verify_bundle(content, signer, "permit.sigstore.json", trust)
    said = str(caught.value)
    assert said.startswith("permit.sigstore.json: ")
    assert "\n" not in said
    return said.removeprefix("permit.sigstore.json: ")


def test_a_bundle_of_the_workflow_is_verified(bundle: bytes, trust: Path) -> None:
    assert verify_bundle(bundle, SIGNER, trust=trust) == statement()


@pytest.mark.parametrize(
    "job",
    [
        Job(repository="lab/orbit"),
        Job(repository="evil/faults"),
        Job(workflow=".github/workflows/pull-request.yml"),
        Job(ref="refs/heads/feature"),
        Job(ref="refs/pull/7/merge"),
        Job(ref="refs/tags/main"),
    ],
    ids=["repository", "fork", "workflow", "branch", "pull request", "tag"],
)
def test_another_workflow_is_refused_and_named(job: Job, sign: Sign, trust: Path) -> None:
    assert f"do not match {SIGNER.identity}; actual SANs: {{'{job.identity}'}}" in refusal(sign(job), trust)


def test_another_issuer_is_refused_and_named(sign: Sign, trust: Path) -> None:
    said = refusal(sign(Job(issuer="https://gitlab.com")), trust)
    assert said.startswith(f"not signed by {SIGNER.identity} (issuer {GITHUB}): ")
    assert "got 'https://gitlab.com'" in said


def test_a_reusable_workflow_signs_only_for_its_caller(sign: Sign, trust: Path) -> None:
    ours, theirs = (sign(Job(repository=f"lab/{name}", within=SHARED)) for name in ("faults", "orbit"))
    named = Signer(f"https://github.com/{SHARED}", GITHUB)
    called = dataclasses.replace(named, caller=Job().caller)

    assert verify_bundle(ours, called, trust=trust) == statement()
    assert "got https://github.com/lab/orbit/.github/workflows/release.yml" in refusal(theirs, trust, called)
    assert "OIDCBuildConfigURI does not match" in refusal(ours, trust, named)


def test_a_permit_of_another_commit_than_the_run_is_refused(sign: Sign, trust: Path) -> None:
    said = refusal(sign(Job(commit="b" * 40)), trust)
    assert said.startswith("the permit is for commit aaaaaaaaaaaa, but was signed in a run of another: ")
    assert "b" * 40 in said


def spoiled(bundle: bytes, spoil: Mapping[str, Any]) -> bytes:
    """The bundle with other values: `{"dsseEnvelope.payload": "AAAA"}`; a number in a path is a list index."""
    body = json.loads(bundle)
    for path, value in spoil.items():
        *way, last = (int(word) if word.isdigit() else word for word in path.split("."))
        place: Any = body
        for word in way:
            place = place[word]
        place[last] = value(place[last]) if callable(value) else value
    return json.dumps(body).encode()


def _flip(place: int) -> Callable[[str], str]:
    def flipped(text: str) -> str:
        content = bytearray(base64.b64decode(text))
        content[place] ^= 1
        return base64.b64encode(content).decode()

    return flipped


ENTRY = "verificationMaterial.tlogEntries.0"
SPOILS: dict[str, tuple[dict[str, Any], str]] = {
    "payload": ({"dsseEnvelope.payload": _flip(-10)}, "DSSE: invalid signature"),
    "kind of payload": ({"dsseEnvelope.payloadType": "text/plain"}, "DSSE: invalid signature"),
    "signature": ({"dsseEnvelope.signatures.0.sig": _flip(-1)}, "DSSE: invalid signature"),
    "certificate": ({"verificationMaterial.certificate.rawBytes": _flip(-1)}, "certificate chain"),
    "entry": ({f"{ENTRY}.canonicalizedBody": _flip(-20)}, "inclusion proof contains invalid root hash"),
    "proof": ({f"{ENTRY}.inclusionProof.hashes.0": _flip(0)}, "inclusion proof contains invalid root hash"),
    "place in the proof": ({f"{ENTRY}.inclusionProof.logIndex": "1"}, "inclusion proof"),
    "length of the proof": ({f"{ENTRY}.inclusionProof.hashes": []}, "inclusion proof has wrong size"),
    "root": ({f"{ENTRY}.inclusionProof.rootHash": _flip(0)}, "inclusion proof contains invalid root hash"),
    "checkpoint": (
        {f"{ENTRY}.inclusionProof.checkpoint.envelope": lambda text: text.replace("rekor.lab - 1", "rekor.lab - 2")},
        "checkpoint: invalid signature",
    ),
    "unreadable checkpoint": (
        {f"{ENTRY}.inclusionProof.checkpoint.envelope": "a\n1\nAAAA\n\n\u2014 a b\n"},
        "Invalid base64",
    ),
    "time": ({f"{ENTRY}.integratedTime": lambda text: str(int(text) + 1)}, "SET: invalid inclusion promise"),
    "promise": ({f"{ENTRY}.inclusionPromise.signedEntryTimestamp": _flip(-1)}, "SET: invalid inclusion promise"),
    "place in the log": ({f"{ENTRY}.logIndex": "0"}, "SET: invalid inclusion promise"),
    "kind of entry": ({f"{ENTRY}.kindVersion.version": "0.0.2"}, "Integrated time only supported for"),
}


@pytest.mark.parametrize("case", SPOILS)
def test_a_change_anywhere_is_refused(case: str, bundle: bytes, trust: Path) -> None:
    spoil, why = SPOILS[case]
    assert why in refusal(spoiled(bundle, spoil), trust)


@pytest.mark.parametrize("part", ["dsseEnvelope", "verificationMaterial"])
def test_a_part_of_another_bundle_of_the_same_workflow_is_refused(
    part: str, bundle: bytes, sign: Sign, trust: Path
) -> None:
    other = statement().model_dump(mode="json")
    other["predicate"]["metrics"] = {"auc": 1.0}
    mixed = json.loads(bundle)
    mixed[part] = json.loads(sign(permit=validate_statement(other, "other.json")))[part]
    assert "DSSE: invalid signature" in refusal(json.dumps(mixed).encode(), trust)


def test_the_entry_of_another_bundle_is_refused(bundle: bytes, sign: Sign, trust: Path) -> None:
    entries = json.loads(sign())["verificationMaterial"]["tlogEntries"]
    assert "log entry" in refusal(spoiled(bundle, {"verificationMaterial.tlogEntries": entries}), trust)


def test_a_bundle_of_another_sigstore_is_refused(bundle: bytes, sigstore: Sigstore, tmp_path: Path) -> None:
    other = Sigstore(url=sigstore.url)
    mine, theirs = (
        json.loads(one.trust(tmp_path / "trust.json").read_text())["trustedRoot"] for one in (sigstore, other)
    )
    for part, why in {
        "certificateAuthorities": "certificate chain",
        "ctlogs": "failed to verify SCT",
        "tlogs": "checkpoint: invalid signature",
    }.items():
        trusted = sigstore.trust(tmp_path / "trust.json", **{**mine, part: theirs[part]})
        assert why in refusal(bundle, trusted)


def test_a_bundle_stays_valid_after_its_certificate_expired(bundle: bytes, sigstore: Sigstore, trust: Path) -> None:
    year = -365 * DAY
    aged = sigstore.remade(bundle, certified=year, logged=year + timedelta(minutes=9))
    assert verify_bundle(aged, SIGNER, trust=trust) == statement()


@pytest.mark.parametrize("logged", [timedelta(minutes=-1), timedelta(minutes=11), DAY])
def test_a_signature_outside_the_validity_of_the_certificate_is_refused(
    logged: timedelta, bundle: bytes, sigstore: Sigstore, trust: Path
) -> None:
    said = refusal(sigstore.remade(bundle, certified=-DAY, logged=logged - DAY), trust)
    assert said.startswith("the certificate is not from the trusted Sigstore, or was not valid at signing: ")
    assert "cert is not valid at validation time" in said


@pytest.mark.parametrize("rekor", [1, 2])
def test_a_time_stamp_replaces_the_time_of_the_log(rekor: int, tmp_path: Path) -> None:
    with running(rekor=rekor, stamping=True) as sigstore, sigstore.at_work():
        trust = sigstore.trust(tmp_path / "trust.json")
        made = sign_keyless(statement(), trust).content
    assert verify_bundle(made, SIGNER, trust=trust) == statement()

    body = json.loads(made)
    for part in ("inclusionPromise", "integratedTime"):
        body["verificationMaterial"]["tlogEntries"][0].pop(part, None)
    stamped = json.dumps(body).encode()
    assert verify_bundle(stamped, SIGNER, trust=trust) == statement()
    other = sigstore.trust(tmp_path / "other.json", timestampAuthorities=Sigstore().stampers)
    assert "not enough sources of verified time" in refusal(stamped, other)
    assert "inclusion proof" in refusal(spoiled(stamped, SPOILS["entry"][0]), trust)


@pytest.mark.slow
@given(place=st.integers(0, 2**20), other=st.integers(0, 255))
@settings(max_examples=200)
def test_no_changed_byte_makes_another_permit(place: int, other: int, bundle: bytes, trust: Path) -> None:
    changed = bytearray(bundle)
    changed[place % len(bundle)] = other
    with suppress(BeampermitError):
        assert verify_bundle(bytes(changed), SIGNER, trust=trust) == statement()


def test_a_permit_signed_with_a_key_is_not_a_bundle_and_the_reverse(bundle: bytes, trust: Path) -> None:
    with pytest.raises(BadInput, match="this permit is signed with a key, not as a workflow") as caught:
        verify_bundle(SEALED, SIGNER, trust=trust)
    assert "leave out --identity" in caught.value.hint
    with pytest.raises(BadInput, match="this is a Sigstore bundle, not a permit signed with a key") as caught:
        verify_envelope(bundle, TRUSTED)
    assert "--identity" in caught.value.hint


NO_BUNDLES = {
    "nothing": b"",
    "nonsense": b"nonsense",
    "an empty object": b"{}",
    "a list": b"[]",
    "an unsigned permit": statement().text.encode(),
    "a key given twice": b'{"dsseEnvelope": {}, "dsseEnvelope": {}}',
    "more than is read": b" " * (16 * 2**20 + 1),
    "a bundle with an envelope of our key": json.dumps(
        {
            "mediaType": "application/vnd.dev.sigstore.bundle.v0.3+json",
            "verificationMaterial": {"certificate": {"rawBytes": "AAAA"}, "tlogEntries": []},
            "dsseEnvelope": json.loads(SEALED),
        }
    ).encode(),
}


@pytest.mark.parametrize("case", NO_BUNDLES)
def test_other_content_is_refused(case: str, trust: Path) -> None:
    with pytest.raises(BadInput) as caught:
        verify_bundle(NO_BUNDLES[case], SIGNER, trust=trust)
    assert "\n" not in str(caught.value)


def test_no_file_and_one_that_is_too_large_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "permit.sigstore.json"
    with pytest.raises(BadInput, match="there is no signed permit"):
        read_bundle(file, SIGNER)
    file.write_bytes(SEALED)
    monkeypatch.setattr("beampermit.permit.bundle.LARGEST", len(SEALED) - 1)
    with pytest.raises(BadInput, match=f"larger than the {len(SEALED) - 1} bytes allowed for a permit"):
        read_bundle(file, SIGNER)


@pytest.mark.parametrize("lacking", ["inclusionPromise", "inclusionProof"])
def test_a_bundle_without_proof_of_the_log_is_refused(lacking: str, bundle: bytes, trust: Path) -> None:
    body = json.loads(bundle)
    del body["verificationMaterial"]["tlogEntries"][0][lacking]
    with pytest.raises(BadInput, match="not a Sigstore bundle"):
        verify_bundle(json.dumps(body).encode(), SIGNER, trust=trust)


def test_a_statement_that_is_no_permit_is_refused(
    bundle: bytes, sign: Sign, trust: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    foreign = json.dumps({**json.loads(statement().payload), "predicateType": "https://slsa.dev/provenance/v1"})
    spelled = json.dumps(json.loads(statement().payload), indent=1)
    for payload, kind, why in ((foreign, BadInput, "predicateType"), (spelled, Failed, "not in canonical form")):
        monkeypatch.setattr(Statement, "payload", payload.encode())
        content = sign()
        monkeypatch.undo()
        with pytest.raises(kind, match=why):
            verify_bundle(content, SIGNER, trust=trust)


def test_another_payload_type_is_refused(sign: Sign, trust: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sigstore.dsse.Envelope._TYPE", "text/plain")
    assert refusal(sign(), trust) == "the bundle holds text/plain, not a permit"
