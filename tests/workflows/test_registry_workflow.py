"""The registry workflows, run by act: each verb that may be dispatched, and the look of every night."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML
from typer.testing import CliRunner

from beampermit.cli.main import app
from beampermit.project import Project
from beampermit.rehearsal import FILES, Rehearsal, rehearse
from support.forked_commands import MLFLOW
from support.github_stand_in import GitHub
from support.paths import ROOT
from support.registry_project import MODEL, Laboratory, database, laboratory, prepared
from support.rehearsals import dispatch as run_dispatched
from support.rehearsals import lend_checker, log_of

__all__ = ["database", "laboratory", "prepared"]
CHECK = ".github/workflows/registry-check.yml"
TEMPLATE = ROOT / "template/{{cookiecutter.project_slug}}"
TWICE = [("promote", 1), ("promote", 2)]
REASON = 'tests of beam; `id` $(id) "quoted"'
Dispatch = Callable[..., Rehearsal]


@pytest.fixture
def two(laboratory: Laboratory, monkeypatch: pytest.MonkeyPatch) -> Laboratory:
    """Two versions promoted, and the workflows that every generated project has."""
    laboratory.promote()
    for name in (FILES["registry"], CHECK):
        (laboratory.root / name).parent.mkdir(parents=True, exist_ok=True)
        (laboratory.root / name).write_text((TEMPLATE / name).read_text())
    laboratory.change(2)
    laboratory.promote()
    monkeypatch.setenv("MLFLOW_TRACKING_URI", laboratory.uri)
    return laboratory


@pytest.fixture
def dispatch(two: Laboratory, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Dispatch:
    """Run a workflow of the laboratory's."""
    lend_checker(tmp_path_factory, monkeypatch, needs=MLFLOW)

    def run(workflow: str = FILES["registry"], **inputs: str) -> Rehearsal:
        return rehearse(Project(two.root), "registry", workflow=workflow, inputs=inputs, timeout=540)

    return run


def _said(found: Rehearsal) -> str:
    return log_of(found, found.jobs[0].name)


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_what_a_hand_changed_is_found_by_night_and_put_right_by_whoever_is_asked_next(
    two: Laboratory, dispatch: Dispatch, github: GitHub, tmp_path: Path
) -> None:
    two.registry.set_alias(MODEL, "champion", 1)
    by_night = dispatch(CHECK)
    assert not by_night.ok
    assert "alias champion moved from version 1 to version 2" in _said(by_night)
    assert two.champion() == 1, "who looks changes nothing"
    day = datetime.now(UTC) + timedelta(days=30)
    retirement = {"version": "1", "successor": "orbit-faults", "pvs-until": f"{day:%Y-%m-%d}"}
    first, second = (github.release(f"{MODEL}-v{number}") for number in (1, 2))
    inputs = {"verb": "retire", "reason": REASON, **retirement}
    registry = {"MLFLOW_TRACKING_URI": two.uri}
    lines = run_dispatched(
        Project(two.root), github, tmp_path / "runner", FILES["registry"], inputs, variables=registry
    )
    said = "\n".join(line.text for line in lines)
    assert [line.job_result for line in lines if line.job_result] == ["success"], said
    assert (two.champion(), two.statuses()) == (2, {1: "retired", 2: "champion"})
    assert two.events() == [*TWICE, ("retire", 1)]
    assert (two.last().reason, two.last().expected) == (REASON, 2)
    ended = f"{day + timedelta(days=1):%Y-%m-%dT00:00:00Z}"
    assert (two.last().successor, two.last().until) == ("orbit-faults", ended), "its last day is a whole one"
    # GitHub's releases say it too.
    assert first["body"].startswith(f"**Retired** at {two.last().at} by ")
    assert "Use orbit-faults. <!-- in service -->\n\nDocuments" in first["body"]
    assert second["body"].startswith("**In service** since ")


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_dispatch_needs_a_version_and_the_right(two: Laboratory, dispatch: Dispatch) -> None:
    without = dispatch(verb="retire", version="", reason=REASON)
    assert not without.ok
    assert "Look whether what was asked fits together" in without.failed[0].reason
    assert any("retire needs a version" in line for line in without.failed[0].tail)
    hook = two.root.parent / "origin.git/hooks/pre-receive"
    hook.write_text("#!/bin/sh\necho 'bo may not push to beampermit-ledger' >&2\nexit 1\n")
    hook.chmod(0o755)
    refused = dispatch(verb="freeze", version="", reason=REASON)
    assert not refused.ok
    assert "the ledger was not changed: remote: bo may not push to beampermit-ledger" in _said(refused)
    assert "next: allow this account to push to the branch beampermit-ledger" in _said(refused)
    assert (two.champion(), two.events(), two.statuses()) == (2, TWICE, {1: "former", 2: "champion"})


@pytest.fixture
def asked(tmp_path: Path) -> Callable[..., tuple[int, str]]:
    """Run the first step of the workflow as a runner does: exit code, and what its reader finds in the summary."""
    step = _job("ml-registry.yml")["steps"][0]

    def run(**given: str) -> tuple[int, str]:
        summary = tmp_path / "summary"
        summary.touch()
        env = {**os.environ, "GITHUB_STEP_SUMMARY": str(summary), "OF_RETIREMENT": "", **given}
        command = ["bash", "--noprofile", "--norc", "-e", "-o", "pipefail", "-c", step["run"]]
        return subprocess.run(command, env=env, check=False, capture_output=True).returncode, summary.read_text()

    return run


@pytest.mark.parametrize(
    ("verb", "version", "reason", "words"),
    [
        ("retire", "", "why", "retire needs a version"),
        ("re-sign", "", "why", "re-sign needs a version"),
        ("retire", "3", " \t\n", "a reason must be given"),
        ("freeze", "3", "why", "freeze applies to the model, not to a version"),
        ("reconcile", "", "", "a reason must be given"),
        ("promote", "", "why", "the verb is not one of retire, freeze, thaw, re-sign, reconcile"),
        ("$(id)", "", "why", "the verb is not one of"),
    ],
)
def test_what_does_not_fit_together_ends_before_anything_is_installed(
    asked: Callable[..., tuple[int, str]], verb: str, version: str, reason: str, words: str
) -> None:
    code, summary = asked(VERB=verb, VERSION=version, REASON=reason)
    assert code == 2
    assert summary.startswith(words)
    assert "id" not in verb or "$(id)" not in summary


@pytest.mark.parametrize("verb", ["freeze", "thaw", "re-sign", "reconcile"])
def test_only_a_retirement_has_a_successor_and_a_last_day(asked: Callable[..., tuple[int, str]], verb: str) -> None:
    version = "3" if verb == "re-sign" else ""
    code, summary = asked(VERB=verb, VERSION=version, REASON="why", OF_RETIREMENT="orbit-faults")
    assert (code, summary.partition(";")[0]) == (2, "a successor and a last day of the PVs are of a retirement")
    assert asked(VERB="retire", VERSION="3", REASON="why", OF_RETIREMENT="orbit-faults2027-01-31")[0] == 0


@pytest.mark.parametrize(
    ("verb", "version"), [("retire", "3"), ("re-sign", "3"), ("freeze", ""), ("thaw", ""), ("reconcile", "")]
)
def test_what_fits_together_goes_on_to_the_action_of_its_name(
    asked: Callable[..., tuple[int, str]], verb: str, version: str
) -> None:
    assert asked(VERB=verb, VERSION=version, REASON="a reason\nof two lines") == (0, "")
    steps = [step for step in _job("ml-registry.yml")["steps"] if f"inputs.verb == '{verb}'" in step.get("if", "")]
    assert [step["uses"].partition("@")[0].rpartition("/")[2] for step in steps] == [verb]
    dispatched = YAML(typ="safe").load(TEMPLATE / FILES["registry"])["on"]["workflow_dispatch"]["inputs"]
    assert verb in dispatched["verb"]["options"]
    assert dispatched["reason"]["required"]


@pytest.mark.slow
def test_the_command_fills_in_the_form(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    filled: list[Any] = []

    def instead(_: Project, kind: str, **given: Any) -> None:
        filled.extend((kind, given["inputs"]))
        raise KeyboardInterrupt

    monkeypatch.setattr("beampermit.rehearsal.rehearse", instead)
    words = ["rehearse", "registry", "retire", "--version", "3", "--reason", "why", "--project", str(project.root)]
    CliRunner().invoke(app, words)
    form = {"verb": "retire", "version": "3", "reason": "why"}
    assert filled == ["registry", form]
    CliRunner().invoke(app, [*words, "--successor", "orbit-faults", "--pvs-until", "2027-01-31"])
    assert filled[3] == {**form, "successor": "orbit-faults", "pvs-until": "2027-01-31"}


def test_who_looks_at_night_may_write_nothing_and_waits_for_nobody() -> None:
    job, caller = _job("ml-registry-check.yml"), YAML(typ="safe").load(TEMPLATE / CHECK)
    assert job["permissions"] == caller["jobs"]["registry"]["permissions"] == {"contents": "read"}
    assert "environment" not in job, "its reviewers are asleep, and its secrets write"
    assert job["steps"][-1]["with"]["dry-run"] == "true"
    assert "schedule" in caller["on"]
    assert _job("ml-registry.yml")["environment"] == "production"


def test_a_command_that_fails_leaves_its_words_in_the_summary(tmp_path: Path) -> None:
    script = f'source {ROOT}/actions/setup/summarized.sh; summarized sh -c "echo why >&2; exit 3"; echo never'
    found = subprocess.run(
        ["bash", "--noprofile", "--norc", "-e", "-o", "pipefail", "-c", script],
        env={**os.environ, "GITHUB_STEP_SUMMARY": str(tmp_path / "summary")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (found.returncode, found.stdout) == (3, "```\nwhy\n```\n")
    assert (tmp_path / "summary").read_text() == found.stdout


def _job(file: str) -> dict[str, Any]:
    jobs = YAML(typ="safe").load(ROOT / ".github/workflows" / file)["jobs"]
    return next(iter(jobs.values()))
