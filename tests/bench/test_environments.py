"""`env lock`, `env install` and `env verify` with uv, against uv itself and plain sha256: what proof costs."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from uv import find_uv_bin

from beampermit.cache import cache_folder
from beampermit.digest import sha256_file
from beampermit.environments.records import files_below
from beampermit.environments.uv import Uv
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


def test_verify_against_sha256(trained_copy: Project, environment_prefix: Path, say: Say) -> None:
    """ENV005, every file by its hash, against plain sha256 of the same files; then again with nothing changed."""
    backend, root = Uv(), trained_copy.root
    lock = backend.read(root)
    assert backend.installed(lock, environment_prefix) == ()  # both find the files in the system's own cache
    files = [environment_prefix / name for name in files_below(environment_prefix)]
    plain = _seconds(lambda: [sha256_file(file) for file in files if not file.is_symlink()])
    for kept in (cache_folder() / "hashes").iterdir():
        kept.unlink()
    cold = _seconds(lambda: backend.installed(lock, environment_prefix))
    again = min(_seconds(lambda: backend.installed(lock, environment_prefix)) for _ in range(3))
    size = sum(file.lstat().st_size for file in files) / 2**20
    say(f"{len(files)} files, {size:.0f} MiB: plain sha256 on one core {plain:.2f} s")
    say(f"ENV005 {cold:.2f} s ({cold / plain:.2f} of it), with nothing changed {again:.2f} s")


def _seconds(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start
