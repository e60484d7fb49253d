"""The commands that a new project ends with can be typed as they are."""

from __future__ import annotations

import os
import shlex
import subprocess
from pathlib import Path

import pytest

from beampermit.generation.next_steps import next_steps
from beampermit.git import Git

ANSWERS = {"maintainer_name": "Ada O'Neill", "maintainer_email": "ada@lab.org"}


def project(folder: Path) -> Path:
    root = folder / "it's here/model"
    root.mkdir(parents=True)
    (root / "pyproject.toml").write_text('[project]\nname = "model"\n')
    Git(root)("init", "--quiet")
    return root


def test_a_lock_that_is_there_is_not_made_again(tmp_path: Path) -> None:
    root = project(tmp_path)
    without = next_steps(root, ANSWERS)
    assert without[1] == "beampermit env lock"
    (root / "uv.lock").touch()
    assert next_steps(root, ANSWERS) == [without[0], *without[2:]]


def test_where_git_does_not_know_who_commits_the_two_lines_come_before_the_first_commit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", os.devnull)
    monkeypatch.setenv("EMAIL", "")
    root = project(tmp_path)
    (root / "uv.lock").touch()
    steps = next_steps(root, ANSWERS)
    assert [shlex.split(step)[:3] for step in steps[1:3]] == [
        ["git", "config", "user.name"],
        ["git", "config", "user.email"],
    ]
    typed = "\n".join([*steps[:3], steps[-2]])
    subprocess.run(["sh", "-ec", typed], check=True, capture_output=True, cwd="/")
    assert Git(root)("log", "-1", "--format=%an <%ae>: %s") == "Ada O'Neill <ada@lab.org>: The first model"
    assert "git config" not in "".join(next_steps(root, ANSWERS))


def test_a_maintainer_who_is_still_to_be_named_commits_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", os.devnull)
    monkeypatch.setenv("EMAIL", "")
    steps = next_steps(project(tmp_path), {**ANSWERS, "maintainer_email": "TODO@maintainer.example"})
    assert steps[1:3] == ["git config user.name 'YOUR NAME'", "git config user.email YOUR.NAME@LAB.ORG"]
