"""`beampermit protect`: output and exit codes."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from beampermit.cli.main import app
from beampermit.errors import BadInput, BeampermitError, Failed, Outside
from beampermit.project import Project
from support.github_server import says
from support.github_setup import of
from support.github_stand_in import GitHub, Token, environment
from support.paths import ROOT

pytestmark = pytest.mark.slow

TEMPLATE = ROOT / "template/{{cookiecutter.project_slug}}"
RULESET, LEDGER = ".github/rulesets/main.json", ".github/rulesets/ledger.json"
WORKFLOW = ".github/workflows/pull-request.yml"
Run = Callable[..., tuple[int, str]]


@pytest.fixture
def root(project: Project, github: GitHub, monkeypatch: pytest.MonkeyPatch) -> Project:
    for name in (RULESET, LEDGER, WORKFLOW):
        (project.root / name).parent.mkdir(parents=True, exist_ok=True)
        (project.root / name).write_text((TEMPLATE / name).read_text())
    (project.root / "CODEOWNERS").write_text("* @ada @bo\n")
    github.tokens = {"admin": Token("ada"), "s3cret": Token(rights=frozenset({"metadata:read", "contents:read"}))}
    for name, value in environment(github, GITHUB_TOKEN="admin").items():
        monkeypatch.setenv(name, value)
    return project


@pytest.fixture
def run(root: Project) -> Run:
    """Run a command: its exit code and output; raises its error."""

    def protect(*arguments: str) -> tuple[int, str]:
        result = CliRunner().invoke(app, ["protect", *arguments, "--project", str(root.root)])
        if isinstance(result.exception, BeampermitError):
            raise result.exception
        return result.exit_code, result.stdout

    return protect


def test_apply_shows_the_difference_creates_and_then_changes_nothing(run: Run, github: GitHub) -> None:
    code, output = run("apply", "--dry-run")
    assert (code, github.rulesets) == (0, {})
    assert '+  "enforcement": "active"' in output
    for name in ("main", "ledger"):
        assert f"ruleset {name} of lab/faults: would be created" in output
    output = run("apply")[1]
    for name in ("main", "ledger"):
        assert f"ruleset {name} of lab/faults: created" in output
    assert run("apply") == (0, "".join(f"ruleset {name} of lab/faults: unchanged\n" for name in ("main", "ledger")))
    assert json.loads(run("apply", "--json")[1]) == {
        "repository": "lab/faults",
        "dry_run": False,
        "rulesets": [{"ruleset": name, "done": "unchanged", "difference": []} for name in ("main", "ledger")],
    }


def test_apply_takes_another_file_and_another_repository(run: Run, github: GitHub) -> None:
    queue = str(TEMPLATE / ".github/rulesets/merge-queue.json")
    assert "ruleset merge-queue of lab/faults: created" in run("apply", "--file", queue)[1]
    with pytest.raises(BadInput, match="repos/lab/other/rulesets with 404"):
        run("apply", "--repository", "lab/other")


def test_apply_with_a_workflows_token_names_the_missing_right(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GITHUB_TOKEN", "s3cret")
    with pytest.raises(BadInput, match="the permission Administration, write"):
        run("apply")


def test_audit_names_the_line_of_a_broken_workflow_and_a_command(run: Run, root: Project) -> None:
    (root.root / WORKFLOW).write_text("jobs: [unclosed\non: push\n")
    with pytest.raises(BadInput, match=r"pull-request\.yml:2: not YAML") as caught:
        run("audit")
    assert caught.value.hint == "beampermit check GIT"


def test_apply_of_a_broken_file_sends_no_request(run: Run, root: Project, github: GitHub) -> None:
    (root.root / RULESET).write_text('{"name": "main"}')
    with pytest.raises(BadInput, match=r"main\.json: not a valid ruleset: target: Field required"):
        run("apply")
    assert github.asked == []


def test_audit_accepts_an_applied_ruleset(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    run("apply")
    code, output = run("audit")
    assert code == 0
    assert output.startswith("main of lab/faults is protected (http://127.0.0.1:")
    assert "gap:" not in output
    assert "note:" not in output
    monkeypatch.setenv("GITHUB_TOKEN", "s3cret")
    code, output = run("audit")
    assert code == 0
    assert "note: GitHub shows the bypass list to administrators only" in output


def test_audit_lists_every_gap(run: Run, github: GitHub, root: Project) -> None:
    (root.root / "CODEOWNERS").write_text("/docs/ @ada\n")
    code, output = run("audit", "--json")
    result: dict[str, Any] = json.loads(output)
    assert (code, result["branch"], result["check"]) == (1, "main", "ml / permit")
    assert len(result["gaps"]) == 7
    assert result["gaps"][5] == "beampermit-ledger can be deleted, and the ledger with it"
    assert result["gaps"][6].startswith("CODEOWNERS names no owner for contract.yaml")
    code, output = run("audit")
    assert code == 1
    assert "main of lab/faults is NOT protected" in output
    assert "  gap: it can be deleted" in output
    assert "  beampermit protect apply\n" in output


def test_audit_notes_a_rule_that_github_does_not_have(run: Run, github: GitHub) -> None:
    run("apply")
    rules = next(iter(github.rulesets.values()))["rules"]
    rules.remove({"type": "required_linear_history"})
    code, output = run("audit")
    assert code == 0
    assert f"note: the rule required_linear_history in {RULESET} is not active" in output


def test_audit_of_another_branch(run: Run) -> None:
    run("apply")
    code, output = run("audit", "--branch", "develop")
    assert code == 1
    assert output.startswith("develop of lab/faults is NOT protected")


def test_audit_is_exit_1_without_a_clear_answer_and_exit_4_without_any(
    run: Run, github: GitHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("beampermit.github.client.TRIES", 1)
    github.next(says(404, {"message": "Not Found"}))
    with pytest.raises(Failed, match="main cannot be shown to be protected") as failed:
        run("audit")
    github.next(says(502))
    with pytest.raises(Outside, match="with 502") as outside:
        run("audit")
    assert (failed.value.exit_code, outside.value.exit_code) == (1, 4)


def test_audit_without_a_known_github_is_exit_2(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("GITHUB_REPOSITORY")
    with pytest.raises(BadInput, match="the remote origin is not on a known GitHub") as raised:
        run("audit")
    assert raised.value.exit_code == 2


def test_audit_says_whom_github_does_not_know(run: Run, github: GitHub, root: Project) -> None:
    run("apply")
    source = "* @ada @bo"
    unknown = {"line": 1, "column": source.index("@bo") + 1, "kind": "Unknown owner", "source": source, "message": ""}
    of(github).owner_errors = [unknown]
    code, output = run("audit")
    assert (code, "note: CODEOWNERS: line 1: @bo is unknown to GitHub" in output) == (0, True)
    of(github).owner_errors = [unknown, {**unknown, "column": 3}]
    code, output = run("audit")
    assert (code, "gap: GitHub knows no owner of" in output) == (1, True)
    of(github).owner_errors = None
    code, output = run("audit")
    assert (code, "note: GitHub does not say whether it knows the owners" in output) == (0, True)


def test_an_organizations_rulesets_are_applied_and_audited(run: Run, root: Project, tmp_path: Path) -> None:
    words = ("--organization", "lab", "--file", str(ROOT / "deploy/organization/rulesets"))
    code, output = run("audit", *words)
    assert (code, "ruleset beampermit-main of lab: would be created" in output) == (1, True)
    assert "ruleset beampermit-main of lab: created" in run("apply", *words)[1]
    assert run("audit", *words) == (
        0,
        "".join(f"ruleset beampermit-{n} of lab: unchanged\n" for n in ("ledger", "main")),
    )
    assert json.loads(run("apply", *words, "--json")[1])["organization"] == "lab"
    (root.root / RULESET).unlink()  # the organization's rules are under version control elsewhere
    code, output = run("audit")
    assert (code, "note: there is no" in output) == (0, False)
    for wrong, said in (
        (("apply", "--organization", "lab"), "this ruleset does not exist"),
        (("apply", "--organization", "lab", "--file", str(tmp_path)), "there is no ruleset in this folder"),
        (("apply", *words, "--repository", "lab/faults"), "name two places"),
        (("audit", *words[2:]), "--file goes with --organization"),
    ):
        with pytest.raises(BadInput, match=said) as refused:
            run(*wrong)
        assert "beampermit init" not in refused.value.hint, "which adds none of an organization"
