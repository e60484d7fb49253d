"""A lock written here is installed by conda itself, by conda-lock and from a render, into what we would install."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from beampermit.environments import installation
from beampermit.environments.conda_lock import CondaLock
from support.conda_channel import QUIET

CONDA = shutil.which("conda")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(CONDA is None, reason="there is no conda on this machine"),
    pytest.mark.skipif(sys.platform != "linux", reason="the tiny channel has packages for Linux"),
]
Judge = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(autouse=True)
def _own_packages(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """conda asks the channel for each package, and the user's own settings do not matter."""
    monkeypatch.setenv("CONDA_PKGS_DIRS", str(tmp_path / "packages"))
    monkeypatch.setenv("CONDARC", str(tmp_path / "none"))


@pytest.mark.parametrize("variant", ["", "cuda"])
def test_what_conda_lock_installs_is_the_lock(judge: Judge, locked: Path, tmp_path: Path, variant: str) -> None:
    ours, theirs, backend = tmp_path / "ours", tmp_path / "theirs", CondaLock(variant)
    lock = backend.read(locked)
    found = judge("install", "--conda", str(CONDA), "--prefix", str(theirs), lock.file, cwd=locked)
    assert found.returncode == 0, found.stderr
    assert backend.installed(lock, theirs) == ()
    assert subprocess.run([theirs / "bin/orbit"], capture_output=True, check=True).stdout == b"orbit orbit\n"
    installation.install(backend, locked, ours, progress=QUIET)
    assert records(ours) == records(theirs)


def test_categories_are_chosen_as_the_lock_says(judge: Judge, locked: Path, tmp_path: Path) -> None:
    prefix = tmp_path / "theirs"
    found = judge("install", "--conda", str(CONDA), "--no-dev", "--prefix", str(prefix), cwd=locked)
    assert found.returncode == 0, found.stderr
    assert not [name for name in records(prefix) if name.startswith("probe")]
    messages = [problem.message for problem in CondaLock().installed(CondaLock().read(locked), prefix)]
    assert messages == ["probe 3.0 is locked and not installed"]


def test_conda_installs_what_conda_lock_renders(judge: Judge, locked: Path, tmp_path: Path) -> None:
    assert judge("render", "--kind", "explicit", "--platform", "linux-64", cwd=locked).returncode == 0
    command = [str(CONDA), "create", "--yes", "--prefix", tmp_path / "theirs", "--file", locked / "conda-linux-64.lock"]
    found = subprocess.run(command, capture_output=True, text=True, check=False)
    assert found.returncode == 0, found.stderr
    assert CondaLock().installed(CondaLock().read(locked), tmp_path / "theirs") == ()


def records(prefix: Path) -> set[str]:
    """The names of what was installed: package, version and build."""
    return {path.name for path in prefix.glob("conda-meta/*.json")}
