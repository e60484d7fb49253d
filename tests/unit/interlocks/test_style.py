"""TST004: pre-commit runs in the locked environment on what changed, and on a copy."""

from __future__ import annotations

import json
import os
import sys
import venv
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from beampermit.environments import Environment
from beampermit.interlocks import runner
from beampermit.interlocks.families import select_interlocks
from beampermit.interlocks.inputs import Inputs
from beampermit.interlocks.style_run import places
from beampermit.processes import start
from beampermit.project import Project
from beampermit.verdicts.verdict import Outcome, Verdict
from support.dvc_repositories import replace
from support.planted_processes import runs, wait_for
from support.shared import shared_folder

pytestmark = pytest.mark.slow

HOOKS = """\
repos:
  - repo: local
    hooks:
      - {id: ruff, name: ruff check, entry: ruff check --no-cache, language: system, types: [python]}
      - {id: format, name: ruff format, entry: ruff format --no-cache, language: system, types: [python]}
"""
ONE = "repos: [{repo: local, hooks: [{id: one, name: one, language: system, %s}]}]\n"
SOUND = "VALUE = 1\n"
Git = Callable[..., str]
Judge = Callable[..., Verdict]


@pytest.fixture
def branch(
    project: Project, git: Git, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> Project:
    """A branch of a project that asks for its style; an old file of the base does not keep it."""
    monkeypatch.setenv("BEAMPERMIT_CACHE", str(shared_folder(tmp_path_factory) / "cache-of-styles"))  # compiled modules
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


def test_hooks_that_look_at_no_changed_file_have_not_passed(judge: Judge) -> None:
    verdict = judge(notes__md="x\n")
    said = "no hook is for what the branch changes: 2 hooks skipped, 1 changed file"
    assert (verdict.outcome, verdict.reason) == (Outcome.PASSED, said)


def test_a_hook_that_passes_may_print_what_it_likes(judge: Judge, branch: Project, git: Git) -> None:
    said = "{id: two, name: two, language: system, verbose: true, entry: \"printf '0 Failed\\\\nsix...Failed\\\\n'\"}"
    never = "{id: three, name: three, language: system, entry: 'false', files: '^never$'}"
    (branch.root / ".pre-commit-config.yaml").write_text(f"repos: [{{repo: local, hooks: [{said}, {never}]}}]\n")
    git("commit", "--quiet", "--all", "--message", "Hooks")
    git("branch", "--force", "main")
    verdict = judge(notes__md="x\n")
    assert verdict.reason == "1 hook passed on 1 changed file; 1 hook skipped, for none of them"
    assert verdict.outcome is Outcome.PASSED


def test_places_are_those_of_ruff_in_files_of_any_name(judge: Judge) -> None:
    verdict = judge(**{"ö  b__py": "import os\n"})
    assert verdict.reason == "ruff check failed on 1 changed file: ö  b.py:1: F401 [*] `os` imported but unused"
    assert [(place.file, place.line) for place in verdict.locations] == [("ö  b.py", 1)]


def test_a_file_that_pre_commit_gives_to_no_hook_fails_where_a_hook_is_for_it(judge: Judge, branch: Project) -> None:
    name = os.fsdecode(b"n\xe9")
    (branch.root / name).write_text("x\n")
    said = "no hook is for what the branch changes: 2 hooks skipped, 2 changed files"
    assert judge(notes__md="x\n").reason == said
    (branch.root / f"{name}.py").write_text(SOUND)
    verdict = judge()
    assert verdict.outcome is Outcome.FAILED
    assert verdict.reason.startswith("n\\udce9: the name is not UTF-8, and pre-commit gives no such file to a hook")


@pytest.mark.parametrize(
    ("line", "place"),
    [
        ("a.py:3:1: E1 wrong", ("a.py", 3, "E1 wrong")),
        ("a.py:3: error: wrong", ("a.py", 3, "error: wrong")),
        ("--> a.py:3:1", ("a.py", 3, "before")),
        ("error: Failed to parse ./a.py:3:1: wrong", ("a.py", 3, "wrong")),
        ("in d/b.py:2 wrong", ("d/b.py", 2, "wrong")),
        ("b.py:2: wrong", ("d/b.py", 2, "wrong")),
        ("ready at 10:30", None),
        ("gone.py:3:1: wrong", None),
        ("a.py:0: wrong", None),
    ],
)
def test_a_place_is_a_file_that_is_there(line: str, place: tuple[str, int, str] | None) -> None:
    assert [*places(["before", line], frozenset({"a.py", "d/b.py"}), "d/")] == ([place] if place else [])


@pytest.mark.parametrize("name", ["--exit-zero", "-d/new.py"])
def test_a_name_that_a_hook_may_take_for_an_option_is_refused(judge: Judge, branch: Project, name: str) -> None:
    (branch.root / name).parent.mkdir(exist_ok=True)
    (branch.root / name).write_text("#!/usr/bin/env python3\n")
    verdict = judge(new__py="import os\n")
    assert verdict.outcome is Outcome.FAILED
    assert verdict.reason.startswith(f"{name} begins with a dash, and a hook may take its name for an option")
    assert [place.file for place in verdict.locations] == [name]


def test_a_project_in_a_folder_is_judged_with_the_settings_above_it(judge: Judge, branch: Project, git: Git) -> None:
    inner = branch.root / "models/fä ults"
    inner.mkdir(parents=True)
    git("mv", "contract.yaml", str(inner))
    (inner / "-sound.py").write_text(SOUND)
    git("add", "--all")
    git("commit", "--quiet", "--message", "In a folder")
    git("branch", "--force", "main")
    here = Environment(Path(sys.prefix))

    def inside(base: str | None) -> Verdict:
        given = Inputs(project=Project(inner, base=base), environment=here)
        (verdict,) = runner.run(select_interlocks(["TST004"]), given)
        return verdict

    assert inside(None).reason == "2 hooks passed on all files of models/fä ults"  # old.py above does not keep it
    (branch.root / "neighbour.py").write_text("import os\n")
    git("add", "--all")
    git("commit", "--quiet", "--message", "Above")
    assert inside("main").reason == "the branch changes no file that is there"
    (branch.root / "ruff.toml").write_text("[lint]\nselect = ['D100']\n")
    verdict = inside("main")
    called = "all files of models/fä ults, for the branch changes what decides the style"
    assert verdict.reason.startswith(f"ruff check failed on {called}: models/fä ults/-sound.py:1: D100")
    assert [(place.file, place.line) for place in verdict.locations] == [("-sound.py", 1)]
    (branch.root / "ruff.toml").unlink()
    (branch.root / "models/ruff.toml").write_text("[lint]\nselect = ['D100']\n")
    assert inside("main").reason.startswith(f"ruff check failed on {called}")
    (branch.root / "models/ruff.toml").unlink()
    (branch.root / "models/other").mkdir()
    (branch.root / "models/other/ruff.toml").write_text("")
    assert inside("main").reason == "the branch changes no file that is there"
    (branch.root / ".pre-commit-config.yaml").unlink()
    assert [place.file for place in inside("main").locations] == ["../../.pre-commit-config.yaml"]


@pytest.mark.parametrize(
    ("entry", "said"),
    [
        ("kill -9 $PPID", "pre-commit was ended by SIGKILL while the hook one ran: a hook did it, or the machine had"),
        ("rm -rf .git", "a hook removed or damaged .git in the copy that it checks"),
        ("rm .git/index; mkdir .git/index", "a hook removed or damaged .git in the copy that it checks"),
        ("echo An error has occurred: of mine; echo 0 Failed; exit 3", "one failed on all files, "),
    ],
)
def test_a_hook_that_ends_what_judges_it_fails(judge: Judge, entry: str, said: str) -> None:
    verdict = judge(**{"__pre-commit-config__yaml": ONE % f"entry: \"sh -c '{entry}'\", pass_filenames: false"})
    assert verdict.outcome is Outcome.FAILED
    assert said in verdict.reason
    assert [place.file for place in verdict.locations] == ([] if "one failed" in said else [".pre-commit-config.yaml"])
    assert set(dict(verdict.evidence).get("failed", {})) == ({"one"} if "one failed" in said else set())


def test_a_hook_that_hangs_is_named_and_ends_with_all_that_it_started(
    judge: Judge, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    started = tmp_path / "started"

    def start_and_wait(*command: Any, **options: Any) -> Any:
        child = start(*command, **options)
        wait_for(started.is_file)
        return child

    monkeypatch.setattr("beampermit.interlocks.style_run.start", start_and_wait)
    monkeypatch.setattr("beampermit.interlocks.style_run.TIMEOUT", 0.2)
    entry = f"sh -c 'setsid sleep 300 & echo $! > {started}; wait'"
    verdict = judge(**{"__pre-commit-config__yaml": ONE % f'entry: "{entry}", pass_filenames: false'})
    assert verdict.outcome is Outcome.ERROR
    assert verdict.reason == ".pre-commit-config.yaml: the hook one had not ended after 0.2 s and was stopped"
    wait_for(lambda: not runs(int(started.read_text())))


def test_of_much_output_the_beginning_and_the_end_are_read(judge: Judge, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("beampermit.interlocks.style_run.LARGEST", 1000)
    entry = "python -c \"print('first'); print('x' * 5000); print('last'); raise SystemExit(1)\""
    verdict = judge(**{"__pre-commit-config__yaml": ONE % f"entry: {json.dumps(entry)}, pass_filenames: false"})
    lines = dict(verdict.evidence)["failed"]["one"]
    assert (lines[0], lines[-1], {len(line) for line in lines[1:-1]}) == ("first", "last", {300})


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
        ("repos: {}\n", Outcome.FAILED, "pre-commit refuses its configuration: InvalidConfigError: "),
        (ONE % "entry: nothing-of-this-name", Outcome.FAILED, "one failed on all files, .*: Executable"),
        (
            ONE % 'entry: "false", stages: [manual]',
            Outcome.FAILED,
            "no hook of .pre-commit-config.yaml ran: it names none for commits",
        ),
        (ONE % 'entry: "false", files: "^never$"', Outcome.FAILED, "ran on all files, .*: 1 hook skipped, for none"),
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
    venv.create(tmp_path / "bare", symlinks=True)
    given = Inputs(project=Project(branch.root, base="main"), environment=Environment(tmp_path / "bare"))
    (verdict,) = runner.run(select_interlocks(["TST004"]), given)
    assert verdict.outcome is Outcome.FAILED
    assert "pre-commit is not in the locked environment; add it to the group dev" in verdict.reason
