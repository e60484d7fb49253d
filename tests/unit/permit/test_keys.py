"""Keys are never overwritten, readable by others, tracked by git or quoted."""

from __future__ import annotations

from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    KeySerializationEncryption,
    NoEncryption,
    PrivateFormat,
)
from typer.testing import CliRunner

from beampermit.cli import main
from beampermit.errors import BadInput, Failed
from beampermit.permit.keys import generate_keys, key_id, load_signing_key, require_matching_key
from beampermit.permit.public_keys import read_public_keys
from beampermit.project import Project


def test_a_key_pair_matches_and_is_readable_by_its_owner_only(tmp_path: Path) -> None:
    private, public = generate_keys(tmp_path / "keys")
    assert private.stat().st_mode & 0o777 == 0o600
    by_path, by_text = load_signing_key(str(private)), load_signing_key(private.read_text())
    assert key_id(by_path.public_key()) == key_id(by_text.public_key()) == read_public_keys(public).keys[0].id
    require_matching_key(by_path, public)


@pytest.mark.parametrize("name", ["permit.key", "permit.pub"])
def test_a_key_is_never_overwritten(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text("precious")
    with pytest.raises(BadInput, match="never overwritten"):
        generate_keys(tmp_path)
    assert [file.name for file in tmp_path.iterdir()] == [name]
    assert (tmp_path / name).read_text() == "precious"


def test_a_key_that_somebody_writes_at_that_moment_is_not_overwritten(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("beampermit.permit.keys._require_untracked", lambda key: key.write_text("precious"))
    with pytest.raises(BadInput, match="the key cannot be written: File exists") as caught:
        generate_keys(tmp_path)
    assert caught.value.file == str(tmp_path / "permit.key")
    assert [(file.name, file.read_text()) for file in tmp_path.iterdir()] == [("permit.key", "precious")]


def test_a_private_key_is_not_written_where_git_would_track_it(project: Project) -> None:
    with pytest.raises(BadInput, match="git would track a private key"):
        generate_keys(project.root / "keys")
    assert not list(project.root.rglob("permit.*"))
    (project.root / ".gitignore").write_text("/keys/\n")
    generate_keys(project.root / "keys")


def test_a_key_that_is_not_the_projects_does_not_sign(tmp_path: Path) -> None:
    _, public = generate_keys(tmp_path / "a")
    other, _ = generate_keys(tmp_path / "b")
    with pytest.raises(BadInput, match="does not belong to any public key") as caught:
        require_matching_key(load_signing_key(str(other)), public)
    assert caught.value.file == str(public)


def _pem(key: object, encryption: KeySerializationEncryption | None = None) -> str:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, encryption or NoEncryption()).decode()  # pyright: ignore


ENCRYPTED = _pem(Ed25519PrivateKey.generate(), BestAvailableEncryption(b"secret"))
SECRET = "MC4CAQAwBQYDK2VwBCIEIJ1hsZ3v"
BAD = {
    "none": (None, "BEAMPERMIT_SIGNING_KEY is not set"),
    "empty": ("  \n", "BEAMPERMIT_SIGNING_KEY is not set"),
    "no file": (SECRET, "neither PEM text nor the path of a readable file"),
    "much too long for a path": (SECRET * 1000, "neither PEM text nor the path of a readable file"),
    "broken PEM": (
        f"-----BEGIN PRIVATE KEY-----\n{SECRET}\n-----END PRIVATE KEY-----\n",
        "does not hold a private key in PEM format",
    ),
    "encrypted": (ENCRYPTED, "encrypted"),
    "another kind": (_pem(generate_private_key(SECP256R1())), "not an Ed25519 key"),
}


@pytest.mark.parametrize("case", BAD)
def test_an_invalid_key_is_refused_and_not_quoted(case: str) -> None:
    value, message = BAD[case]
    with pytest.raises(BadInput, match=message) as caught:
        load_signing_key(value)
    assert caught.value.exit_code == 2
    assert SECRET not in f"{caught.value} {caught.value.hint}"


def test_an_expired_key_signs_nothing_and_a_new_one_has_a_last_day(tmp_path: Path) -> None:
    private, public = generate_keys(tmp_path / "keys", "2099-12-31")
    assert public.read_text().startswith("not-after: 2099-12-31\n-----BEGIN PUBLIC KEY-----\n")
    key = load_signing_key(str(private))
    require_matching_key(key, public)
    public.write_text(public.read_text().replace("2099", "2020"))
    with pytest.raises(Failed, match=r"but key sha256:[0-9a-f]{12}… is valid until 2020-12-31"):
        require_matching_key(key, public)
    with pytest.raises(BadInput, match="'soon' is not a day"):
        generate_keys(tmp_path / "more", "soon")
    assert not (tmp_path / "more").exists()


@pytest.mark.slow
@pytest.mark.attack(
    guard="beampermit",
    tried="a workflow gives the signing key to the job of a pull request, whose tests could read it",
    said="BEAMPERMIT_SIGNING_KEY is set in a job whose code is not merged yet",
)
@pytest.mark.parametrize("event", ["pull_request", "pull_request_target", "merge_group"])
def test_a_signing_key_in_a_job_of_a_pull_request_is_refused(
    monkeypatch: pytest.MonkeyPatch, event: str, said: str
) -> None:
    monkeypatch.setenv("BEAMPERMIT_SIGNING_KEY", "-----BEGIN PRIVATE KEY-----")
    monkeypatch.setenv("GITHUB_EVENT_NAME", event)
    result = CliRunner().invoke(main.app, ["check", "--list"])
    assert isinstance(result.exception, BadInput)
    assert said in str(result.exception)
    assert f"GITHUB_EVENT_NAME is {event}" in str(result.exception)
    assert "BEGIN" not in str(result.exception)


@pytest.mark.slow
@pytest.mark.parametrize(("event", "key"), [("push", "a key"), ("workflow_dispatch", "a key"), ("pull_request", "")])
def test_a_release_has_its_key_and_a_pull_request_none(monkeypatch: pytest.MonkeyPatch, event: str, key: str) -> None:
    monkeypatch.setenv("BEAMPERMIT_SIGNING_KEY", key)
    monkeypatch.setenv("GITHUB_EVENT_NAME", event)
    assert CliRunner().invoke(main.app, ["check", "--list"]).exit_code == 0
