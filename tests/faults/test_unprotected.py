"""A branch loses its protection while a release runs: the real steps of the actions promote nothing."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from beampermit.project import Project
from support.forked_commands import executable
from support.github_server import says
from support.github_stand_in import GitHub, Token, environment
from support.paths import ROOT

pytestmark = pytest.mark.slow

TEMPLATE = ROOT / "template/{{cookiecutter.project_slug}}"
RULESET, LEDGER = ".github/rulesets/main.json", ".github/rulesets/ledger.json"
WORKFLOW = ".github/workflows/pull-request.yml"
COMMAND = """\
#!/bin/sh
echo "$1 ${{GITHUB_TOKEN:-without a token}}" >> {log}
test "$1" = protect || exit 0
exec {forked} "$@"
"""
Step = Callable[[str, str], tuple[int, str]]


@pytest.fixture
def ran(tmp_path: Path) -> Path:
    """The first word of every `beampermit` command that ran, and the token it saw."""
    return tmp_path / "ran"


@pytest.fixture
def step(project: Project, github: GitHub, tmp_path: Path, ran: Path) -> Step:
    """Run a step of an action as a runner does; only `beampermit protect` is real, other commands are just logged."""
    for name in (RULESET, WORKFLOW):
        (project.root / name).parent.mkdir(parents=True, exist_ok=True)
        (project.root / name).write_text((TEMPLATE / name).read_text())
    (project.root / "CODEOWNERS").write_text("* @ada @bo\n")
    github.tokens = {"s3cret": Token(rights=frozenset({"metadata:read", "contents:write"}))}
    for name in (RULESET, LEDGER):
        github.ruleset(json.loads((TEMPLATE / name).read_text()))
    (tmp_path / "bin").mkdir()
    (tmp_path / "forked").mkdir()
    (tmp_path / "bin/beampermit").write_text(COMMAND.format(log=ran, forked=executable(tmp_path / "forked")))
    (tmp_path / "bin/beampermit").chmod(0o755)

    def run(action: str, name: str) -> tuple[int, str]:
        folder = ROOT / "actions" / action
        steps = YAML(typ="safe").load(folder / "action.yml")["runs"]["steps"]
        script = next(one["run"] for one in steps if one["name"] == name)
        job = environment(
            github, GITHUB_ACTIONS="true", GITHUB_REF="refs/heads/main", GITHUB_SERVER_URL="http://git.lab"
        )
        if action == "promote":
            job["TOKEN"] = job.pop("GITHUB_TOKEN")
        path = {"PATH": f"{tmp_path / 'bin'}:{os.environ['PATH']}", "GITHUB_ACTION_PATH": str(folder)}
        command = ["bash", "--noprofile", "--norc", "-e", "-o", "pipefail", "-c", script]
        registry = {"MLFLOW_TRACKING_URI": "sqlite:///none.db", "RELEASE": str(tmp_path)}
        env = {**os.environ, **job, **path, **registry}
        found = subprocess.run(command, cwd=project.root, env=env, check=False, capture_output=True, text=True)
        assert "s3cret" not in found.stdout.replace("::add-mask::", "") + found.stderr
        return found.returncode, found.stdout + found.stderr

    return run


def test_protection_is_checked_twice_and_promote_gets_no_github_token(step: Step, ran: Path) -> None:
    assert step("protect", "Audit the branch protection")[0] == 0
    assert step("promote", "Promote")[0] == 0
    assert ran.read_text().splitlines() == ["protect s3cret", "protect s3cret", "promote without a token"]


def test_an_unprotected_branch_stops_the_release_at_its_first_step(step: Step, github: GitHub, ran: Path) -> None:
    github.rulesets.clear()
    code, said = step("protect", "Audit the branch protection")
    assert code == 1
    assert "main of lab/faults is NOT protected" in said
    assert "An administrator can apply the ruleset:\n  beampermit protect apply" in said


@pytest.mark.parametrize("enforcement", ["evaluate", "disabled"])
def test_a_branch_that_loses_its_protection_promotes_nothing(
    step: Step, github: GitHub, ran: Path, enforcement: str
) -> None:
    assert step("protect", "Audit the branch protection")[0] == 0
    ruleset = next(iter(github.rulesets.values()))
    ruleset["enforcement"] = enforcement
    code, said = step("promote", "Promote")
    assert code == 1
    assert "is NOT protected" in said
    assert ran.read_text().splitlines() == ["protect s3cret", "protect s3cret"]
    ruleset["enforcement"] = "active"
    assert step("promote", "Promote")[0] == 0
    assert ran.read_text().splitlines()[2:] == ["protect s3cret", "promote without a token"]


UNCLEAR = {
    "no plan": (403, "Upgrade to GitHub Pro", 1, "add the missing permission to the job's"),
    "token expired": (401, "Bad credentials", 1, "GITHUB_TOKEN is not valid: export one that is"),
    "down": (502, "Bad Gateway", 4, "run the same command again"),
}


@pytest.mark.parametrize("case", UNCLEAR)
def test_an_unclear_answer_promotes_nothing(step: Step, github: GitHub, ran: Path, case: str) -> None:
    status, message, expected, following = UNCLEAR[case]
    github.next(*[says(status, {"message": message})] * 9, of="/rules/")
    code, said = step("promote", "Promote")
    assert code == expected
    assert f"with {status} {message}" in said
    assert f"next: {following}" in said
    assert ran.read_text().splitlines() == ["protect s3cret"]
    github.faults.clear()
    assert step("promote", "Promote")[0] == 0
