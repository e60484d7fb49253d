"""Which kind of lock a project is written for."""

from __future__ import annotations

from pathlib import Path

from beampermit.environments.backend import Backend
from beampermit.environments.conda_lock import CondaLock
from beampermit.environments.uv import Uv
from beampermit.errors import BadInput

BACKENDS: tuple[Backend, ...] = (CondaLock(), Uv())
"""In this order: a project with an `environment.yml` has a `pyproject.toml` as well, for its tools."""


def backend_of(root: Path) -> Backend:
    """The backend of the project at `root`. Raises `BadInput` where there is nothing to lock."""
    found = [backend for backend in BACKENDS if backend.detect(root)]
    if not found:
        files = " or ".join(backend.specification_file for backend in BACKENDS)
        raise BadInput(f"nothing to lock here: there is no {files}", file=root, hint="beampermit new")
    return next((backend for backend in found if (root / backend.lock_file).is_file()), found[0])
