"""The pre-commit hooks that this repository offers, run by pre-commit."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from beampermit.generation import generate
from support.forked_commands import executable
from support.paths import ROOT

pytestmark = pytest.mark.slow

MANIFEST = ROOT / ".pre-commit-hooks.yaml"
COMMIT = Callable[..., "subprocess.CompletedProcess[str]"]


def hooks() -> list[dict[str, Any]]:
    """Our hooks for a repository that has the command installed: pre-commit then installs nothing."""
    return [{**hook, "language": "system"} for hook in YAML(typ="safe").load(MANIFEST)]


@pytest.fixture(scope="module")
def generated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = generate(tmp_path_factory.mktemp("hooked"), {"environment": "uv"})
    with (root / ".pre-commit-config.yaml").open("w") as stream:
        YAML().dump({"repos": [{"repo": "local", "hooks": hooks()}]}, stream)
    subprocess.run(["git", "commit", "--all", "--quiet", "--message", "Hooks"], cwd=root, check=True)
    return root


@pytest.fixture
def commit(generated: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> COMMIT:
    """Stage everything of a copy of a generated project, and run pre-commit on what is staged.

    Hooks start the command as it is `installed`, or a fork.
    """
    monkeypatch.setenv("PRE_COMMIT_HOME", str(tmp_path / "cache"))
    shutil.copytree(generated, tmp_path / "project", symlinks=True)
    (tmp_path / "bin").mkdir()

    def run(installed: bool = False) -> subprocess.CompletedProcess[str]:
        root = tmp_path / "project"
        command = Path(sys.executable) if installed else executable(tmp_path / "bin")
        monkeypatch.setenv("PATH", f"{command.parent}{os.pathsep}{os.environ['PATH']}")
        subprocess.run(["git", "add", "--all"], cwd=root, check=True)
        command = (sys.executable, "-m", "pre_commit", "run", "--color", "never")
        return subprocess.run(command, cwd=root, check=False, capture_output=True, text=True)

    return run


def status(result: subprocess.CompletedProcess[str]) -> dict[str, str]:
    """Name of each hook -> Passed, Failed or Skipped."""
    lines = [line for line in result.stdout.splitlines() if line.endswith(("Passed", "Failed", "Skipped"))]
    return {line.split(".")[0].split("(")[0]: line.rsplit(".", 1)[-1].split(")")[-1] for line in lines}


CONTRACT, LOCK, DATA = (hook["name"] for hook in hooks())


def test_pre_commit_accepts_the_manifest() -> None:
    command = (sys.executable, "-m", "pre_commit", "validate-manifest", str(MANIFEST))
    assert subprocess.run(command, check=False, capture_output=True).returncode == 0
    assert all(hook["language"] == "python" for hook in YAML(typ="safe").load(MANIFEST)), "pre-commit installs us"


def test_a_change_of_code_runs_only_the_data_hook(commit: COMMIT, tmp_path: Path) -> None:
    (tmp_path / "project/notes.md").write_text("x\n")
    assert status(commit(installed=True)) == {CONTRACT: "Skipped", LOCK: "Skipped", DATA: "Passed"}


def test_a_wrong_key_of_the_contract_is_refused_with_line_and_suggestion(commit: COMMIT, tmp_path: Path) -> None:
    file = tmp_path / "project/contract.yaml"
    file.write_text(file.read_text().replace("review_by:", "review_at:"))
    result = commit()
    assert status(result)[CONTRACT] == "Failed"
    assert "contract.yaml:" in result.stdout
    assert "did you mean 'review_by'?" in result.stdout


def test_requirements_without_a_lock_are_refused_with_the_command_to_run(commit: COMMIT, tmp_path: Path) -> None:
    file = tmp_path / "project/pyproject.toml"
    file.write_text(file.read_text() + "\n")
    result = commit()
    assert status(result)[LOCK] == "Failed"
    assert "there is no uv.lock" in result.stdout
    assert "beampermit env lock" in " ".join(result.stdout.split())


@pytest.mark.parametrize(
    ("name", "content", "what"),
    [
        ("a.npy", b"\x93NUMPY\x01\0", "NumPy, 8 bytes"),
        ("innocent.txt", b"PAR1xxxx", "Parquet, 8 bytes"),
        ("big.csv", b"1,2\n" * 700_000, "2.7 MiB; the limit is 2.0 MiB"),
        ("--help", b"1,2\n" * 700_000, "--help: 2.7 MiB; the limit is 2.0 MiB"),
        ("-x", b"PAR1xxxx", "-x: Parquet, 8 bytes"),
        ("with space\u202e.bin", b"\x80\x04K\x01.", "with space⟨U+202E⟩.bin: pickle, 5 bytes"),
    ],
)
def test_data_are_refused_by_name_first_bytes_and_size(
    commit: COMMIT, tmp_path: Path, name: str, content: bytes, what: str
) -> None:
    (tmp_path / "project" / name).write_bytes(content)
    result = commit()
    assert status(result)[DATA] == "Failed"
    assert what in result.stdout
    assert "  git rm --cached FILE\n  dvc add FILE\n" in result.stdout
