"""What a user waits for: the command itself, a check with nothing changed, a new project, the pull-request workflow."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from beampermit.project import Project

pytestmark = pytest.mark.bench
BEAMPERMIT = [sys.executable, "-m", "beampermit.cli.main"]
JUDGED = ("ENV", "DAT", "TST", "REP", "PRF", "MDL", "DOC", "GIT003", "GIT004", "GIT005")
"""All but the two interlocks that only GitHub answers."""
Say = Callable[[str], None]
Timed = Callable[..., float]


def test_help(timed: Timed, say: Say, tmp_path: Path) -> None:
    say(f"beampermit --help: {timed([*BEAMPERMIT, '--help'], tmp_path, 5):.2f} s (aim: under 0.25)")


def test_new(timed: Timed, say: Say, tmp_path: Path) -> None:
    seconds = timed([*BEAMPERMIT, "new", "--no-input", "--no-lock", "--output-dir", tmp_path], tmp_path)
    say(f"beampermit new, without locking: {seconds:.1f} s (aim: under 5)")


def test_check_with_nothing_changed(trained_copy: Project, timed: Timed, say: Say) -> None:
    check = ["check", *JUDGED, "--json"]
    first = timed([*BEAMPERMIT, *check], trained_copy.root)
    again, cpu = _again(check, trained_copy.root, timed)
    say(f"beampermit check: {first:.1f} s at first, {again:.1f} s with nothing changed (aim: 1.5), {cpu:.1f} s of CPU")
    found = subprocess.run([*BEAMPERMIT, *check], cwd=trained_copy.root, capture_output=True, check=True)
    for verdict in sorted(json.loads(found.stdout), key=lambda verdict: -verdict["seconds"])[:6]:
        say(f"    {verdict['id']} {'reused' if verdict['reused'] else verdict['seconds']}")
    (trained_copy.root / "README.md").write_text("Other words.\n")
    data = timed([*BEAMPERMIT, "check", "DAT", "--json"], trained_copy.root)
    say(f"    DAT after a change of README.md: {data:.1f} s")


def test_check_of_two_hundred_data_files(tmp_path: Path, timed: Timed, say: Say) -> None:
    """A repository that Beampermit did not make: a `.dvc` file for each, no pipeline, no contract."""
    root = tmp_path / "many"
    (root / "data").mkdir(parents=True)
    for number in range(200):
        (root / f"data/{number}.csv").write_text(f"{number}\n")
    dvc = [sys.executable, "-m", "dvc"]
    for command in (
        ["git", "init", "--quiet"],
        [*dvc, "init", "--quiet"],
        [*dvc, "remote", "add", "--quiet", "--default", "storage", str(tmp_path / "storage")],
        [*dvc, "add", "--quiet", *sorted(str(path) for path in (root / "data").iterdir())],
        ["git", "add", "--all"],
        ["git", "commit", "--quiet", "--message", "Data"],
        [*dvc, "push", "--quiet"],
    ):
        subprocess.run(command, cwd=root, check=True)
    data = ["check", "DAT001", "DAT002", "DAT003", "DAT008", "--json"]
    first = timed([*BEAMPERMIT, *data], root)
    again, cpu = _again(data, root, timed)
    say(f"check of 200 data files: {first:.1f} s at first, {again:.1f} s with nothing changed, {cpu:.1f} s of CPU")


def _again(arguments: list[str], root: Path, timed: Timed) -> tuple[float, float]:
    """Seconds of wall, the best of three, and of CPU, their mean."""
    before = os.times()
    wall = timed([*BEAMPERMIT, *arguments], root, 3)
    after = os.times()
    used = after.children_user + after.children_system - before.children_user - before.children_system
    return wall, used / 3


def test_pull_request_workflow_against_the_bare_work(
    trained_copy: Project, timed: Timed, say: Say, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Bare: a clone, its environment, its data, lock check, tests, training and evaluation, one after the other."""
    git = trained_copy.git
    git("checkout", "--quiet", "-b", "change")
    (trained_copy.root / "docs/change.md").write_text("A change.\n")
    git("add", "--all")
    git("commit", "--quiet", "--message", "A change")
    git("push", "--quiet", "origin", "change")
    monkeypatch.delenv("BEAMPERMIT_ENVIRONMENT")
    bare = _bare(trained_copy, timed, tmp_path)
    rehearsal = [*BEAMPERMIT, "rehearse", "pull-request", "--head", "change"]
    env = {
        "HOME": str(tmp_path / "home"),
        "XDG_CACHE_HOME": os.environ.get("XDG_CACHE_HOME", str(Path.home() / ".cache")),
    }
    first = timed(rehearsal, trained_copy.root, env=env)
    again = timed(rehearsal, trained_copy.root, env=env)
    total = sum(bare.values())
    say(f"bare work: {total:.1f} s ({', '.join(f'{name} {seconds:.1f}' for name, seconds in bare.items())})")
    for runner, seconds in {"a new runner": first, "a runner that has the environment": again}.items():
        say(f"pull-request workflow under act, on {runner}: {seconds:.1f} s, ratio {seconds / total:.2f}")


def _bare(project: Project, timed: Timed, folder: Path) -> dict[str, float]:
    clone = folder / "clone"
    shutil.copytree(project.root.parent / "dvc-storage", folder / "dvc-storage")
    python = clone / ".venv/bin/python"
    env = {"PYTHONPATH": "src", "PATH": os.pathsep.join([str(python.parent), os.environ["PATH"]])}
    work = {
        "clone": (["git", "clone", "--quiet", "--branch", "change", project.root, clone], folder),
        "lock": (["uv", "lock", "--check"], clone),
        "environment": (["uv", "sync", "--quiet", "--locked", "--no-install-project"], clone),
        "data": ([python, "-m", "dvc", "pull"], clone),
        "tests": ([python, "-m", "pytest", "tests/unit"], clone),
        "integration": ([python, "-m", "pytest", "tests/integration", "-m", "integration"], clone),
        "pipeline": ([python, "-m", "dvc", "repro", "--force", "--single-item", "train", "evaluate", "package"], clone),
    }
    return {name: timed(command, cwd, env=env) for name, (command, cwd) in work.items()}
