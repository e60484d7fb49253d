"""Builds environments from locks: whole or not at all, one builder at a time, kept by the digest of their lock."""

from __future__ import annotations

import os
import platform
import shutil
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from beampermit.cache import cache_folder
from beampermit.digest import digest_bytes
from beampermit.environments.backend import Backend, Lock
from beampermit.environments.conda_lock import install as conda
from beampermit.environments.distributions import describe, distributions, site_packages, strays
from beampermit.environments.environment import STAMP, VARIABLE, Environment, stamp_of
from beampermit.errors import BadInput, Failed, Outside, Problem
from beampermit.files import write_text
from beampermit.progress import Progress

LEFTOVERS = {"bin", "lib", "lib64", "include", "share", "etc", "Scripts", "Lib", "Include"}
LEFTOVERS |= {"pyvenv.cfg", ".gitignore", ".lock", "CACHEDIR.TAG", STAMP}
"""What an environment whose building was interrupted may consist of: it may be removed."""


@dataclass(frozen=True)
class Installation:
    """An environment that is the lock. `reused` where one of the same lock was there already."""

    environment: Environment
    lock: str
    reused: bool
    packages: int
    seconds: float


def shared_prefix(lock: Lock) -> Path:
    """Where the environment of a lock is kept for all projects and checkouts of this user on this kind of machine."""
    words = (lock.digest.removeprefix("sha256:")[:16], lock.variant, sys.platform, platform.machine())
    return cache_folder() / "environments" / "-".join(filter(None, words))


def install(backend: Backend, root: Path, prefix: Path, *, reuse: bool = False, progress: Progress) -> Installation:
    """Make the environment at `prefix` the lock of the project at `root`.

    With `reuse`, an environment that was completed from the same lock is taken as it is. The stamp is written last,
    after every package was compared with the lock; an environment without it is built again. Raises `Failed` where
    what was installed is not the lock, `Outside` where a file or a Python cannot be had, `BadInput` where something
    else is in that folder, and on Windows.
    """
    if sys.platform == "win32":
        raise BadInput("environments are not built on Windows", hint="wsl, and the same command in it")
    began = time.monotonic()
    lock = backend.read(root)
    with _alone(prefix, progress):
        there = _complete(prefix, lock)
        try:
            if not (reuse and there):
                _build(backend, root, prefix, lock, progress)
        except OSError as error:
            raise Outside(f"nothing can be written there: {error.strerror}", file=prefix) from None
    packages = sum(1 for _ in prefix.glob("lib/python*/site-packages/*.dist-info"))
    packages = max(packages, sum(1 for _ in prefix.glob("conda-meta/*.json")))
    return Installation(Environment(prefix), lock.digest, there, packages, time.monotonic() - began)


def write_github_env(environment: Environment) -> bool:
    """Tell the later steps of a GitHub job which environment is theirs; False outside of one."""
    file = os.environ.get("GITHUB_ENV")
    if not file:
        return False
    if "\n" in str(environment.prefix):
        raise BadInput("a folder with a line end in its name cannot be told to GitHub", file=environment.prefix)
    with Path(file).open("a", encoding="utf-8") as stream:
        stream.write(f"{VARIABLE}={environment.prefix}\n")
    return True


def write_github_summary(done: Installation, backend: Backend) -> bool:
    """Say in the summary of a GitHub job what was installed and how long it took; False outside of one."""
    file = os.environ.get("GITHUB_STEP_SUMMARY")
    if not file:
        return False
    how = "reused, and compared with the lock," if done.reused else "installed from nothing"
    words = (
        f"Environment: {done.packages} packages of `{backend.lock_file}` ({backend.name}, `{done.lock[:19]}`) "
        f"{how} in {done.seconds:.1f} s\n\n"
    )
    with Path(file).open("a", encoding="utf-8") as stream:
        stream.write(words)
    return True


def _build(backend: Backend, root: Path, prefix: Path, lock: Lock, progress: Progress) -> None:
    _clear(prefix)
    (prefix / STAMP).unlink(missing_ok=True)
    backend.install(root, prefix, progress=progress)
    problems = _compared(backend, prefix, lock, progress)
    for cached in (True, False):
        if problems:
            # What uv installs it takes for good: only from nothing, and at last without its cache, is it made anew.
            progress(f"{problems[0].message}: building it from nothing")
            shutil.rmtree(prefix)
            backend.install(root, prefix, cached=cached, progress=progress)
            problems = _compared(backend, prefix, lock, progress)
    if problems:
        raise Failed(
            f"what was installed is not the lock: {problems[0].message}", file=lock.file, hint="beampermit env lock"
        )
    write_text(prefix / STAMP, lock.stamp + "\n")


def _compared(backend: Backend, prefix: Path, lock: Lock, progress: Progress) -> tuple[Problem, ...]:
    progress("comparing what is installed with the lock")
    return backend.installed(lock, prefix)


def _clear(prefix: Path) -> None:
    """Remove what an interrupted building left; leave alone what is an environment, refuse what is something else."""
    if not prefix.exists() or conda.made_by_us(prefix) or _sound(prefix):
        return
    others = (
        sorted(path.name for path in prefix.iterdir() if path.name not in LEFTOVERS)
        if prefix.is_dir()
        else [prefix.name]
    )
    if others:
        raise BadInput(f"this is not an environment, it holds {others[0]!r}; nothing was changed", file=prefix)
    shutil.rmtree(prefix)


def _complete(prefix: Path, lock: Lock) -> bool:
    return stamp_of(prefix) == lock.stamp and _sound(prefix)


def _sound(prefix: Path) -> bool:
    """Whether a Python starts there, knows that it is in an environment, and runs nothing put there by hand."""
    config = prefix / "pyvenv.cfg"
    is_venv = config.is_file() and "home" in config.read_text(encoding="utf-8", errors="replace")
    if not is_venv and not conda.made_by_us(prefix):
        return False
    try:
        site = site_packages(prefix, describe(prefix))
    except BadInput:
        return False
    if not is_venv:
        return True  # Its own check looks at every file of the prefix, not at Python's packages alone.
    return site.is_dir() and not strays(site, distributions(site))


@contextmanager
def _alone(prefix: Path, progress: Progress) -> Iterator[None]:
    """Jobs that build the same environment at once wait for one builder; a killed one lets go."""
    from filelock import FileLock, Timeout

    folder = cache_folder() / "locks"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        turn = FileLock(folder / f"{digest_bytes(str(prefix).encode())[7:23]}.lock")
        try:
            turn.acquire(timeout=0)
        except Timeout:
            progress("waiting for another job that builds this environment")
            turn.acquire()
    except OSError as error:
        raise Outside(f"nothing can be written in {folder}: {error.strerror}") from None
    try:
        yield
    finally:
        turn.release()
