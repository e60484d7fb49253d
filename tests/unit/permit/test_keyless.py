"""Signing as a workflow: every bundle verifies; a Sigstore that is down, slow or wrong leaves nothing behind."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from beampermit.cli import permit as cli
from beampermit.errors import BadInput, Outside
from beampermit.permit import keyless
from beampermit.permit.bundle import Signer, verify_bundle
from beampermit.permit.keyless import sign_keyless
from support.github_server import Answer, Asked, Fault, hang, lost, reset, says
from support.permits import statement
from support.sigstore_certificates import Authority
from support.sigstore_stand_in import RIGHT_TO_ASK, Job, Sigstore, running


@pytest.fixture
def sigstore(tmp_path: Path) -> Iterator[Sigstore]:
    """A Sigstore that works, and a permit for its job to sign."""
    (tmp_path / "permit.json").write_text(statement().text)
    with running() as found, found.at_work():
        found.trust(tmp_path / "trust.json")
        yield found


def sign(folder: Path) -> Path:
    """`beampermit permit sign --keyless`; returns the file that it writes."""
    cli.sign(folder / "permit.json", keyless=True, trust=folder / "trust.json", project=folder)
    return folder / "permit.sigstore.json"


def refusal(folder: Path, sigstore: Sigstore) -> str:
    """Why nothing was signed: exit 4, one line without secrets, and no file."""
    with pytest.raises(Outside, match="the permit was not signed with Sigstore: ") as caught:
        sign(folder)
    said = str(caught.value)
    assert caught.value.exit_code == 4
    assert "beampermit permit sign" in caught.value.hint
    assert "\n" not in said
    assert not [secret for secret in (RIGHT_TO_ASK, *sigstore.tokens) if secret[:60] in said], (
        "not even their beginning"
    )
    assert {file.name for file in folder.iterdir()} == {"permit.json", "trust.json"}
    return said.removeprefix("the permit was not signed with Sigstore: ")


@pytest.mark.slow
def test_a_job_signs_as_the_workflow_that_it_is(
    sigstore: Sigstore, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    written, identity = sign(tmp_path), sigstore.job.identity
    assert capsys.readouterr().out == f"signed: {written}, permit {statement().digest[:19]}, as {identity}\n"
    asked = [str(one) for one in sigstore.asked]
    assert asked == ["GET /token", "POST /api/v2/signingCert", "POST /api/v1/log/entries"]
    content = written.read_bytes()
    assert verify_bundle(content, Signer(identity), trust=tmp_path / "trust.json") == statement()
    assert not [secret for secret in (RIGHT_TO_ASK, *sigstore.tokens) if secret.encode() in content]


SERVERS = {"the issuer": "/token", "Fulcio": "/signingCert", "Rekor": "/log/entries"}
FAULTS: dict[str, Fault] = {
    "502": says(502, b"<html>Bad Gateway</html>"),
    "429": says(429, {"code": 429, "message": "too many requests"}, retry_after="0"),
    "a connection that breaks": reset,
    "a lost reply": lost,
    "a page of a proxy": says(200, b"<html>Please sign in</html>"),
    "an empty answer": says(200, {}),
    "silence": hang(1),
}


@pytest.mark.parametrize("server", SERVERS)
@pytest.mark.parametrize("fault", FAULTS)
def test_a_failing_sigstore_leaves_nothing_and_the_next_run_signs(
    server: str, fault: str, sigstore: Sigstore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sigstore.faults = [(SERVERS[server], FAULTS[fault])] * 5  # where a connection breaks, some of it is asked again
    with monkeypatch.context() as patched:
        patched.setattr(keyless, "SECONDS", 0.3 if fault == "silence" else 60)
        said = refusal(tmp_path, sigstore)
    if fault in ("502", "429") and server != "the issuer":  # which is asked three times more
        assert fault in said
    if fault == "silence":
        assert said == "no answer in 0.3 s"

    sigstore.faults.clear()
    assert sign(tmp_path).is_file()


@pytest.mark.parametrize(
    ("job", "why"),
    [
        (Job(seconds=-60), "Signature has expired"),
        (Job(since=24 * 3600), "not yet valid"),
        (Job(since=-24 * 3600), "Signature has expired"),
    ],
    ids=["expired", "a clock a day ahead", "a clock a day behind"],
)
def test_a_token_that_is_not_valid_now_signs_nothing(job: Job, why: str, sigstore: Sigstore, tmp_path: Path) -> None:
    sigstore.job = job
    assert why in refusal(tmp_path, sigstore)
    assert [str(asked) for asked in sigstore.asked] == ["GET /token"]


@pytest.mark.parametrize("word", ["URL", "TOKEN"])
def test_a_job_without_the_permission_is_told_which_one(
    word: str, sigstore: Sigstore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(f"ACTIONS_ID_TOKEN_REQUEST_{word}")
    assert "missing or insufficient OIDC token permissions" in refusal(tmp_path, sigstore)
    with pytest.raises(Outside) as caught:
        sign(tmp_path)
    assert "id-token: write" in caught.value.hint


def test_a_time_stamper_that_is_down_signs_nothing(sigstore: Sigstore, tmp_path: Path) -> None:
    sigstore.rekor, sigstore.stamping = 2, True
    sigstore.trust(tmp_path / "trust.json")
    sigstore.faults = [("/stamp", says(502))]
    assert "bundle must contain an inclusion promise or signed timestamp" in refusal(tmp_path, sigstore)
    assert sign(tmp_path).is_file()


def test_a_job_with_an_expired_request_token_is_refused(
    sigstore: Sigstore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ACTIONS_ID_TOKEN_REQUEST_TOKEN", "of-yesterday")
    assert "code=401" in refusal(tmp_path, sigstore)


def test_a_server_that_repeats_a_token_reveals_nothing(sigstore: Sigstore, tmp_path: Path) -> None:
    def repeats(_: object, asked: Asked) -> Answer:
        return Answer(403, {"code": 403, "message": f"no: {asked.token} {' '.join(sigstore.tokens)}"})

    for server in SERVERS.values():
        sigstore.faults = [(server, repeats)]
        refusal(tmp_path, sigstore)


def test_a_machine_without_an_identity_is_told_so() -> None:
    with pytest.raises(Outside, match="this job has no OIDC token") as caught:
        sign_keyless(statement())
    assert caught.value.exit_code == 4
    assert "id-token: write" in caught.value.hint


def test_without_the_extra_it_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sigstore.oidc", None)
    with pytest.raises(BadInput, match="the extra 'keyless'") as caught:
        sign_keyless(statement())
    assert caught.value.hint == "pip install 'beampermit[keyless]'"


WRONG: dict[str, tuple[str, object, str]] = {
    "the log's clock is ahead": ("late", 3600, "cert is not valid at validation time"),
    "the log's clock is behind": ("late", -3600, "cert is not valid at validation time"),
    "the log is another": ("log_key", Authority().key, "checkpoint: invalid signature"),
    "the authority is another": ("authority", Authority(), "SCT verify failed"),
    "the log of certificates did not see it": ("authority.promised", False, "does not contain a signed certificate"),
    "the certificate is an hour old": ("authority.ago", timedelta(hours=1), "ExpiredCertificate"),
}


@pytest.mark.parametrize("case", WRONG)
def test_a_bundle_that_does_not_verify_is_not_written(case: str, sigstore: Sigstore, tmp_path: Path) -> None:
    path, value, why = WRONG[case]
    of, _, name = path.rpartition(".")
    setattr(sigstore.authority if of else sigstore, name, value)
    assert why in refusal(tmp_path, sigstore)
