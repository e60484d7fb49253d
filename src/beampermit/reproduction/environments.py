"""The environment to train a commit in: installed from its lock, or reused if built from the same lock."""

from __future__ import annotations

from pathlib import Path

from beampermit.environments import Environment
from beampermit.environments.backend import Backend
from beampermit.environments.choice import backend_for
from beampermit.environments.environment import prefix_of, stamp_of
from beampermit.environments.installation import install, shared_prefix
from beampermit.errors import BadInput
from beampermit.progress import Progress
from beampermit.reproduction.preparation import Prepared
from beampermit.reproduction.reproduce import Environments


def new_environments(progress: Progress, variant: str = "") -> Environments:
    """Install every package into a folder that is removed after the reproduction."""

    def install_anew(prepared: Prepared) -> Environment:
        backend = backend_for(prepared.tree, variant=variant)
        return install(backend, prepared.tree, prepared.own_environment, progress=progress).environment

    return install_anew


def reused_environments(progress: Progress, variant: str = "") -> Environments:
    """Reuse the project's environment if it was built from the same lock, for `variant` or, where none is given, any;
    otherwise the environment that all checkouts with this lock share.
    """

    return lambda prepared: reused_environment(prepared.project.root, prepared.tree, progress, variant)


def reused_environment(root: Path, tree: Path, progress: Progress, variant: str = "") -> Environment:
    """The environment of the lock in `tree`: that of the project at `root` where it was built from it, else the one
    that all checkouts with this lock share. Raises as `install`."""
    prefix = prefix_of(root).absolute()
    backend = _backend_of(prefix, tree, variant)
    if backend is None:
        backend = backend_for(tree, variant=variant)
        prefix = shared_prefix(backend.read(tree))
    return install(backend, tree, prefix, reuse=True, progress=progress).environment


def _backend_of(prefix: Path, tree: Path, variant: str) -> Backend | None:
    """The backend that built the environment at `prefix`, if its stamp says that it is from the lock of `tree`."""
    stamp = stamp_of(prefix)
    _, _, built_variant = stamp.partition(" ")
    if not stamp or (variant and built_variant != variant):
        return None
    try:
        backend = backend_for(tree, variant=built_variant)
        return backend if backend.read(tree).stamp == stamp else None
    except BadInput:  # this commit does not have the variant
        return None
