"""Repositories of tests: what lies in a folder committed, and an origin beside it."""

from __future__ import annotations

import subprocess
from pathlib import Path

from beampermit.git import Git


def committed(root: Path) -> Git:
    """Make the folder a repository whose branch `main` has one commit, with everything that lies there."""
    subprocess.run(["git", "init", "--quiet", "--initial-branch", "main", root], check=True)
    git = Git(root)
    for words in (
        ("config", "user.name", "Ada"),
        ("config", "user.email", "ada@lab.example"),
        ("add", "--all"),
        ("commit", "--quiet", "--message", "As it is"),
    ):
        git(*words)
    return git


def add_origin(root: Path) -> None:
    """Give the repository at `root` an origin, `origin.git` beside it, that has its branch `main`."""
    origin = root.parent / "origin.git"
    subprocess.run(["git", "init", "--quiet", "--bare", "--initial-branch", "main", origin], check=True)
    git = Git(root)
    git("remote", "add", "origin", str(origin))
    git("push", "--quiet", "--set-upstream", "origin", "main")
