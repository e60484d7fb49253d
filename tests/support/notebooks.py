"""Notebooks, and an environment whose Python really runs them: with the ipykernel and nbclient of the tests' own."""

from __future__ import annotations

import json
import sys
import sysconfig
import venv
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from beampermit.digest import digest_bytes
from beampermit.environments.environment import STAMP

LOCK = """\
version = 1
requires-python = ">=3.11"

[[package]]
name = "ipykernel"
version = "7.1.0"
source = {{ registry = "https://index.example/simple" }}
wheels = [{{ url = "https://index.example/ipykernel-7.1.0-py3-none-any.whl", hash = "sha256:{hash}" }}]

[[package]]
name = "tested"
version = "1"
source = {{ virtual = "." }}

[package.dev-dependencies]
dev = [{{ name = "ipykernel" }}]

[package.metadata]

[package.metadata.requires-dev]
dev = [{{ name = "ipykernel", specifier = ">=7" }}]
"""
PYPROJECT = (
    '[project]\nname = "tested"\nversion = "1"\nrequires-python = ">=3.11"\n'
    '[dependency-groups]\ndev = ["ipykernel>=7"]\n[tool.uv]\npackage = false\n'
)


def make_environment(prefix: Path) -> None:
    """An environment of its own prefix, with the packages of the Python that runs the tests."""
    venv.create(prefix, symlinks=True)
    packages = prefix / f"lib/python{sys.version_info.major}.{sys.version_info.minor}/site-packages"
    (packages / "tests.pth").write_text(sysconfig.get_path("purelib") + "\n")


def make_project(root: Path) -> Path:
    """A project with a lock that has ipykernel, and its environment in `.venv`."""
    (root / "src").mkdir(parents=True)
    (root / "src/mine.py").write_text("ANSWER = 42\n")
    (root / "pyproject.toml").write_text(PYPROJECT)
    (root / "uv.lock").write_text(LOCK.format(hash="a" * 64))
    make_environment(root / ".venv")
    stamp(root)
    return root


def stamp(root: Path) -> None:
    """As the last step of an installation of the lock."""
    (root / ".venv" / STAMP).write_text(f"{digest_bytes((root / 'uv.lock').read_bytes())}\n")


def notebook(*sources: str, outputs: Sequence[Any] = (), count: int | None = None, kernel: str = "python3") -> str:
    """A notebook with these cells of code, each with `outputs`."""
    cells = [
        {
            "cell_type": "code",
            "execution_count": count,
            "id": f"cell-{number}",
            "metadata": {},
            "outputs": list(outputs),
            "source": source,
        }
        for number, source in enumerate(sources)
    ]
    about = {"kernelspec": {"name": kernel, "display_name": kernel, "language": "python"}}
    return json.dumps({"nbformat": 4, "nbformat_minor": 5, "metadata": about, "cells": cells}, indent=1)
