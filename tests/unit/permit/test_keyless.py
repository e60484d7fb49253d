"""Without a key, as far as that can be shown without Sigstore's servers: who refuses, with which words and exit code.

A bundle that Sigstore made cannot be had offline, so that one of ours verifies is not shown here.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
from test_envelope import KEY, SEALED, statement

from beampermit.errors import BadInput, BeampermitError, Outside
from beampermit.permit import keyless
from beampermit.permit.envelope import Envelope, seal
from beampermit.permit.keyless import sign_keyless, unseal_keyless

WORKFLOW = "https://github.com/lab/faults/.github/workflows/release.yml@refs/heads/main"
ISSUER = "https://token.actions.githubusercontent.com"


@pytest.fixture(autouse=True)
def _no_identity(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("ACTIONS_ID_TOKEN_REQUEST_URL", "ACTIONS_ID_TOKEN_REQUEST_TOKEN", "GITHUB_ACTIONS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))


def test_a_job_without_an_identity_is_told_what_it_lacks() -> None:
    with pytest.raises(Outside, match="no OIDC token is offered here") as caught:
        sign_keyless(statement())
    assert caught.value.exit_code == 4
    assert "id-token: write" in caught.value.hint


def test_a_job_that_may_not_ask_for_an_identity_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    with pytest.raises(Outside, match="no permit was signed without a key: "):
        sign_keyless(statement())


def test_an_issuer_that_does_not_answer_is_the_outside_world(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    monkeypatch.setenv("ACTIONS_ID_TOKEN_REQUEST_URL", "http://127.0.0.1:9/token?a=b")
    monkeypatch.setenv("ACTIONS_ID_TOKEN_REQUEST_TOKEN", "verysecret")
    with pytest.raises(Outside, match="no permit was signed without a key: ") as caught:
        sign_keyless(statement())
    assert "verysecret" not in f"{caught.value} {caught.value.hint}"


def test_without_the_extra_it_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sigstore.oidc", None)
    with pytest.raises(BadInput, match="needs the extra") as caught:
        sign_keyless(statement())
    assert caught.value.hint == "pip install 'beampermit[keyless]'"


NO_BUNDLES = {
    "nothing": b"",
    "nonsense": b"nonsense",
    "an empty object": b"{}",
    "an envelope of our key": SEALED,
    "an unsigned permit": statement().text.encode(),
    "a bundle with an envelope of our key": json.dumps(
        {
            "mediaType": "application/vnd.dev.sigstore.bundle.v0.3+json",
            "verificationMaterial": {"certificate": {"rawBytes": "AAAA"}, "tlogEntries": []},
            "dsseEnvelope": Envelope.model_validate(json.loads(seal(statement(), KEY)), strict=False).model_dump(),
        }
    ).encode(),
}


@pytest.mark.parametrize("case", NO_BUNDLES)
def test_what_sigstore_did_not_sign_is_refused(case: str) -> None:
    with pytest.raises(BeampermitError) as caught:
        unseal_keyless(NO_BUNDLES[case], WORKFLOW, ISSUER)
    assert caught.value.exit_code in (1, 2)
    assert "\n" not in str(caught.value)


def test_a_trust_configuration_that_is_none_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="no trust configuration here"):
        keyless._trust(tmp_path / "trust.json", offline=True)
    (tmp_path / "trust.json").write_text("{}")
    with pytest.raises(BadInput, match="not a ClientTrustConfig"):
        keyless._trust(tmp_path / "trust.json", offline=True)


def test_whom_the_public_sigstore_trusts_is_known_offline() -> None:
    assert keyless._trust(None, offline=True).trusted_root
