"""The ENV interlocks: each fails on its planted defect and says which."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest

from beampermit.environments.installation import install
from beampermit.environments.uv import Uv
from beampermit.interlocks import runner
from beampermit.interlocks.families import select_interlocks
from beampermit.project import Project
from beampermit.verdicts.verdict import Outcome, Verdict
from support.attacks import attack_case
from support.package_index import index, uv_project, uv_settings

__all__ = ["index", "uv_project", "uv_settings"]


def verdict(project: Project, id: str) -> Verdict:
    (found,) = runner.check(project, select_interlocks([id]))
    return found


def edit(project: Project, name: str, pattern: str, replacement: str) -> None:
    file = project.root / name
    text = file.read_text()
    edited = re.sub(pattern, replacement, text, count=1)
    assert edited != text
    file.write_text(edited)


@pytest.mark.parametrize("id", ["ENV001", "ENV002", "ENV004"])
def test_a_project_as_it_was_locked_passes(uv_project: Project, id: str) -> None:
    assert verdict(uv_project, id).passed, verdict(uv_project, id).reason


@pytest.mark.plants("ENV001")
def test_a_missing_lock_fails_and_the_others_wait(uv_project: Project) -> None:
    (uv_project.root / "uv.lock").unlink()
    found = {
        one.id: one for one in runner.check(uv_project, select_interlocks(["ENV001", "ENV002", "ENV004", "ENV005"]))
    }
    assert found["ENV001"].outcome is Outcome.FAILED
    assert found["ENV001"].reason == "there is no uv.lock"
    assert "beampermit env lock" in found["ENV001"].fix
    assert {found[id].outcome for id in ("ENV002", "ENV004", "ENV005")} == {Outcome.SKIPPED}


def test_a_lock_with_conflict_markers_fails_with_its_line(uv_project: Project) -> None:
    edit(uv_project, "uv.lock", "version = 1", "version = 1\n<<<<<<< ours")
    found = verdict(uv_project, "ENV001")
    assert found.reason == "there are merge-conflict markers in this file"
    assert (found.locations[0].file, found.locations[0].line) == ("uv.lock", 2)


def test_a_lock_that_git_ignores_fails(uv_project: Project, git: Callable[..., str]) -> None:
    git("rm", "--quiet", "--cached", "uv.lock")
    edit(uv_project, ".gitignore", "^", "*.lock\n")
    assert verdict(uv_project, "ENV001").reason == "git ignores uv.lock, so it cannot be committed"


@pytest.mark.plants("ENV002")
def test_a_stale_lock_fails_and_says_what_changed(uv_project: Project) -> None:
    edit(uv_project, "pyproject.toml", "numbers>=1,<2", "numbers>=1.5,<2")
    found = verdict(uv_project, "ENV002")
    assert found.outcome is Outcome.FAILED
    assert found.reason == "numbers>=1.5,<2 is required, and uv.lock was made for numbers<2,>=1"
    assert [(place.file, place.line) for place in found.locations] == [("pyproject.toml", 7)]
    assert "beampermit env lock" in found.fix


@pytest.mark.plants("ENV004")
def test_a_file_without_a_hash_fails(uv_project: Project) -> None:
    edit(uv_project, "uv.lock", r', hash = "sha256:[0-9a-f]{64}"', "")
    assert "has no sha256" in verdict(uv_project, "ENV004").reason


def test_the_base_branch_says_which_indexes_are_allowed(uv_project: Project, git: Callable[..., str]) -> None:
    git("switch", "--quiet", "--create", "change")
    edit(uv_project, "uv.lock", r'registry = "http://[^"]*"', 'registry = "https://evil.example/simple"')
    edit(uv_project, "contract.yaml", "  indexes:\n", "  indexes:\n    - https://evil.example/simple\n")
    git("commit", "--quiet", "--all", "--message", "An index of my own")
    found = verdict(Project(uv_project.root, base="main"), "ENV004")
    assert found.outcome is Outcome.FAILED
    assert "the contract does not allow https://evil.example/simple" in found.reason
    assert found.evidence.allowed_by == "the base branch's contract.yaml"


@pytest.mark.parametrize(
    "setting",
    [
        attack_case(
            'extra-index-url = ["https://evil.example/simple"]',
            guard="ENV004",
            tried="another index for any package, under an unchanged lock: `extra-index-url`",
            said="the contract does not allow https://evil.example/simple, from which any package may come",
            id="extra-index-url",
        ),
        attack_case(
            'index-url = "https://ada:secret@evil.example/simple/"',
            guard="ENV004",
            tried="another index for any package, under an unchanged lock: `index-url`",
            said="the contract does not allow https://evil.example/simple, from which any package may come",
            id="index-url",
        ),
        attack_case(
            'find-links = ["wheels", "https://evil.example/simple"]',
            guard="ENV004",
            tried="another index for any package, under an unchanged lock: `find-links`",
            said="the contract does not allow https://evil.example/simple, from which any package may come",
            id="find-links",
        ),
        attack_case(
            'index = [{url = "https://evil.example/simple"}]',
            guard="ENV004",
            tried="another index for any package, under an unchanged lock: `tool.uv.index`",
            said="the contract does not allow https://evil.example/simple, from which any package may come",
            id="tool.uv.index",
        ),
    ],
)
def test_an_index_for_any_package_is_one_that_the_base_branch_allows(
    uv_project: Project, git: Callable[..., str], setting: str, said: str
) -> None:
    git("switch", "--quiet", "--create", "change")
    edit(uv_project, "pyproject.toml", r'find-links = \["wheels"\]', setting)
    if setting.startswith("index ="):
        edit(uv_project, "pyproject.toml", r"\n\[\[tool.uv.index\]\]\nurl = .*\ndefault = true\n", "")
    edit(uv_project, "contract.yaml", "  indexes:\n", "  indexes:\n    - https://evil.example/simple\n")
    git("commit", "--quiet", "--all", "--message", "An index of my own")
    found = verdict(Project(uv_project.root, base="main"), "ENV004")
    assert found.outcome is Outcome.FAILED
    assert said in found.reason
    assert found.locations[0].file == "pyproject.toml"
    line = (uv_project.root / "pyproject.toml").read_text().splitlines()[(found.locations[0].line or 0) - 1]
    assert line == setting
    # In a pull request of its own the contract allows it first.
    git("branch", "--force", "main")
    assert verdict(Project(uv_project.root, base="main"), "ENV004").passed


@pytest.mark.plants("ENV004")
def test_an_index_that_uv_reads_on_another_host_fails(uv_project: Project) -> None:
    edit(uv_project, "pyproject.toml", r'url = "http://(.*)"', r"url = 'http://evil.example\\@\1'")
    found = verdict(uv_project, "ENV004")
    assert r"the contract does not allow http://evil.example\@127.0.0.1" in found.reason
    assert "it has a backslash, a space or a control character in its address" in found.reason
    assert found.locations[0].file == "pyproject.toml"
    edit(uv_project, "pyproject.toml", r"evil.example\\@", "ada:secret@")
    assert verdict(uv_project, "ENV004").passed, "a login is uv's own business"


def test_an_index_that_only_named_packages_come_from_need_not_be_allowed_before_it_is_used(uv_project: Project) -> None:
    with (uv_project.root / "pyproject.toml").open("a") as stream:
        stream.write('\n[[tool.uv.index]]\nname = "lab"\nurl = "https://index.lab.example"\nexplicit = true\n')
    assert verdict(uv_project, "ENV004").passed


def test_a_hash_that_the_base_branch_has_otherwise_fails(uv_project: Project, git: Callable[..., str]) -> None:
    git("switch", "--quiet", "--create", "change")
    edit(uv_project, "uv.lock", r"(numbers-1.0[^}]*sha256:)[0-9a-f]{64}", r"\g<1>" + "0" * 64)
    found = verdict(Project(uv_project.root, base="main"), "ENV004")
    assert "the sha256 of numbers-1.0-py3-none-any.whl differs from the base branch" in found.reason


def test_a_first_lock_may_bring_its_first_list_of_indexes(uv_project: Project, git: Callable[..., str]) -> None:
    text = (uv_project.root / "contract.yaml").read_text()
    edit(uv_project, "contract.yaml", r"  indexes:\n    - [^\n]*\n    - wheels\n", "")
    git("commit", "--quiet", "--all", "--message", "No index yet")
    git("switch", "--quiet", "--create", "change")
    (uv_project.root / "contract.yaml").write_text(text)
    found = verdict(Project(uv_project.root, base="main"), "ENV004")
    assert found.passed
    assert "the base branch allows no index yet" in found.reason


def test_a_contract_that_allows_no_index_fails(uv_project: Project) -> None:
    edit(uv_project, "contract.yaml", r"  indexes:\n    - [^\n]*\n    - wheels\n", "")
    assert "the contract does not allow http://127.0.0.1" in verdict(uv_project, "ENV004").reason


def test_an_environment_that_is_not_installed_is_not_judged(uv_project: Project) -> None:
    found = verdict(uv_project, "ENV005")
    assert found.outcome is Outcome.SKIPPED
    assert found.reason.endswith("run `beampermit env install`")


@pytest.mark.slow
@pytest.mark.plants("ENV005")
def test_an_environment_is_the_lock_or_fails(uv_project: Project) -> None:
    install(Uv(), uv_project.root, uv_project.root / ".venv", progress=lambda _: None)
    assert verdict(uv_project, "ENV005").passed
    next((uv_project.root / ".venv").glob("lib/*/site-packages/numbers/__init__.py")).unlink()
    found = verdict(uv_project, "ENV005")
    assert found.reason == "numbers 1.0 was changed: numbers/__init__.py is missing"
    assert found.locations[0].file == "uv.lock"
    assert "beampermit env install" in found.fix
