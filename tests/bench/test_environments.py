"""`env lock` and `env install` with uv, against uv itself: what proving what was locked and installed costs."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from uv import find_uv_bin

from beampermit.project import Project

pytestmark = pytest.mark.bench
Say = Callable[[str], None]
Timed = Callable[..., float]
OURS = [sys.executable, "-m", "beampermit.cli.main", "env"]


def test_lock_against_uv(trained_copy: Project, timed: Timed, say: Say) -> None:
    root = trained_copy.root
    theirs = timed([find_uv_bin(), "lock"], root, 3)
    ours = timed([*OURS, "lock", "--no-record"], root, 3)
    say(f"lock, nothing to move: uv {theirs:.2f} s, beampermit {ours:.2f} s")


def test_install_against_uv(trained_copy: Project, timed: Timed, say: Say, tmp_path: Path) -> None:
    root = trained_copy.root
    sync = ["env", f"UV_PROJECT_ENVIRONMENT={tmp_path / 'theirs'}", find_uv_bin(), "sync", "--locked", "--all-groups"]
    theirs = timed([*sync, "--no-install-project"], root, 1)
    ours = timed([*OURS, "install", "--prefix", tmp_path / "ours"], root, 1)
    say(f"install from nothing, packages cached: uv {theirs:.2f} s, beampermit, every file compared, {ours:.2f} s")
