"""Builds a conda environment from a lock alone: hashed archives, linked by rattler or by micromamba."""

from __future__ import annotations

import json
import shutil
import time
from contextlib import suppress
from pathlib import Path

from beampermit.environments.backend import Lock, Package
from beampermit.environments.conda_lock import channels
from beampermit.environments.conda_lock.packages import fetch_packages, locked_for
from beampermit.environments.conda_lock.rattler_process import ask
from beampermit.errors import BadInput, Outside
from beampermit.files import write_text
from beampermit.processes import run
from beampermit.progress import Progress

UNPACKED = ".beampermit-unpacked"
"""Where archives are unpacked: in the prefix, so that files can be linked, and gone when it is done."""


TRIES = 20
MARK = "conda-meta/.beampermit"
"""Says that we made this environment, so that we may remove it."""


def ours(prefix: Path) -> bool:
    """Whether the conda environment at `prefix` was made by us, or begun."""
    return (prefix / MARK).is_file()


def install(lock: Lock, prefix: Path, *, bundle: Path | None = None, progress: Progress) -> None:
    """Make `prefix` the lock's packages for this platform, linked by rattler, from nothing unless they are there.

    Archives are unpacked anew each time: what another program left unpacked in a cache is never linked. Scripts that
    packages want run after linking are not run. Raises `Failed` or `Outside`.
    """
    platform = channels.current_platform()
    packages = locked_for(lock, platform)
    if _there(prefix, packages):
        progress("every package of the lock is there")
        return
    places = fetch_packages(lock, packages, bundle=bundle, progress=progress)
    unpacked = prefix / UNPACKED
    try:
        _begin(prefix)
        ask(
            "install",
            progress=progress,
            packages=[{"path": str(places[package.name])} for package in packages],
            prefix=str(prefix),
            platform=platform,
            cache=str(unpacked),
        )
        _say_where_from(prefix, packages)
    except OSError as error:
        raise Outside(f"nothing can be written there: {error.strerror}", file=prefix) from None
    finally:
        shutil.rmtree(unpacked, ignore_errors=True)


def with_micromamba(lock: Lock, root: Path, prefix: Path, progress: Progress) -> None:
    """Have micromamba make `prefix` of the lock file. Raises `Outside` where it is not there, or fails."""
    program = shutil.which("micromamba")
    if program is None:
        raise Outside("micromamba is not on this machine", hint="beampermit env install")
    packages = locked_for(lock, channels.current_platform())
    if _there(prefix, packages):
        progress("every package of the lock is there")
        return
    _begin(prefix)
    progress("micromamba installs the lock")
    categories = sorted({group for package in lock.packages for group in package.groups})
    finished = run(
        [
            program,
            "create",
            "--yes",
            "--no-rc",
            "--prefix",
            prefix,
            "--file",
            root / lock.file,
            *(word for name in categories for word in ("--category", name)),
        ],
        cwd=root,
    )
    if finished.code:
        raise Outside(f"micromamba failed: {finished.tail}")


def _begin(prefix: Path) -> None:
    """An empty environment, marked as ours: packages linked by a run that was killed are linked again."""
    if ours(prefix):
        _remove(prefix)
    if prefix.exists() and (not prefix.is_dir() or any(prefix.iterdir())):
        raise BadInput("this folder holds something that was not made here; nothing was changed", file=prefix)
    (prefix / MARK).parent.mkdir(parents=True)
    (prefix / MARK).touch()


def _remove(prefix: Path) -> None:
    """Remove the prefix, in which the process of a run that was killed a moment ago may still be dying."""
    for _ in range(TRIES):
        with suppress(FileNotFoundError):
            shutil.rmtree(prefix)
            return
        time.sleep(0.1)
    shutil.rmtree(prefix, ignore_errors=True)


def _there(prefix: Path, packages: tuple[Package, ...]) -> bool:
    """Whether exactly these packages are linked already, by their records; their files are compared by who asked."""
    if not ours(prefix):
        return False
    try:
        records = [json.loads(path.read_bytes()) for path in (prefix / "conda-meta").glob("*.json")]
    except ValueError:
        return False
    found = {(record.get("fn"), record.get("sha256")) for record in records}
    return found == {(package.artifacts[0].file_name, package.artifacts[0].sha256) for package in packages}


def _say_where_from(prefix: Path, packages: tuple[Package, ...]) -> None:
    """Each package's record names the channel, and not where its archive was unpacked for a moment."""
    by_file = {package.artifacts[0].file_name: package for package in packages}
    for path in (prefix / "conda-meta").glob("*.json"):
        record = json.loads(path.read_bytes())
        package = by_file.get(record.get("fn", ""))
        if package is not None:
            record |= {"url": package.artifacts[0].address, "channel": package.source}
            for gone in ("extracted_package_dir", "link"):
                record.pop(gone, None)
            write_text(path, json.dumps(record, indent=2) + "\n")
