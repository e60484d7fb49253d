"""Chooses the backend of a project, and finds its locks."""

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
"""In this order: a project with an `environment.yml` also has a `pyproject.toml`, for its tools."""
REQUIRED = (*(backend.specification_file for backend in BACKENDS), "requirements.txt")
"""The files with requirements, one of which makes a folder a project."""


def backend_of(root: Path) -> Backend:
    """The backend of the project at `root`. Raises `BadInput` where there is nothing to lock."""
    detected = [backend for backend in BACKENDS if backend.detect(root)]
    if not detected:
        from beampermit.project import Project

        *others, last = REQUIRED
        hint = Project(root).where_contracts_are("beampermit new")
        raise BadInput(f"nothing to lock: there is no {', '.join(others)} or {last}", file=root, hint=hint)
    return next((backend for backend in detected if (root / backend.lock_file).is_file()), detected[0])


def lock_files(names: Iterable[str], backend: Backend) -> tuple[str, ...]:
    """The backend's locks among the files of a project's root, those of accelerator variants last."""
    locks = {name for name in names if name == backend.lock_file or _is_variant(name, backend)}
    return tuple(sorted(locks, key=lambda name: (name != backend.lock_file, name)))


def _is_variant(name: str, backend: Backend) -> bool:
    variant, dot, rest = name.partition(".")
    return bool(variant and dot) and rest == backend.lock_file


def backend_for(root: Path, *, variant: str = "", bundle: Path | None = None, program: str = "rattler") -> Backend:
    """The backend of the project, set to an accelerator variant, a bundle, or a program that links packages.

    Raises `BadInput` where the backend does not have them.
    """
    backend = backend_of(root)
    if isinstance(backend, CondaLock):
        return CondaLock(variant=variant, bundle=bundle, program=program)
    if program != "rattler":
        raise BadInput(f"{program} installs conda locks, and the backend of the project is {backend.name}", file=root)
    return Uv(variant=variant, bundle=bundle)


def bundle(root: Path, to: Path, *, variant: str = "", platform: str | None = None, progress: Progress) -> Bundled:
    """Write the files that the lock needs on a platform (this machine's if None) to a folder or tar."""
    backend = backend_for(root, variant=variant)
    lock = backend.read(root)
    if isinstance(backend, CondaLock):
        return write(lock, conda.bundled(lock, platform or current_subdir(), progress), to, progress)
    return write(lock, files.bundled(lock, root, platform or current_platform(), progress), to, progress)


def lock_of(root: Path, place: str, *, file: str = "") -> Lock | None:
    """The lock at a path or of a git revision; None for a revision without a lock. Raises `BadInput`.

    `file` names the lock of a revision that has several.
    """
    from beampermit.git import Git

    path = root / place
    if path.is_file():
        name = path.name
        backend = next((one for one in BACKENDS if name.endswith(one.lock_file)), None) or backend_of(root)
        return backend.parse(decode(path.read_bytes(), name), name)
    backend, git = backend_of(root), Git(root)
    commit = git.resolve(place)
    if commit is None:
        raise BadInput(f"{place!r} is neither a lock file nor a revision of the repository", file=root)
    name = file or backend.lock_file
    text = git.read(commit, name)
    return None if text is None else backend.parse(text, f"{place}:{name}")
