"""The environment that a version runs in: of the lock of its commit, as its permit binds it."""

from __future__ import annotations

import tempfile
from contextlib import ExitStack
from pathlib import Path

from beampermit.contract import Contract
from beampermit.environments import Environment
from beampermit.environments.backend import Backend, Lock
from beampermit.environments.bundle import opened
from beampermit.environments.choice import backend_for
from beampermit.environments.environment import stamp_of
from beampermit.environments.installation import complete, install, prefix_for
from beampermit.environments.platforms import driver_version
from beampermit.errors import BadInput, Failed
from beampermit.git import Git
from beampermit.live.promoted.promoted import Declared
from beampermit.live.promoted.wanted import Wanted
from beampermit.progress import Progress
from beampermit.reproduction.tree import exported

CUDA = "cuda"


def install_environment(git: Git, declared: Declared, wanted: Wanted, progress: Progress) -> tuple[Environment, str]:
    """The environment, and the accelerator that it is for; installed where no complete one of this lock is there.

    Raises as `install`, and `Failed` where the permit does not bind the lock.
    """
    with ExitStack() as stack:
        bundle = stack.enter_context(opened(wanted.bundle)) if wanted.bundle else None
        backend, lock = _backend(declared, wanted, bundle)
        prefix = prefix_for(lock)
        tree = declared.root
        if stamp_of(prefix) != lock.stamp:
            # What a lock needs of its project is more than the lock: packages in folders, a file with the version.
            progress("install the environment")
            scratch = stack.enter_context(tempfile.TemporaryDirectory(prefix="beampermit-"))
            commit = declared.statement.predicate.commit
            tree = stack.enter_context(exported(git, commit, Path(scratch, "commit")))
        environment = install(backend, tree, prefix, reuse=True, progress=progress).environment
    return environment.passing(declared.contract.environment.variables), lock.variant


def complete_environment(declared: Declared, wanted: Wanted) -> tuple[Environment, str] | None:
    """As `install_environment`, which then has nothing to do; None where it has."""
    _, lock = _backend(declared, wanted)
    environment = complete(lock, prefix_for(lock))
    return (environment.passing(declared.contract.environment.variables), lock.variant) if environment else None


def machine_variant(contract: Contract) -> str:
    """`cuda` where the contract has it and this machine a GPU; empty for what a lock has without an accelerator."""
    if CUDA not in contract.environment.accelerators:
        return ""
    try:
        driver_version()
    except Failed:
        return ""
    return CUDA


def _backend(declared: Declared, wanted: Wanted, bundle: Path | None = None) -> tuple[Backend, Lock]:
    """With the lock, which the permit binds. The variant that a person has chosen must be there."""
    variant = wanted.variant or machine_variant(declared.contract)
    try:
        found = _read(declared.root, variant, bundle)
    except BadInput:
        if not variant or wanted.variant:
            raise
        found = _read(declared.root, "", bundle)  # a lock for one kind of machine has no variants
    _require_bound(declared, found[1])
    return found


def _read(root: Path, variant: str, bundle: Path | None) -> tuple[Backend, Lock]:
    backend = backend_for(root, variant=variant, bundle=bundle)
    return backend, backend.read(root)


def _require_bound(declared: Declared, lock: Lock) -> None:
    facts = declared.statement.predicate
    if lock.file not in {bound.file for bound in (facts.environment, *facts.variants)}:
        raise Failed("the permit does not bind this lock", file=lock.file)
