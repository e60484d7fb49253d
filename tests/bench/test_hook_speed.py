"""What each pre-commit hook adds to a commit of a generated project with a lock, in seconds of wall and of CPU."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
import time

import pytest
from ruamel.yaml import YAML

from beampermit.project import Project
from support.paths import ROOT

TIMES = 5


@pytest.mark.bench
@pytest.mark.parametrize("hook", YAML(typ="safe").load(ROOT / ".pre-commit-hooks.yaml"), ids=lambda hook: hook["id"])
def test_hook(hook: dict[str, str], trained_copy: Project) -> None:
    (trained_copy.root / "notes.md").write_text("x\n")
    subprocess.run(["git", "add", "--all"], cwd=trained_copy.root, check=True)
    walls, cpus = [], []
    for _ in range(TIMES):
        wall, before = time.perf_counter(), os.times()
        subprocess.run(shlex.split(hook["entry"]), cwd=trained_copy.root, check=True, capture_output=True)
        after = os.times()
        walls.append(time.perf_counter() - wall)
        cpus.append(after.children_user + after.children_system - before.children_user - before.children_system)
    sys.stdout.write(
        f"\n{hook['id']}: {min(walls):.2f} s wall, {min(cpus):.2f} s CPU (of {TIMES}; liked below 0.7 s)\n"
    )
