"""The permit's commands, from key to verified envelope, with the exit codes that scripts rely on."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner

from beampermit.cli.permit import app
from beampermit.errors import BadInput, BeampermitError
from beampermit.interlocks.families import load_interlocks
from beampermit.permit.sigstore import TRUST_IN_PROJECT
from beampermit.project import Project
from beampermit.verdicts.writing import write_verdicts
from support.forked_commands import beampermit
from support.registry_project import Laboratory, verdicts
from support.sigstore_stand_in import Job, running

pytestmark = pytest.mark.slow

Command = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def permit_command(laboratory: Laboratory) -> Command:
    """Run `beampermit permit ...` in the project, with its signing key."""

    def run(*arguments: object, key: str | None = None) -> subprocess.CompletedProcess[str]:
        env = {**os.environ, "BEAMPERMIT_SIGNING_KEY": str(laboratory.key) if key is None else key}
        return beampermit("permit", *arguments, cwd=laboratory.root, env=env)

    return run


def test_from_verdicts_to_a_verified_permit(laboratory: Laboratory, permit_command: Command, tmp_path: Path) -> None:
    write_verdicts(tmp_path / "verdicts/all.json", verdicts(laboratory.project, tuple(load_interlocks())))
    permit = tmp_path / "permits/permit.json"
    assert permit_command("assemble", "--verdicts", tmp_path / "verdicts", "--out", permit).returncode == 0
    assert permit_command("sign", permit).returncode == 0

    verified = permit_command(
        "verify", permit.with_suffix(".dsse.json"), "--model", "model", "--name", "bpm-faults", "--json"
    )

    assert verified.returncode == 0, verified.stderr
    assert json.loads(verified.stdout)["statement"] == json.loads(permit.read_text())
    unbound = permit_command("verify", permit.with_suffix(".dsse.json"), "--software", "uv.lock")
    assert unbound.returncode == 1
    assert unbound.stderr.splitlines()[0] == "beampermit: uv.lock: the permit binds no bill of materials"
    other = permit_command("verify", permit.with_suffix(".dsse.json"), "--name", "orbit")
    assert (other.returncode, other.stdout) == (1, "")
    assert other.stderr.splitlines()[0] == "beampermit: the permit is for model 'bpm-faults', not for 'orbit'"


def test_a_missing_verdict_is_exit_1_and_writes_nothing(
    laboratory: Laboratory, permit_command: Command, tmp_path: Path
) -> None:
    write_verdicts(tmp_path / "verdicts/all.json", verdicts(laboratory.project, tuple(load_interlocks())[1:]))
    refused = permit_command("assemble", "--verdicts", tmp_path / "verdicts", "--out", tmp_path / "permit.json")
    assert refused.returncode == 1
    assert (
        f": {next(iter(load_interlocks()))} has no verdict\n      next: beampermit check --out FILE\n" in refused.stderr
    )
    assert not (tmp_path / "permit.json").exists()


@pytest.mark.attack(
    guard="permit assemble",
    tried="the command is given verdicts of another workflow run",
    said=" was judged in https://github.com/lab/faults/actions/runs/6, not in ",
)
def test_the_command_asks_for_its_own_run_and_base(
    laboratory: Laboratory, permit_command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, said: str
) -> None:
    for name, value in {"SERVER_URL": "https://github.com", "REPOSITORY": "lab/faults", "RUN_ID": "6"}.items():
        monkeypatch.setenv(f"GITHUB_{name}", value)
    laboratory.git("commit", "--quiet", "--allow-empty", "--message", "More")
    judged = Project(laboratory.root, base="HEAD~1")
    write_verdicts(tmp_path / "verdicts/all.json", verdicts(judged, tuple(load_interlocks())))
    words = ("assemble", "--verdicts", tmp_path / "verdicts", "--out", tmp_path / "permit.json")

    assert permit_command(*words, "--base", "HEAD~1").returncode == 0
    assert json.loads((tmp_path / "permit.json").read_text())["predicate"]["base"] == judged.base
    write_verdicts(
        tmp_path / "verdicts/all.json", verdicts(Project(laboratory.root, base="HEAD"), tuple(load_interlocks()))
    )
    other = permit_command(*words, "--base", "HEAD~1")
    assert (other.returncode, " was judged against " in other.stderr) == (1, True)
    monkeypatch.setenv("GITHUB_RUN_ID", "7")
    refused = permit_command(*words, "--base", "HEAD~1")
    assert refused.returncode == 1
    assert said in refused.stderr


def test_signing_without_a_key_or_with_another_key_is_exit_2(
    laboratory: Laboratory, permit_command: Command, tmp_path: Path
) -> None:
    (tmp_path / "permit.json").write_text(laboratory.sign().statement.text)
    assert permit_command("keygen", "--out", tmp_path / "other").returncode == 0
    for key, message in {
        "": "BEAMPERMIT_SIGNING_KEY is not set",
        str(tmp_path / "nowhere"): "neither PEM text nor the path",
        str(tmp_path / "other/permit.key"): "does not belong to any public key in this file",
    }.items():
        refused = permit_command("sign", tmp_path / "permit.json", key=key)
        assert refused.returncode == 2
        assert message in refused.stderr
        assert "Traceback" not in refused.stderr
    assert not (tmp_path / "permit.dsse.json").exists()


def test_a_permit_is_verified_without_git_and_without_a_project(laboratory: Laboratory, tmp_path: Path) -> None:
    away = tmp_path / "control room"
    shutil.copytree(laboratory.root / "model", away / "model")
    (away / "permit.dsse.json").write_bytes(laboratory.sign().content)
    shutil.copy(laboratory.root / ".github/permit.pub", away)
    arguments = ("verify", "permit.dsse.json", "--key", "permit.pub", "--model", "model", "--name", "bpm-faults")

    def verify() -> subprocess.CompletedProcess[str]:
        return beampermit("permit", *arguments, cwd=away, env={"PATH": "/nowhere"})

    verified = verify()
    assert verified.returncode == 0, verified.stderr
    assert laboratory.project.git.head() in verified.stdout
    assert "DOC001, ENV001" in verified.stdout
    weights = away / "model/weights.safetensors"
    for position in (0, 8, -1):
        content = bytearray(weights.read_bytes())
        content[position] ^= 1
        weights.write_bytes(bytes(content))
        changed = verify()
        assert (changed.returncode, changed.stdout) == (1, "")
        assert "weights.safetensors: this file differs from the one that the permit binds" in changed.stderr
        content[position] ^= 1
        weights.write_bytes(bytes(content))
    key = (away / "permit.pub").read_text()
    (away / "permit.pub").write_text(f"not-after: 2020-01-01\n{key}")
    expired = verify()
    assert expired.returncode == 1
    assert "is valid until 2020-01-01" in expired.stderr


def test_signing_without_a_key_needs_an_identity_and_writes_nothing(
    laboratory: Laboratory, permit_command: Command, tmp_path: Path
) -> None:
    (tmp_path / "permit.json").write_text(laboratory.sign().statement.text)
    refused = permit_command("sign", tmp_path / "permit.json", "--keyless", key="")
    assert refused.returncode == 4
    assert "this job has no OIDC token" in refused.stderr
    assert not list(tmp_path.glob("permit.*.json"))


@pytest.fixture
def refused(laboratory: Laboratory) -> Callable[..., BeampermitError]:
    """Why `beampermit permit verify ...` refuses, in the project."""

    def run(*arguments: object) -> BeampermitError:
        result = CliRunner().invoke(app, ["verify", *map(str, arguments), "--project", str(laboratory.root)])
        assert isinstance(result.exception, BeampermitError), result.output
        assert result.output == ""
        return result.exception

    return run


def test_a_workflow_signs_what_a_key_has_signed_and_anybody_can_verify_it(
    laboratory: Laboratory, permit_command: Command, refused: Callable[..., BeampermitError], tmp_path: Path
) -> None:
    signed, bundle = laboratory.sign(), tmp_path / "permit.sigstore.json"
    (tmp_path / "permit.dsse.json").write_bytes(signed.content)
    with running(job=Job(commit=laboratory.project.git.head())) as sigstore, sigstore.at_work():
        sigstore.trust(laboratory.root / TRUST_IN_PROJECT)
        made = permit_command("sign", tmp_path / "permit.dsse.json", "--keyless", "--json", key="")
    assert json.loads(made.stdout)["identity"] == sigstore.job.identity, made.stderr
    arguments = (bundle, "--identity", sigstore.job.identity, "--model", laboratory.root / "model")

    verified = permit_command(
        "verify", *arguments, "--name", "bpm-faults", "--json"
    )  # Sigstore has stopped: verification is offline
    assert json.loads(verified.stdout)["permit"] == signed.statement.digest, verified.stderr

    other = refused(*arguments, "--name", "orbit")
    assert (other.exit_code, str(other)) == (1, "the permit is for model 'bpm-faults', not for 'orbit'")
    with_a_key = refused(bundle)
    assert with_a_key.exit_code == 2
    assert "this is a Sigstore bundle, not a permit signed with a key" in str(with_a_key)
    without = refused(tmp_path / "permit.dsse.json", "--identity", sigstore.job.identity)
    assert without.exit_code == 2
    assert "this permit is signed with a key, not as a workflow" in str(without)
    laboratory.change(2)
    newer = refused(*arguments)
    assert newer.exit_code == 1
    assert "this file differs from the one that the permit binds" in str(newer)
    (laboratory.root / TRUST_IN_PROJECT).unlink()
    by_the_public_one = refused(*arguments)
    assert by_the_public_one.exit_code == 1
    assert "the certificate is not from the trusted Sigstore" in str(by_the_public_one)


def test_a_workflow_does_not_sign_an_envelope_with_a_wrong_signature(
    laboratory: Laboratory, permit_command: Command, tmp_path: Path
) -> None:
    envelope = laboratory.sign().content
    (tmp_path / "permit.dsse.json").write_bytes(envelope.replace(b'"sig": "', b'"sig": "AAAA'))
    with running() as sigstore, sigstore.at_work():
        refused = permit_command("sign", tmp_path / "permit.dsse.json", "--keyless", key="")
        assert sigstore.asked == []
    assert refused.returncode == 1
    assert not (tmp_path / "permit.sigstore.json").exists()


@pytest.mark.parametrize(
    "options",
    [("--caller", "x"), ("--trust", "x.json"), ("--identity", ""), ("--identity", "x", "--key", "permit.pub")],
)
def test_options_that_would_have_no_effect_are_refused(options: tuple[str, ...], tmp_path: Path) -> None:
    result = CliRunner().invoke(app, ["verify", str(tmp_path / "permit.dsse.json"), *options])
    assert isinstance(result.exception, BadInput)
    assert "--identity" in str(result.exception)
