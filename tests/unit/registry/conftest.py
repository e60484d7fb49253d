"""Fixtures: a project with an origin, and valid events."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from beampermit.git import Git
from beampermit.project import Project
from beampermit.registry.ledger import Ledger
from support.registry_project import database, laboratory, prepared

__all__ = ["database", "laboratory", "prepared"]

A, B, C = (f"sha256:{letter * 64}" for letter in "abc")


@pytest.fixture
def origin(tmp_path: Path, project: Project, git: Callable[..., str]) -> Path:
    """A bare repository that the project calls `origin`, with its `main` pushed."""
    bare = tmp_path / "origin.git"
    subprocess.run(["git", "init", "--quiet", "--bare", bare], check=True)
    git("remote", "add", "origin", str(bare))
    git("push", "--quiet", "--set-upstream", "origin", "main")
    return bare


@pytest.fixture
def ledger(project: Project, origin: Path) -> Ledger:
    """The ledger of a project that was never promoted."""
    return Ledger(project.git)


@pytest.fixture
def other(tmp_path: Path, origin: Path) -> Ledger:
    """The same ledger from a colleague's clone."""
    clone = tmp_path / "colleague"
    subprocess.run(["git", "clone", "--quiet", origin, clone], check=True)
    return Ledger(Git(clone))
