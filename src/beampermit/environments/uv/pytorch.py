"""Where PyTorch keeps its wheels for CPUs: uv knows the address, and says it where it can reach it."""

from __future__ import annotations

import re
import sys
import tempfile
from pathlib import Path

from beampermit.environments.uv.command import call

ANNOTATION = re.compile(r"^\s*# from (https?://\S+)$", re.MULTILINE)


def cpu_index() -> str | None:
    """The index of PyTorch's wheels for CPUs; None where it cannot be reached."""
    return index_of("torch", "--torch-backend", "cpu")


def index_of(requirement: str, *options: str) -> str | None:
    """The index that uv takes a package from; None where it takes it from a folder, or finds none."""
    compiling = ("pip", "compile", "--no-deps", "--emit-index-annotation", "--python", sys.executable)
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "requirements.in").write_text(f"{requirement}\n", encoding="utf-8")
        env = {"UV_FIND_LINKS": "", "UV_NO_CONFIG": "1", "UV_HTTP_RETRIES": "1"}
        finished = call([*compiling, *options, "requirements.in"], cwd=Path(folder), env=env)
    found = ANNOTATION.search(finished.out)
    return found[1] if found and finished.code == 0 else None
