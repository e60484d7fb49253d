"""A promoted version is published with the ledger's permit and its documents; what was never promoted is not."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from beampermit.cli.main import app
from beampermit.digest import digest_bytes, digest_file
from beampermit.errors import BadInput, Failed
from beampermit.github.client import Client
from beampermit.permit.envelope import sign_statement
from beampermit.permit.keys import PUBLIC_IN_PROJECT, load_signing_key
from beampermit.permit.statement import BoundFile, Sha256, Subject
from beampermit.publishing import format_body, publish_version
from support.github_stand_in import GitHub, environment
from support.registry_project import MODEL, Laboratory, database, laboratory, prepared, sign_promotion

pytestmark = pytest.mark.slow

__all__ = ["database", "laboratory", "prepared"]


@pytest.fixture
def client(github: GitHub) -> Client:
    return Client(github.repository, "s3cret", github.url, lambda _: None)


@pytest.fixture
def documents(tmp_path: Path) -> Path:
    folder = tmp_path / "release"
    folder.mkdir()
    for name in ("MODEL_CARD.md", "sbom.cdx.json", "permit.json"):
        (folder / name).write_text(name)
    return folder


def test_a_promoted_version_gets_its_documents_and_the_permit_of_the_ledger(
    laboratory: Laboratory, client: Client, github: GitHub, documents: Path
) -> None:
    signed = laboratory.sign()
    laboratory.promote(signed=signed)
    again = laboratory.sign()
    (documents / "permit.dsse.json").write_bytes(again.content)
    done = publish_version(client, laboratory.ledger, again.statement, documents)
    assert done.uploaded == ("MODEL_CARD.md", "permit.dsse.json", "sbom.cdx.json"), "not the permit that is unsigned"
    (found,) = github.releases.values()
    assert (found["tag_name"], found["target_commitish"]) == (f"{MODEL}-v1", laboratory.project.git.head())
    assert signed.statement.digest in found["body"]
    assert signed.content in github.blobs.values()
    assert not publish_version(client, laboratory.ledger, again.statement, documents).new


def test_a_bill_of_materials_that_the_permit_does_not_bind_is_not_published(
    laboratory: Laboratory, client: Client, github: GitHub, documents: Path
) -> None:
    laboratory.promote()
    permit = laboratory.sign().statement
    bound = BoundFile(file="sbom.cdx.json", digest=digest_file(documents / "sbom.cdx.json"))
    binding = permit.model_copy(update={"predicate": permit.predicate.model_copy(update={"software": bound})})
    assert publish_version(client, laboratory.ledger, binding, documents).uploaded
    (documents / "sbom.cdx.json").write_text("another")
    with pytest.raises(Failed, match="this is not the bill of materials that the permit binds"):
        publish_version(client, laboratory.ledger, binding, documents)


def test_a_version_that_was_never_promoted_is_not_published(
    laboratory: Laboratory, client: Client, github: GitHub, documents: Path
) -> None:
    laboratory.promote()
    laboratory.change(2)
    with pytest.raises(BadInput, match="has no promotion of bpm-faults from commit"):
        publish_version(client, laboratory.ledger, laboratory.sign().statement, documents)
    assert not github.releases


def test_other_bytes_than_were_promoted_from_the_commit_are_not_published(
    laboratory: Laboratory, client: Client, documents: Path
) -> None:
    laboratory.promote()
    event, _ = sign_promotion(laboratory.last(), {"weights.safetensors": digest_bytes(b"other")})
    permit = laboratory.sign().statement
    subject = Subject(name=MODEL, digest=Sha256(sha256=event.digest.removeprefix("sha256:")))
    with pytest.raises(BadInput, match="has no promotion of bpm-faults from commit"):
        publish_version(client, laboratory.ledger, permit.model_copy(update={"subject": (subject,)}), documents)


@pytest.mark.attack(
    guard="publish",
    tried="a permit of a promoted commit, with another bill of materials, is signed with a key that only the work tree"
    " lists",
    said="signed with an untrusted key: sha256:",
)
def test_a_permit_of_an_untrusted_key_publishes_nothing(
    laboratory: Laboratory, github: GitHub, documents: Path, monkeypatch: pytest.MonkeyPatch, said: str
) -> None:
    laboratory.promote()
    private, public = laboratory.new_key("mallory")
    forged = sign_statement(laboratory.sign().statement, load_signing_key(str(private)))
    (laboratory.root / PUBLIC_IN_PROJECT).write_text(public.read_text())
    (documents / "permit.dsse.json").write_bytes(forged)
    for name, value in environment(github).items():
        monkeypatch.setenv(name, value)
    words = ("publish", "--permit", str(documents / "permit.dsse.json"), "--project", str(laboratory.root))
    error = CliRunner().invoke(app, words).exception
    assert isinstance(error, Failed)
    assert error.message.startswith(said)
    assert not github.releases


def test_a_link_among_the_documents_is_refused(laboratory: Laboratory, client: Client, documents: Path) -> None:
    laboratory.promote()
    (documents / "more.md").symlink_to("/etc/hostname")
    with pytest.raises(BadInput, match=r"more\.md: a release takes regular files"):
        publish_version(client, laboratory.ledger, laboratory.sign().statement, documents)


def test_text_from_people_is_escaped_in_the_release(laboratory: Laboratory) -> None:
    event = laboratory.promote().event.model_copy(update={"reason": "| @ops <img src=x>\n# now", "by": "a|b"})
    said = format_body(event)
    assert "<img" not in said
    assert "@ops" not in said
    assert len(said.splitlines()) == 10


def test_the_command_prints_the_url_and_no_token(laboratory: Laboratory, github: GitHub, documents: Path) -> None:
    signed = laboratory.sign()
    laboratory.promote(signed=signed)
    (documents / "permit.dsse.json").write_bytes(signed.content)
    command = [sys.executable, "-m", "beampermit.cli.main", "publish", "--permit", str(documents / "permit.dsse.json")]
    found = subprocess.run(
        command, cwd=laboratory.root, env={**os.environ, **environment(github)}, capture_output=True, text=True,
        check=False,
    )  # fmt: skip
    assert found.returncode == 0, found.stderr
    assert found.stdout.startswith(
        f"published: https://git.example/lab/faults/releases/tag/{MODEL}-v1, uploaded MODEL_CARD"
    )
    assert "s3cret" not in found.stdout + found.stderr
