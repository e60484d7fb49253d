"""Which kind of lock a project is written for."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from beampermit.environments.backend import Backend, Lock
from beampermit.environments.bundle import Bundled, write
from beampermit.environments.conda_lock import CondaLock
from beampermit.environments.conda_lock import packages as conda
from beampermit.environments.conda_lock.channels import current_subdir
from beampermit.environments.platforms import current_platform
from beampermit.environments.uv import Uv, files
from beampermit.errors import BadInput
from beampermit.progress import Progress
from beampermit.reading import decode

BACKENDS: tuple[Backend, ...] = (CondaLock(), Uv())
"""In this order: a project with an `environment.yml` has a `pyproject.toml` as well, for its tools."""


def backend_of(root: Path) -> Backend:
    """The backend of the project at `root`. Raises `BadInput` where there is nothing to lock."""
    found = [backend for backend in BACKENDS if backend.detect(root)]
    if not found:
        files = " or ".join(backend.specification_file for backend in BACKENDS)
        raise BadInput(f"nothing to lock here: there is no {files}", file=root, hint="beampermit new")
    return next((backend for backend in found if (root / backend.lock_file).is_file()), found[0])


def lock_files(names: Iterable[str], backend: Backend) -> tuple[str, ...]:
    """Of the names of files in a project's root: the backend's lock, and those of accelerator variants after it."""
    found = {name for name in names if name == backend.lock_file or _is_variant(name, backend)}
    return tuple(sorted(found, key=lambda name: (name != backend.lock_file, name)))


def _is_variant(name: str, backend: Backend) -> bool:
    variant, dot, rest = name.partition(".")
    return bool(variant and dot) and rest == backend.lock_file


def backend_for(root: Path, *, variant: str = "", bundle: Path | None = None, program: str = "rattler") -> Backend:
    """The backend of the project, for one accelerator variant, one bundle, one program that links packages.

    Raises `BadInput` where its kind of lock has none of these.
    """
    backend = backend_of(root)
    if isinstance(backend, CondaLock):
        return CondaLock(variant=variant, bundle=bundle, program=program)
    if program != "rattler":
        raise BadInput(f"{program} installs conda locks, and this is a lock of {backend.name}", file=root)
    return Uv(variant=variant, bundle=bundle)


def bundle(root: Path, to: Path, *, variant: str = "", platform: str | None = None, progress: Progress) -> Bundled:
    """Write what the lock of the project needs on a platform (this machine's if None) to a folder or tar."""
    backend = backend_for(root, variant=variant)
    lock = backend.read(root)
    if isinstance(backend, CondaLock):
        return write(lock, conda.bundled(lock, platform or current_subdir(), progress), to, progress)
    return write(lock, files.bundled(lock, root, platform or current_platform(), progress), to, progress)


def lock_of(root: Path, named: str, *, file: str = "") -> Lock | None:
    """The lock that a path or a git revision names; None for a revision that has no lock. Raises `BadInput`.

    `file` is the lock that is meant of a revision that has several.
    """
    from beampermit.git import Git

    path = root / named
    if path.is_file():
        name = path.name
        backend = next((one for one in BACKENDS if name.endswith(one.lock_file)), None) or backend_of(root)
        return backend.parse(decode(path.read_bytes(), name), name)
    backend, git = backend_of(root), Git(root)
    commit = git.resolve(named)
    if commit is None:
        raise BadInput(f"{named!r} is neither a lock file nor a revision of this repository", file=root)
    name = file or backend.lock_file
    text = git.read(commit, f"./{name}")
    return None if text is None else backend.parse(text, f"{named}:{name}")
