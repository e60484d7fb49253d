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
    """Each package installed anew, into a folder that goes when the reproduction is done."""
    return lambda ready: _installed(
        backend_for(ready.tree, variant=variant), ready, ready.own_environment, progress, False
    )


def reused_environments(progress: Progress, variant: str = "") -> Environments:
    """The project's own environment where it was built from the same lock, for this or, where none is named, whichever
    variant; else the one that all checkouts of a lock share. What somebody else built is left alone.
    """

    def found(ready: Prepared) -> Environment:
        own = prefix_of(ready.project.root).absolute()
        backend = _built(own, ready.tree, variant)
        if backend is None:
            backend = backend_for(ready.tree, variant=variant)
            own = shared_prefix(backend.read(ready.tree))
        return _installed(backend, ready, own, progress, True)

    return found


def _built(prefix: Path, tree: Path, variant: str) -> Backend | None:
    """What built the environment at `prefix`, if that was of the lock of `tree`: its stamp says."""
    said = stamp_of(prefix)
    _, _, own = said.partition(" ")
    if not said or (variant and own != variant):
        return None
    try:
        backend = backend_for(tree, variant=own)
        return backend if backend.read(tree).stamp == said else None
    except BadInput:  # a variant that this commit did not have
        return None


def _installed(backend: Backend, prepared: Prepared, prefix: Path, progress: Progress, reuse: bool) -> Environment:
    return install(backend, prepared.tree, prefix, reuse=reuse, progress=progress).environment
