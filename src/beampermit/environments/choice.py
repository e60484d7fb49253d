"""Which kind of lock a project is written for."""

from __future__ import annotations

from pathlib import Path

from beampermit.environments.backend import Backend, Lock
from beampermit.environments.conda_lock import CondaLock
from beampermit.environments.conda_lock.reading import decoded
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


def chosen(root: Path, *, variant: str = "", bundle: Path | None = None, program: str = "rattler") -> Backend:
    """The backend of the project, for one accelerator variant, one bundle, one program that links packages.

    Raises `BadInput` where its kind of lock has none of these.
    """
    backend = backend_of(root)
    if isinstance(backend, CondaLock):
        return CondaLock(variant=variant, bundle=bundle, program=program)
    if variant or bundle or program != "rattler":
        raise BadInput(f"{backend.name} knows no variants, bundles or micromamba: they are of conda locks", file=root)
    return backend


def lock_of(root: Path, named: str) -> Lock | None:
    """The lock that a path or a git revision names; None for a revision that has no lock. Raises `BadInput`."""
    from beampermit.git import Git

    path = root / named
    if path.is_file():
        name = path.name
        backend = next((one for one in BACKENDS if name.endswith(one.lock_file)), None) or backend_of(root)
        return backend.parse(decoded(path.read_bytes(), name), name)
    backend, git = backend_of(root), Git(root)
    commit = git.resolve(named)
    if commit is None:
        raise BadInput(f"{named!r} is neither a lock file nor a revision of this repository", file=root)
    text = git.read(commit, backend.lock_file)
    return None if text is None else backend.parse(text, f"{named}:{backend.lock_file}")
