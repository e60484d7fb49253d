"""Lets DVC keep a file of a new project, as it keeps those that a pipeline makes."""

from __future__ import annotations

import sys
from pathlib import Path

from beampermit.errors import Outside
from beampermit.processes import run


def track(project: Path, name: str) -> None:
    """Git gets the hash of the file `name` of the project, and DVC the file. Raises `Outside`."""
    finished = run((sys.executable, "-m", "dvc", "add", "--quiet", name), cwd=project)
    if finished.code:
        raise Outside(f"dvc add {name}: {finished.tail}")
