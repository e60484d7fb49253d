"""The permit's commands, from key to verified envelope, with the exit codes that scripts rely on."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from beampermit.interlocks import runner
from beampermit.verdict import write_verdicts
from laboratory import Laboratory, found_laboratory, verdicts

Say = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def laboratory(tmp_path: Path, contract_text: str) -> Laboratory:
    """A project with a model; no registry is needed here."""
    (tmp_path / "none.db").touch()
    made = found_laboratory(tmp_path, contract_text, tmp_path / "none.db")
    made.change(1)
    return made


@pytest.fixture
def say(laboratory: Laboratory) -> Say:
    """Run `beampermit permit ...` in the project, with its signing key."""

    def run(*words: object, key: str | None = None) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "beampermit.cli.main", "permit", *map(str, words)]
        env = {**os.environ, "BEAMPERMIT_SIGNING_KEY": str(laboratory.key) if key is None else key}
        return subprocess.run(command, cwd=laboratory.root, env=env, capture_output=True, text=True, check=False)

    return run


def test_from_verdicts_to_a_verified_permit(laboratory: Laboratory, say: Say, tmp_path: Path) -> None:
    write_verdicts(tmp_path / "verdicts/all.json", verdicts(laboratory.project, tuple(runner.load())))
    permit = tmp_path / "permits/permit.json"
    assert say("assemble", "--verdicts", tmp_path / "verdicts", "--out", permit).returncode == 0
    assert say("sign", permit).returncode == 0

    verified = say("verify", permit.with_suffix(".dsse.json"), "--model", "model", "--name", "bpm-faults", "--json")

    assert verified.returncode == 0, verified.stderr
    assert json.loads(verified.stdout)["statement"] == json.loads(permit.read_text())
    unbound = say("verify", permit.with_suffix(".dsse.json"), "--software", "uv.lock")
    assert (unbound.returncode, unbound.stderr) == (1, "beampermit: uv.lock: the permit binds no bill of materials\n")
    other = say("verify", permit.with_suffix(".dsse.json"), "--name", "orbit")
    assert (other.returncode, other.stdout) == (1, "")
    assert other.stderr == "beampermit: this permit is for 'bpm-faults', not for 'orbit'\n"


def test_a_missing_verdict_is_exit_1_and_writes_nothing(laboratory: Laboratory, say: Say, tmp_path: Path) -> None:
    write_verdicts(tmp_path / "verdicts/all.json", verdicts(laboratory.project, tuple(runner.load())[1:]))
    refused = say("assemble", "--verdicts", tmp_path / "verdicts", "--out", tmp_path / "permit.json")
    assert refused.returncode == 1
    assert refused.stderr.endswith(f": {next(iter(runner.load()))} has no verdict\n")
    assert not (tmp_path / "permit.json").exists()


def test_signing_without_a_key_or_with_anothers_is_exit_2(laboratory: Laboratory, say: Say, tmp_path: Path) -> None:
    (tmp_path / "permit.json").write_text(laboratory.sign().statement.text)
    assert say("keygen", "--out", tmp_path / "other").returncode == 0
    for key, message in {
        "": "there is no signing key",
        str(tmp_path / "nowhere"): "neither PEM text nor the path",
        str(tmp_path / "other/permit.key"): "is not the other half of this public key",
    }.items():
        refused = say("sign", tmp_path / "permit.json", key=key)
        assert refused.returncode == 2
        assert message in refused.stderr
        assert "Traceback" not in refused.stderr
    assert not (tmp_path / "permit.dsse.json").exists()


def test_a_model_folder_is_judged_without_git_and_without_a_project(laboratory: Laboratory, tmp_path: Path) -> None:
    away = tmp_path / "control room"
    shutil.copytree(laboratory.root / "model", away / "model")
    (away / "permit.dsse.json").write_bytes(laboratory.sign().content)
    shutil.copy(laboratory.root / ".github/permit.pub", away)
    words = ("verify", "permit.dsse.json", "--key", "permit.pub", "--model", "model", "--name", "bpm-faults")

    def verify() -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "beampermit.cli.main", "permit", *words]
        return subprocess.run(command, cwd=away, env={"PATH": "/nowhere"}, capture_output=True, text=True, check=False)

    found = verify()
    assert found.returncode == 0, found.stderr
    assert laboratory.project.git.head() in found.stdout
    assert "DOC001, ENV001" in found.stdout
    weights = away / "model/weights.safetensors"
    for position in (0, 8, -1):
        content = bytearray(weights.read_bytes())
        content[position] ^= 1
        weights.write_bytes(bytes(content))
        spoiled = verify()
        assert (spoiled.returncode, spoiled.stdout) == (1, "")
        assert "weights.safetensors: these bytes are not those that the permit binds" in spoiled.stderr
        content[position] ^= 1
        weights.write_bytes(bytes(content))
    key = (away / "permit.pub").read_text()
    (away / "permit.pub").write_text(f"not-after: 2020-01-01\n{key}")
    expired = verify()
    assert expired.returncode == 1
    assert "is good until 2020-01-01" in expired.stderr


def test_signing_without_a_key_needs_an_identity_and_writes_nothing(
    laboratory: Laboratory, say: Say, tmp_path: Path
) -> None:
    signed = laboratory.sign()
    (tmp_path / "permit.json").write_text(signed.statement.text)
    refused = say("sign", tmp_path / "permit.json", "--keyless", key="")
    assert refused.returncode == 4
    assert "this job has no identity to sign with" in refused.stderr
    assert not list(tmp_path.glob("permit.*.json"))
    (tmp_path / "permit.dsse.json").write_bytes(signed.content)
    other = say(
        "verify", tmp_path / "permit.dsse.json", "--identity", "https://github.com/lab/faults/x.yml@refs/heads/main"
    )
    assert (other.returncode, other.stdout) == (2, "")
    assert "not a bundle of Sigstore" in other.stderr
