"""`beampermit reproduce --champion`: the model in service is reproduced, with a summary for the workflow run."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from beampermit.cli.main import app
from beampermit.environments.installation import Installation
from beampermit.errors import BadInput, Failed
from beampermit.project import Project
from support.dvc_repositories import replace
from support.toy_project import HERE, in_service

pytestmark = pytest.mark.slow

Reproduce = Callable[..., Result]


@pytest.fixture
def origin(trainable: Project, tmp_path: Path) -> Project:
    """The project with an origin that has its main branch."""
    origin = tmp_path / "origin.git"
    subprocess.run(["git", "init", "--quiet", "--bare", "--initial-branch", "main", origin], check=True)
    trainable.git("remote", "add", "origin", str(origin))
    trainable.git("push", "--quiet", "origin", "main")
    return trainable


@pytest.fixture
def reproduce(origin: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Reproduce:
    """The command, in a job of GitHub, in the environment of the tests."""
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(tmp_path / "summary.md"))
    installed = Installation(HERE, "", True, 0, 0.0)
    monkeypatch.setattr("beampermit.reproduction.environments.install", lambda *_, **__: installed)
    monkeypatch.setattr("beampermit.reproduction.environments.backend_for", lambda *_, **__: None)

    def run(*words: str) -> Result:
        return CliRunner().invoke(app, ["reproduce", "--champion", *words, "--project", str(origin.root)])

    return run


@pytest.fixture
def summary(tmp_path: Path) -> Callable[[], str]:
    return (tmp_path / "summary.md").read_text


def test_nothing_to_reproduce_where_nothing_is_in_service(reproduce: Reproduce, summary: Callable[[], str]) -> None:
    finished = reproduce()
    assert finished.exit_code == 0
    assert finished.stdout == "no version of bpm-faults is in service\n"
    assert summary() == "### Nothing to reproduce\n\n```\nno version of bpm-faults is in service\n```\n\n"
    assert json.loads(reproduce("--json").stdout) == {"champion": None}


def test_champion_is_judged_by_its_own_contract(
    origin: Project, reproduce: Reproduce, summary: Callable[[], str]
) -> None:
    event = in_service(origin)
    contract = origin.root / "contract.yaml"
    replace(contract, "metrics:\n", "metrics:\n  - {name: recall, better: higher, gate: 0.9}\n")
    replace(contract, "seeds: [0, 1, 2]", "seeds: [0, 7]")
    replace(origin.root / "train.py", "range(1, 31)", "range(1, 3)")
    origin.git("commit", "--quiet", "--all", "--message", "Work goes on")
    finished = reproduce("--seeds", "all")
    assert finished.exit_code == 0, finished.output
    first, second, *_ = finished.stdout.splitlines()
    assert first == f"version 4 of bpm-faults, in service since {event.at}"
    assert second == f"{event.commit[:12]} trained again with seed 0: identical"
    assert "seeds 0, 1, 2:\n" in finished.stdout
    assert finished.stdout.count(", 0.005 allowed\n") == 2
    assert summary() == f"### ✅ The same model\n\n```\n{finished.stdout}```\n\n"


def test_other_model_fails_and_the_summary_says_why(
    origin: Project, reproduce: Reproduce, summary: Callable[[], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    in_service(origin)
    monkeypatch.setenv("CPU", "default")
    monkeypatch.setenv("SHIFT", "0.7")
    finished = reproduce()
    assert finished.exit_code == 1
    assert "### ❌ Not the same model\n" in summary()
    assert "trained again with seed 0: different environment\n  cpu was AVX2, is default\n" in summary()


def test_commit_with_another_model_than_the_one_in_service_is_refused(
    origin: Project, reproduce: Reproduce, summary: Callable[[], str]
) -> None:
    event = in_service(origin, files={"weights.safetensors": "sha256:" + "a" * 64})
    finished = reproduce()
    assert isinstance(finished.exception, Failed)
    words = f"is not the one in service, which has digest {event.digest[:19]}"
    assert words in str(finished.exception)
    assert "### ❌ Reproduction failed\n" in summary()
    assert words in summary()
    assert "next: beampermit history" in summary()


def test_unknown_commit_names_the_command_that_fetches_it(origin: Project, reproduce: Reproduce) -> None:
    in_service(origin, commit="1" * 40)
    finished = reproduce()
    assert isinstance(finished.exception, BadInput)
    assert "version 4 was made at commit 111111111111, which is not in this clone" in str(finished.exception)
    assert "git fetch" in finished.exception.hint


def test_commit_without_a_contract_is_named(origin: Project, reproduce: Reproduce) -> None:
    nothing = origin.git("commit-tree", origin.git("mktree", stdin=""), "-m", "Nothing")
    in_service(origin, commit=nothing)
    finished = reproduce()
    assert isinstance(finished.exception, BadInput)
    assert str(finished.exception) == f"contract.yaml: commit {nothing[:12]} of version 4 has no contract"


def test_champion_and_commit_exclude_each_other(origin: Project, reproduce: Reproduce) -> None:
    assert reproduce("HEAD").exit_code == 2


def test_no_summary_outside_of_a_job(origin: Project, reproduce: Reproduce, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("GITHUB_STEP_SUMMARY")
    assert reproduce().exit_code == 0
