"""`beampermit reproduce --champion`: what the ledger says is in service, made again, and told in the run's summary."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from beampermit.cli.main import app
from beampermit.errors import BadInput, Failed
from beampermit.project import Project
from support.dvc_repositories import replace
from support.toy_project import HERE, in_service

Say = Callable[..., Result]


@pytest.fixture
def origin(trainable: Project, tmp_path: Path) -> Project:
    """The project with an origin that has its main branch."""
    origin = tmp_path / "origin.git"
    subprocess.run(["git", "init", "--quiet", "--bare", "--initial-branch", "main", origin], check=True)
    trainable.git("remote", "add", "origin", str(origin))
    trainable.git("push", "--quiet", "origin", "main")
    return trainable


@pytest.fixture
def say(origin: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Say:
    """The command, in a job of GitHub, in the environment of the tests."""
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(tmp_path / "summary.md"))
    monkeypatch.setattr("beampermit.reproduction.environments._installed", lambda *_: HERE)
    monkeypatch.setattr("beampermit.reproduction.environments.chosen", lambda *_, **__: None)

    def run(*words: str) -> Result:
        return CliRunner().invoke(app, ["reproduce", "--champion", *words, "--project", str(origin.root)])

    return run


@pytest.fixture
def summary(tmp_path: Path) -> Callable[[], str]:
    return (tmp_path / "summary.md").read_text


def test_where_nothing_is_in_service_there_is_nothing_to_make_again(say: Say, summary: Callable[[], str]) -> None:
    finished = say()
    assert finished.exit_code == 0
    assert finished.stdout == "no version of bpm-faults is in service\n"
    assert summary() == "### Nothing to make again\n\n```\nno version of bpm-faults is in service\n```\n\n"
    assert json.loads(say("--json").stdout) == {"champion": None}


@pytest.mark.slow
def test_the_champion_is_judged_by_its_own_contract_whatever_main_says_today(
    origin: Project, say: Say, summary: Callable[[], str]
) -> None:
    event = in_service(origin)
    contract = origin.root / "contract.yaml"
    replace(contract, "metrics:\n", "metrics:\n  - {name: recall, better: higher, gate: 0.9}\n")
    replace(contract, "seeds: [0, 1, 2]", "seeds: [0, 7]")
    replace(origin.root / "train.py", "range(1, 31)", "range(1, 3)")
    origin.git("commit", "--quiet", "--all", "--message", "Work goes on")
    finished = say("--seeds", "all")
    assert finished.exit_code == 0, finished.output
    first, second, *_ = finished.stdout.splitlines()
    assert first == f"version 4 of bpm-faults, in service since {event.at}"
    assert second == f"{event.commit[:12]} trained again with seed 0: identical"
    assert "seeds 0, 1, 2, 0.005 allowed:" in finished.stdout
    assert summary() == f"### ✅ The same model\n\n```\n{finished.stdout}```\n\n"


@pytest.mark.slow
def test_another_model_fails_and_the_summary_says_why(
    origin: Project, say: Say, summary: Callable[[], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    in_service(origin)
    monkeypatch.setenv("CPU", "default")
    monkeypatch.setenv("SHIFT", "0.7")
    finished = say()
    assert finished.exit_code == 1
    assert "### ❌ Not the same model\n" in summary()
    assert "trained again with seed 0: different environment\n  cpu was AVX2, is default\n" in summary()


def test_a_commit_whose_model_is_not_the_one_in_service_is_refused(
    origin: Project, say: Say, summary: Callable[[], str]
) -> None:
    in_service(origin, digest="sha256:" + "a" * 64)
    finished = say()
    assert isinstance(finished.exception, Failed)
    words = "has another model than the one in service, whose digest is sha256:aaaaaaaaaaaa"
    assert words in str(finished.exception)
    assert "### ❌ It could not be made again\n" in summary()
    assert words in summary()
    assert "next: beampermit history" in summary()


def test_a_commit_that_this_clone_does_not_have_names_the_command_that_brings_it(origin: Project, say: Say) -> None:
    in_service(origin, commit="1" * 40)
    finished = say()
    assert isinstance(finished.exception, BadInput)
    assert "version 4 was made at commit 111111111111, which is not in this clone" in str(finished.exception)
    assert "git fetch" in finished.exception.hint


def test_the_champion_and_a_commit_are_not_asked_for_at_once(origin: Project, say: Say) -> None:
    assert say("HEAD").exit_code == 2


def test_nothing_is_written_outside_of_a_job(origin: Project, say: Say, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("GITHUB_STEP_SUMMARY")
    assert say().exit_code == 0
