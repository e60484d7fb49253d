"""This repository as a clone, whose branch `main` ends with the files at hand."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterable
from pathlib import Path

import pytest

from beampermit.git import Git
from support.paths import ROOT


def clone_of_this(root: Path, names: Iterable[str]) -> Git:
    """A clone at `root` with these files as they are here, committed by Ada; skips where this is not a checkout.

    All that was before is one commit: to copy thousands takes seconds, and what scripts do does not depend on them.
    """
    if not (ROOT / ".git").exists():
        pytest.skip("this is not a checkout")
    subprocess.run(["git", "clone", "--quiet", "--shared", "--no-tags", ROOT, root], check=True)
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(ROOT / name, root / name)
    git = Git(root)
    git("config", "user.name", "Ada")
    git("config", "user.email", "ada@lab.example")
    git("switch", "--quiet", "--force-create", "main")
    git("reset", "--quiet", "--soft", git("commit-tree", "-m", "All that was before", "HEAD^{tree}"))
    git("add", "--all")
    git("commit", "--quiet", "--allow-empty", "--message", "As it is at hand")
    return git
