"""The folder beside the checker that holds a laboratory's interlocks: installed by hash, never built, never started."""

from __future__ import annotations

import importlib.metadata
import json
import os
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import Distribution, PackageNotFoundError, distributions
from pathlib import Path

from packaging.utils import canonicalize_name

from beampermit.cache import cache_folder
from beampermit.digest import digest_file
from beampermit.environments.uv.command import NETWORK, call, shorten
from beampermit.errors import BadInput, Failed, Outside
from beampermit.files import write_text
from beampermit.interlocks.own.lock import FILE, OwnLock
from beampermit.processes import scratch_folder
from beampermit.reading import read_json

VARIABLE = "BEAMPERMIT_INTERLOCKS"
"""The folder of these folders, which `actions/setup` names; else one in the user's cache folder."""
STAMP = ".complete"
"""Written last, with the digest of each file: without it the installation is incomplete."""
INSTALL = "beampermit interlocks install"


def folder_of(lock: OwnLock) -> Path:
    """Another lock, or another Python, is another folder."""
    named = os.environ.get(VARIABLE)
    if named and not Path(named).is_absolute():
        raise BadInput(f"{VARIABLE} is {named!r}, and an absolute path is needed")
    python = f"{sys.implementation.cache_tag}-{lock.digest[:32]}"
    return (Path(named) if named else cache_folder() / "interlocks") / python


def install(lock: OwnLock) -> Path:
    """Install what `lock` names, where it is not there yet.

    Raises `Failed` for a wrong hash, `Outside` for an index that gives no answer.
    """
    target = folder_of(lock)
    with _alone(target):
        if (target / STAMP).is_file() and not damage(target, hashed=True):
            os.utime(target)  # what nobody uses is removed
            return target
        shutil.rmtree(target, ignore_errors=True)
        # Without a cache: what lies there is not hashed again, and may be linked to what was damaged here.
        with scratch_folder() as scratch:  # no setting of a project reaches uv from there
            write_text(scratch / "interlocks.lock", lock.text)
            finished = call(
                [
                    *("pip", "install", "--no-config", "--quiet", "--python", sys.executable, "--target", target),
                    *("--no-cache", "--require-hashes", "--no-deps", "--only-binary", ":all:", "-r", "interlocks.lock"),
                ],
                cwd=scratch,
            )
        if finished.code:
            raise _failure(finished.err)
        stamp(target)
    return target


def installed(lock: OwnLock) -> dict[str, Distribution]:
    """The packages of `lock` by name. Raises `Failed` where they are not installed, or not what they are called."""
    folder = folder_of(lock)
    names = ", ".join(package.label for package in lock.packages)
    if not (folder / STAMP).is_file():
        raise Failed(f"the protected branch asks for {names}, which is not installed here", file=FILE, hint=INSTALL)
    if why := damage(folder):
        raise Failed(f"the protected branch asks for {names}, and {folder} has {why}", file=FILE, hint=INSTALL)
    found: dict[str, Distribution] = {canonicalize_name(one.name): one for one in distributions(path=[str(folder)])}
    for package in lock.packages:
        one = found.get(package.name)
        if one is None or one.version != package.version:
            has = f"version {one.version}" if one else "nothing of that name"
            raise Failed(f"the protected branch asks for {package.label}, and {folder} has {has}", file=FILE)
        if (ours := _of_the_checker(package.name)) not in (None, package.version):
            raise Failed(
                f"{package.label} would not be what is imported: the checker itself has {package.name} {ours}",
                file=FILE,
                hint=f"take {package.name} out of {FILE}, or lock the version that the checker has",
            )
    return {package.name: found[package.name] for package in lock.packages}


def stamp(folder: Path) -> None:
    """Say that an installation is complete, and what it consists of."""
    files = {path: digest_file(folder / path) for path in _files(folder)}
    write_text(folder / STAMP, json.dumps(files, indent=1) + "\n")


def damage(folder: Path, *, hashed: bool = False) -> str:
    """What of a complete installation is gone; with `hashed`, also what is changed. Empty where nothing is."""
    try:
        files = read_json(folder / STAMP)
    except BadInput:
        files = None
    if not isinstance(files, dict) or not files:
        return "no list of its files"  # an earlier version of ours wrote none
    for path, digest in files.items():
        if not (folder / path).is_file():
            return f"no {path}"
        if hashed and digest_file(folder / path) != digest:
            return f"a changed {path}"
    return ""


def _files(folder: Path) -> list[str]:
    """Those that an installation brings: Python may compile them at any time."""
    paths = (path for path in sorted(folder.rglob("*")) if path.is_file() and path.name != STAMP)
    return [path.relative_to(folder).as_posix() for path in paths if path.suffix != ".pyc"]


def _of_the_checker(name: str) -> str | None:
    try:
        return importlib.metadata.version(name)
    except PackageNotFoundError:
        return None


def _failure(output: str) -> Failed | Outside:
    why = shorten(output)
    if "Hash mismatch" in output:
        return Failed(f"a package is not the one that was locked: {why}", file=FILE)
    if any(sign in output for sign in NETWORK):
        return Outside(
            f"an index cannot be reached: {why}", file=FILE, hint="check the network, then run the command again"
        )
    return Outside(f"the laboratory's own interlocks cannot be installed: {why}", file=FILE)


@contextmanager
def _alone(target: Path) -> Iterator[None]:
    """One process at a time; the lock ends with its process."""
    from filelock import FileLock

    try:
        target.parent.mkdir(parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError):
        raise BadInput(f"{VARIABLE} needs a folder, and a file is in the way", file=target.parent) from None
    with FileLock(f"{target}.lock"):
        yield
