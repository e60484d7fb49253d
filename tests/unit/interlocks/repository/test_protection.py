"""GIT001 and GIT002: a branch that is not provably protected fails, and a laptop without GitHub is not blamed."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from beampermit.interlocks import runner
from beampermit.interlocks.families import select_interlocks
from beampermit.project import Project
from beampermit.verdicts.verdict import Outcome, Verdict, exit_code
from support.github_server import says
from support.github_setup import of
from support.github_stand_in import GitHub, Token, environment
from support.paths import ROOT

TEMPLATE = ROOT / "template/{{cookiecutter.project_slug}}"
FILES = (".github/rulesets/main.json", ".github/workflows/pull-request.yml", ".github/workflows/release.yml")
LEDGER = ".github/rulesets/ledger.json"


@pytest.fixture
def guarded(project: Project, git: Callable[..., str]) -> Project:
    """The project with the template's workflows and ruleset, and an owner for everything."""
    for name in FILES:
        (project.root / name).parent.mkdir(parents=True, exist_ok=True)
        (project.root / name).write_text((TEMPLATE / name).read_text())
    (project.root / "CODEOWNERS").write_text("* @ada @bo\n")
    git("add", "--all")
    git("commit", "--quiet", "--message", "Protect the branch")
    return project


@pytest.fixture
def ruleset(github: GitHub, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """The active rulesets of `main` and of the ledger; the environment is that of a job of a fork's pull request."""
    github.tokens = {"s3cret": Token(rights=frozenset({"metadata:read", "contents:read"}))}
    job = {"GITHUB_ACTIONS": "true", "GITHUB_BASE_REF": "main", "GITHUB_REF": "refs/pull/7/merge"}
    for name, value in environment(github, **job).items():
        monkeypatch.setenv(name, value)
    github.ruleset(json.loads((TEMPLATE / LEDGER).read_text()))
    return github.ruleset(json.loads((TEMPLATE / FILES[0]).read_text()))


def judged(project: Project, *ids: str) -> list[Verdict]:
    return runner.check(Project(project.root), select_interlocks(ids or ("GIT001", "GIT002")))


@pytest.mark.slow
def test_a_protected_branch_passes_both_and_is_asked_about_once(
    guarded: Project, ruleset: dict[str, Any], github: GitHub
) -> None:
    protected, required = judged(guarded)
    assert (protected.outcome, required.outcome) == (Outcome.PASSED, Outcome.PASSED)
    assert protected.reason.startswith("main: pull requests, approved by code owners, no force-push, no deletion")
    assert "only an administrator's token shows who may bypass the rules" in protected.reason
    assert required.reason.startswith("'ml / permit' is required, from GitHub Actions only")
    assert github.count("/rules/branches/main") == 1


@pytest.mark.slow
@pytest.mark.plants("GIT001", "GIT002")
def test_no_rules_fail_both_and_the_fix_is_a_command(guarded: Project, ruleset: dict[str, Any]) -> None:
    ruleset["enforcement"] = "evaluate"
    protected, required = judged(guarded)
    assert (protected.outcome, required.outcome) == (Outcome.FAILED, Outcome.FAILED)
    assert "main is not protected" in protected.reason
    assert "(enforcement of ruleset main is evaluate); run `beampermit protect apply`" in protected.reason
    assert "the check 'ml / permit' is not required (required: none)" in required.reason


@pytest.mark.slow
@pytest.mark.attack(
    guard="GIT001",
    tried="the ledger's branch has no rules, so that it can be set back by a force-push",
    said="beampermit-ledger can be set back to an older state of the ledger with a force-push",
)
def test_a_ledger_that_can_be_set_back_fails_git001(
    guarded: Project, ruleset: dict[str, Any], github: GitHub, said: str
) -> None:
    (ledger,) = (one for one in github.rulesets.values() if one["name"] == "ledger")
    ledger["enforcement"] = "disabled"
    verdict, _ = judged(guarded)
    assert verdict.outcome is Outcome.FAILED
    assert verdict.reason.startswith(said)
    assert verdict.reason.endswith("can be deleted, and the ledger with it; run `beampermit protect apply`")


def test_a_renamed_job_fails_git002_with_both_names(guarded: Project, ruleset: dict[str, Any]) -> None:
    file = guarded.root / FILES[1]
    file.write_text(file.read_text().replace("name: ml\n", "name: models\n"))
    (verdict,) = judged(guarded, "GIT002")
    assert verdict.reason.endswith("the check 'models / permit' is not required (required: ml / permit)")
    assert verdict.locations[0].file == FILES[1]


@pytest.mark.slow
def test_a_merge_queue_wants_the_workflow_to_run_for_it(guarded: Project, ruleset: dict[str, Any]) -> None:
    ruleset["rules"].append({"type": "merge_queue", "parameters": {}})
    assert judged(guarded, "GIT002")[0].passed
    file = guarded.root / FILES[1]
    file.write_text(file.read_text().replace("  merge_group:", "  workflow_dispatch:"))
    (verdict,) = judged(guarded, "GIT002")
    assert "its merge queue waits for 'ml / permit', and .github/workflows/pull-request.yml does not run on" in (
        verdict.reason
    )


@pytest.mark.parametrize(
    ("owners", "named", "line"),
    [
        ("/.github/ @ada\n", "contract.yaml", None),
        ("* @ada\n/contract.yaml\n", "contract.yaml (line 2)", 2),
        ("* @ada\n.github/workflows/\n", ".github/workflows/pull-request.yml (line 2)", 2),
        ("* @ada\n.github/rulesets/\n", ".github/rulesets/main.json (line 2)", 2),
        ("* @ada\n/CODEOWNERS\n", "CODEOWNERS (line 2)", 2),
        ("* @ada\n*.lock\n", "dvc.lock (line 2), uv.lock (line 2)", 2),
        ("* @ada\n/parts/\n", "parts/dvc.lock (line 2)", 2),
        ("* @ada\n/cuda.conda-lock.yml\n", "cuda.conda-lock.yml (line 2)", 2),
        ("* @ada\n/.dvc/\n", ".dvc/config (line 2)", 2),
        ("* @ada\n/.github/permit.pub\n", ".github/permit.pub (line 2)", 2),
        ("* @ada\n/actions/\n", "actions/mine/action.yml (line 2)", 2),
        ("* @ada\n/.github/workflows/new.yml\n", ".github/workflows/new.yml (line 2)", 2),
    ],
)
def test_a_guarded_file_without_an_owner_fails_git001_also_where_github_is_not(
    guarded: Project, git: Callable[..., str], owners: str, named: str, line: int | None
) -> None:
    files = (".dvc/config", "uv.lock", "dvc.lock", "cuda.conda-lock.yml", ".github/permit.pub", "parts/dvc.yaml")
    for name in (*files, "parts/dvc.lock"):
        (guarded.root / name).parent.mkdir(exist_ok=True)
        (guarded.root / name).touch()
    (guarded.root / "actions/mine").mkdir(parents=True)
    (guarded.root / "actions/mine/action.yml").write_text("runs: {using: composite, steps: []}\n")
    (guarded.root / "CODEOWNERS").write_text(owners)
    git("add", "--all")
    (verdict,) = judged(guarded, "GIT001")
    assert verdict.outcome is Outcome.FAILED
    assert verdict.reason.startswith("CODEOWNERS names no owner for ")
    assert named in verdict.reason
    assert (verdict.locations[0].file, verdict.locations[0].line) == ("CODEOWNERS", line)
    assert verdict.fix.startswith("Edit `CODEOWNERS`"), "`protect apply` does not help"


def test_no_codeowners_fails_git001(guarded: Project) -> None:
    (guarded.root / "CODEOWNERS").unlink()
    (verdict,) = judged(guarded, "GIT001")
    assert verdict.reason == "there is no CODEOWNERS, so nobody must approve changes of contract and workflows"
    assert verdict.fix.startswith("Write `.github/CODEOWNERS`")


def test_a_laptop_without_github_is_not_blamed_and_nothing_passes(guarded: Project) -> None:
    verdicts = judged(guarded)
    assert [verdict.outcome for verdict in verdicts] == [Outcome.SKIPPED, Outcome.SKIPPED]
    assert exit_code(verdicts) == 0
    assert verdicts[0].reason.startswith("only GitHub knows this, and origin is not on GitHub")


def test_a_laptop_without_a_token_asks_nobody(guarded: Project, git: Callable[..., str], github: GitHub) -> None:
    git("remote", "add", "origin", "git@github.com:lab/faults.git")
    (verdict,) = judged(guarded, "GIT001")
    assert (verdict.outcome, verdict.exit_code) == (Outcome.SKIPPED, 0)
    assert "GITHUB_TOKEN is not set, which lab/faults needs; run `beampermit protect audit`" in verdict.reason


@pytest.mark.slow
def test_a_laptop_with_a_token_asks(guarded: Project, ruleset: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("GITHUB_ACTIONS", "GITHUB_BASE_REF", "GITHUB_REF"):
        monkeypatch.delenv(name)
    assert [verdict.outcome for verdict in judged(guarded)] == [Outcome.PASSED, Outcome.PASSED]


@pytest.mark.slow
def test_a_job_without_a_token_asks_all_the_same_and_is_not_skipped(
    guarded: Project, ruleset: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("GITHUB_TOKEN")
    verdicts = judged(guarded)
    assert [verdict.outcome for verdict in verdicts] == [Outcome.FAILED, Outcome.FAILED]
    assert "main cannot be shown to be protected" in verdicts[0].reason
    assert exit_code(verdicts) == 1


@pytest.mark.slow
def test_a_github_that_is_down_is_an_error_of_both(
    guarded: Project, ruleset: dict[str, Any], github: GitHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("beampermit.github.client.TRIES", 1)
    github.next(says(500), says(500), of="/rules/")
    verdicts = judged(guarded)
    assert [(verdict.outcome, verdict.exit_code) for verdict in verdicts] == [(Outcome.ERROR, 4)] * 2


@pytest.mark.slow
def test_owners_whom_github_does_not_know_fail_git001(
    guarded: Project, ruleset: dict[str, Any], github: GitHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GITHUB_SHA", "5" * 40)
    source = "* @ada @bo"
    unknown = {"line": 1, "kind": "Unknown owner", "source": source, "message": ""}
    of(github).owner_errors = [{**unknown, "column": 3}]
    assert judged(guarded, "GIT001")[0].passed
    assert github.asked[-1].query == {"ref": "5" * 40}
    of(github).owner_errors = [{**unknown, "column": 3}, {**unknown, "column": 8}]
    (verdict,) = judged(guarded, "GIT001")
    assert verdict.outcome is Outcome.FAILED
    assert verdict.reason.startswith("GitHub knows no owner of contract.yaml, ")
    assert verdict.locations[0].file == "CODEOWNERS"
    of(github).owner_errors = None
    assert judged(guarded, "GIT001")[0].passed
