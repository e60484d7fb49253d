"""Installs environments from locks: completely or not at all, one installer at a time, shared by the lock's digest."""

from __future__ import annotations

import os
import platform
import shlex
import shutil
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from beampermit.cache import cache_folder
from beampermit.digest import digest_bytes
from beampermit.environments.backend import Backend, Lock
from beampermit.environments.bytecode import forget_gone
from beampermit.environments.conda_lock import install as conda
from beampermit.environments.distributions import start_python
from beampermit.environments.environment import STAMP, VARIABLE, Environment, shared_environments, stamp_of
from beampermit.environments.uv.command import PREFIX
from beampermit.environments.uv.installed import is_sealed
from beampermit.errors import BadInput, Failed, Outside, Problem, counted
from beampermit.files import write_text
from beampermit.progress import Progress

LEFTOVERS = {"bin", "lib", "lib64", "include", "share", "etc", "Scripts", "Lib", "Include"}
LEFTOVERS |= {"pyvenv.cfg", ".gitignore", ".lock", "CACHEDIR.TAG", STAMP}
"""What an interrupted installation may leave; it may be removed."""
INSTALLER = "lib/python*/site-packages/*.dist-info/INSTALLER"
"""Conda's packages may have it too, with another name in it."""


@dataclass(frozen=True)
class Installation:
    """An environment that matches the lock. `reused` where it was there already."""

    environment: Environment
    lock: str
    reused: bool
    packages: int
    seconds: float


def shared_prefix(lock: Lock) -> Path:
    """Where the environment of a lock is kept, for all projects and checkouts of this user on this kind of machine."""
    parts = (lock.digest.removeprefix("sha256:")[:16], lock.variant, sys.platform, platform.machine())
    return shared_environments() / "-".join(filter(None, parts))


def prefix_for(lock: Lock) -> Path:
    """The environment that `BEAMPERMIT_ENVIRONMENT` names where it is of this lock, as in a container; else the one
    that all checkouts with this lock share."""
    named = os.environ.get(VARIABLE)
    if named and Path(named).is_absolute() and stamp_of(Path(named)) == lock.stamp:
        return Path(named)
    return shared_prefix(lock)


def install(backend: Backend, root: Path, prefix: Path, *, reuse: bool = False, progress: Progress) -> Installation:
    """Install the lock of the project at `root` into `prefix`.

    An environment of the same lock in which no file differs stays; with `reuse`, its packages are not even compared.
    The stamp is written last, after every package was compared with the lock; an environment without it is installed
    again. Raises `Failed` where the installed packages differ from the lock, `Outside` where a file or a Python is not
    available, `BadInput` where the folder holds something else, and on Windows. Where `prefix` is a link,
    the environment is in the folder that it leads to.
    """
    if sys.platform == "win32":
        raise BadInput("environments are not built on Windows", hint="wsl, and the same command in it")
    began = time.monotonic()
    lock = backend.read(root)
    by_link, prefix = prefix.is_symlink(), _followed(prefix)
    with _exclusive(prefix, progress):
        try:
            kept = stamp_of(prefix) == lock.stamp and (_sound(prefix) if reuse else backend.is_complete(root, prefix))
            if not kept:
                _end_orphans(prefix)
                if not _sound(prefix):
                    _clear(prefix, by_link)
                _build(backend, root, prefix, lock, progress)
                forget_gone()
        except OSError as error:
            raise Outside(f"cannot write: {error.strerror or error}", file=prefix) from None
    names = {path.resolve() for path in prefix.glob(INSTALLER)}
    by_uv = (path.read_text(encoding="utf-8", errors="replace") for path in names)
    packages = sum(1 for _ in prefix.glob("conda-meta/*.json")) + sum(name.strip() == "uv" for name in by_uv)
    return Installation(Environment(prefix), lock.digest, kept, packages, time.monotonic() - began)


def complete(lock: Lock, prefix: Path) -> Environment | None:
    """The environment that `install` with `reuse` would leave as it is; None where it would build one, or wait."""
    try:
        # Whoever builds it removes the stamp first: a look at the files meanwhile says nothing.
        sound = stamp_of(prefix) == lock.stamp and _sound(prefix) and stamp_of(prefix) == lock.stamp
    except OSError:
        return None  # `install` says what is wrong
    return Environment(prefix) if sound else None


def write_github_env(environment: Environment) -> bool:
    """Set BEAMPERMIT_ENVIRONMENT for the later steps of a GitHub job; False outside of one."""
    file = os.environ.get("GITHUB_ENV")
    if not file:
        return False
    if "\n" in str(environment.prefix):
        raise BadInput("a path with a line break cannot be passed to GitHub", file=environment.prefix)
    with Path(file).open("a", encoding="utf-8") as stream:
        stream.write(f"{VARIABLE}={environment.prefix}\n")
    return True


def write_github_summary(done: Installation, backend: Backend) -> bool:
    """Write what was installed into the summary of a GitHub job; False outside of one."""
    file = os.environ.get("GITHUB_STEP_SUMMARY")
    if not file:
        return False
    action = "reused" if done.reused else "installed"
    line = (
        f"Environment: {counted(done.packages, 'package')} of `{backend.lock_file}` "
        f"({backend.name}, `{done.lock[:19]}`) {action} in {done.seconds:.1f} s\n\n"
    )
    with Path(file).open("a", encoding="utf-8") as stream:
        stream.write(line)
    return True


def _build(backend: Backend, root: Path, prefix: Path, lock: Lock, progress: Progress) -> None:
    (prefix / STAMP).unlink(missing_ok=True)
    # uv looks neither into what is installed nor into its cache: where something differs, it begins from nothing.
    further = (True, False) if prefix.exists() else (False,)
    backend.install(root, prefix, progress=progress)
    problems = _compared(backend, prefix, lock, progress)
    for cached in further:
        if problems:
            progress(f"{problems[0].message}: installing from scratch")
            shutil.rmtree(prefix)
            backend.install(root, prefix, cached=cached, progress=progress)
            problems = _compared(backend, prefix, lock, progress)
    if problems:
        first, *others = problems
        raise Failed(
            f"the installed packages differ from the lock: {first.message}",
            file=lock.file,
            hint="beampermit env lock",
            also=others,
        )
    write_text(prefix / STAMP, lock.stamp + "\n")


def _compared(backend: Backend, prefix: Path, lock: Lock, progress: Progress) -> tuple[Problem, ...]:
    progress("comparing the installed packages with the lock")
    return backend.installed(lock, prefix)


def _followed(prefix: Path) -> Path:
    """The folder itself where `prefix` is a link to it: uv makes nothing in a link, and a link cannot be emptied."""
    if not prefix.is_symlink():
        return prefix
    folder = Path(os.path.realpath(prefix))
    if folder.is_symlink():
        raise BadInput("a link that leads to no folder", file=prefix)
    return folder


def _clear(prefix: Path, by_link: bool) -> None:
    """Remove what an interrupted installation left; refuse anything else."""
    if not prefix.exists() or conda.made_by_us(prefix):
        return
    if by_link and prefix.is_dir() and any(prefix.iterdir()):
        # A project may hold the link: it must not have a folder of somebody's removed that looks like an environment.
        raise BadInput(
            "a link leads to this folder, which is not empty and no whole environment; nothing was changed",
            file=prefix,
            hint=f"rm -r {shlex.quote(str(prefix))}",
        )
    others = (
        sorted(path.name for path in prefix.iterdir() if path.name not in LEFTOVERS)
        if prefix.is_dir()
        else [prefix.name]
    )
    if others:
        raise BadInput(f"not an environment: it holds {others[0]!r}; nothing was changed", file=prefix)
    shutil.rmtree(prefix)


def _sound(prefix: Path) -> bool:
    """Whether its Python starts, is one of an environment, and nothing is there that belongs to no package."""
    try:
        if (prefix / "pyvenv.cfg").is_file():
            return is_sealed(prefix)
        # The check of conda environments covers every file of the prefix.
        return conda.made_by_us(prefix) and bool(start_python(prefix))
    except BadInput:
        return False


def _end_orphans(prefix: Path) -> None:
    """An installer that was killed could not end its uv, which goes on writing into the environment."""
    import psutil

    for process in psutil.process_iter():
        with suppress(psutil.Error):
            if process.name() == "uv" and str(prefix) in (*process.cmdline(), process.environ().get(PREFIX)):
                process.kill()
                process.wait(10)


@contextmanager
def _exclusive(prefix: Path, progress: Progress) -> Iterator[None]:
    """Let one process at a time install an environment; a killed one releases the lock."""
    from filelock import FileLock, Timeout

    folder = cache_folder() / "locks"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        file_lock = FileLock(folder / f"{digest_bytes(str(prefix).encode())[7:23]}.lock")
        try:
            file_lock.acquire(timeout=0)
        except Timeout:
            progress("waiting for another process that installs this environment")
            file_lock.acquire()
    except OSError as error:
        raise Outside(f"cannot write in {folder}: {error.strerror}") from None
    try:
        yield
    finally:
        file_lock.release()
