"""TST004: pre-commit runs in the locked environment on what changed, and on a copy."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from beampermit.environments import Environment
from beampermit.interlocks import runner
from beampermit.interlocks.families import select_interlocks
from beampermit.interlocks.inputs import Inputs
from beampermit.project import Project
from beampermit.verdicts.verdict import Outcome, Verdict
from support.dvc_repositories import replace

pytestmark = pytest.mark.slow

HOOKS = """\
repos:
  - repo: local
    hooks:
      - {id: ruff, name: ruff check, entry: python -m ruff check --no-cache, language: system, types: [python]}
      - {id: format, name: ruff format, entry: python -m ruff format --no-cache, language: system, types: [python]}
"""
ONE = "repos: [{repo: local, hooks: [{id: one, name: one, language: system, %s}]}]\n"
SOUND = "VALUE = 1\n"
Git = Callable[..., str]
Judge = Callable[..., Verdict]


@pytest.fixture
def branch(project: Project, git: Git, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    """A branch of a project that asks for its style; an old file of the base does not keep it."""
    monkeypatch.setenv("BEAMPERMIT_CACHE", str(tmp_path / "cache"))
    (project.root / ".pre-commit-config.yaml").write_text(HOOKS)
    (project.root / "old.py").write_text("import os\n")
    with (project.root / "contract.yaml").open("a") as stream:
        stream.write("tests: {style: required}\n")
    git("add", "--all")
    git("commit", "--quiet", "--message", "Style")
    git("switch", "--quiet", "--create", "change")
    return project


@pytest.fixture
def judge(branch: Project, git: Git) -> Judge:
    """Commit these files on the branch, and judge it."""

    def run(base: str | None = "main", /, **files: str) -> Verdict:
        for name, text in files.items():
            (branch.root / name.replace("__", ".")).write_text(text)
        git("add", "--all")
        if files:
            git("commit", "--quiet", "--message", "A change")
        here = Environment(Path(sys.prefix))
        given = Inputs(project=Project(branch.root, base=base), environment=here)
        (verdict,) = runner.run(select_interlocks(["TST004"]), given)
        return verdict

    return run


def test_what_changed_is_looked_at_and_nothing_else(judge: Judge) -> None:
    verdict = judge(new__py=SOUND, notes__md="x\n")
    assert (verdict.outcome, verdict.reason) == (Outcome.PASSED, "2 hooks passed on 2 changed files")


@pytest.mark.plants("TST004")
def test_a_fault_in_a_changed_file_fails_whatever_variables_of_pre_commit_say(
    judge: Judge, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SKIP", "ruff,format")
    verdict = judge(new__py="import os\n")
    assert verdict.outcome is Outcome.FAILED
    assert verdict.reason.startswith("ruff check failed on 1 changed file: ")
    assert "pre-commit run --all-files" in verdict.fix
    assert "F401" in str(verdict.evidence)
    assert verdict.exit_code == 1


def test_a_hook_that_changes_a_file_fails_and_the_checkout_stays_as_it_is(judge: Judge, branch: Project) -> None:
    verdict = judge(new__py="VALUE   =   1\n")
    assert verdict.reason == "ruff format failed on 1 changed file: it changes new.py"
    assert [place.file for place in verdict.locations] == ["new.py"]
    assert {"-VALUE   =   1", "+VALUE = 1"} <= set(dict(verdict.evidence)["diff"])
    assert (branch.root / "new.py").read_text() == "VALUE   =   1\n"
    assert not branch.git("status", "--porcelain")
    assert "beampermit-style" not in branch.git("branch", "--list")


def test_a_hook_that_changes_a_file_and_says_that_it_passed_fails(judge: Judge) -> None:
    quiet = ONE % "always_run: true, pass_filenames: false, entry: \"sh -c 'echo x > new.py; git add new.py'\""
    verdict = judge(new__py=SOUND, **{"__pre-commit-config__yaml": quiet})
    assert verdict.outcome is Outcome.FAILED, verdict.reason
    assert "change" in verdict.reason


def test_all_files_are_looked_at_for_a_release_and_where_what_decides_changes(judge: Judge, git: Git) -> None:
    assert judge(new__py=SOUND, **{"__pre-commit-config__yaml": HOOKS + "# why\n"}).reason.startswith(
        "ruff check failed on all files, for the branch changes what decides the style: "
    )
    git("switch", "--quiet", "main")
    assert judge(None).reason.startswith("ruff check failed on all files: ")


def test_the_base_branch_asks_and_a_branch_cannot_stop_asking(judge: Judge, branch: Project, git: Git) -> None:
    replace(branch.root / "contract.yaml", "tests: {style: required}", "tests: {style: off}")
    replace(branch.root / "contract.yaml", "style: off", 'style: "off"')
    assert judge(new__py="import os\n").outcome is Outcome.FAILED
    git("switch", "--quiet", "main")
    git("merge", "--quiet", "change")
    assert judge(None).reason == "the contract asks for no coding style: tests.style is off"
    git("switch", "--quiet", "--create", "again")
    replace(branch.root / "contract.yaml", 'style: "off"', "style: required")
    assert judge("main", new__py="import  os\n").outcome is Outcome.FAILED


@pytest.mark.parametrize(
    ("config", "outcome", "said"),
    [
        (None, Outcome.FAILED, "tests.style is required, and there is no .pre-commit-config.yaml at the top"),
        ("repos: []\n", Outcome.FAILED, "no hook of .pre-commit-config.yaml ran: it names none for commits"),
        ("repos: {}\n", Outcome.FAILED, "pre-commit refuses its configuration: InvalidConfigError: "),
        (ONE % "entry: nothing-of-this-name", Outcome.FAILED, "one failed on all files, .*: Executable"),
        (ONE % 'entry: "false", stages: [manual]', Outcome.FAILED, "it names none for commits"),
        (ONE % 'entry: "false", files: "^never$"', Outcome.PASSED, "1 hook passed on all files"),
        ("repos: [{repo: %s, rev: v1, hooks: [{id: one}]}]\n", Outcome.ERROR, "pre-commit could not run its hooks: "),
    ],
)
def test_a_configuration_that_runs_nothing_does_not_pass(
    judge: Judge, branch: Project, git: Git, tmp_path: Path, config: str | None, outcome: Outcome, said: str
) -> None:
    if config is None:
        git("rm", "--quiet", ".pre-commit-config.yaml")
        verdict = judge(new__py=SOUND)
    else:
        text = config % f"file://{tmp_path}/gone" if "%s" in config else config
        verdict = judge(new__py=SOUND, old__py=SOUND, **{"__pre-commit-config__yaml": text})
    assert verdict.outcome is outcome, verdict.reason
    start, _, end = said.partition(".*")
    assert start in verdict.reason
    assert end in verdict.reason
    assert verdict.exit_code == {Outcome.PASSED: 0, Outcome.FAILED: 1, Outcome.ERROR: 4}[outcome]


def test_an_environment_without_pre_commit_is_the_project_s_fault(branch: Project, git: Git, tmp_path: Path) -> None:
    (branch.root / "new.py").write_text(SOUND)
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", tmp_path / "bare"], check=True)
    given = Inputs(project=Project(branch.root, base="main"), environment=Environment(tmp_path / "bare"))
    (verdict,) = runner.run(select_interlocks(["TST004"]), given)
    assert verdict.outcome is Outcome.FAILED
    assert "pre-commit is not in the locked environment; add it to the group dev" in verdict.reason
