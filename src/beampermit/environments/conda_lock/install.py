"""Builds a conda environment from a lock alone: hashed archives, linked by rattler or by micromamba."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

from beampermit.environments.backend import Lock, Package, Watch
from beampermit.environments.conda_lock import channels
from beampermit.environments.conda_lock.packages import bring, meant
from beampermit.environments.conda_lock.rattler_process import ask
from beampermit.errors import Outside
from beampermit.files import write_text
from beampermit.processes import run

UNPACKED = ".beampermit-unpacked"
"""Where archives are unpacked: in the prefix, so that files can be linked, and gone when it is done."""


def install(lock: Lock, prefix: Path, *, bundle: Path | None = None, watch: Watch) -> None:
    """Make `prefix` the lock's packages for this platform, linked by rattler.

    Archives are unpacked anew each time: what another program left unpacked in a cache is never linked. Scripts that
    packages want run after linking are not run. Raises `Tripped` or `Outside`.
    """
    platform = channels.current_platform()
    packages = meant(lock, platform)
    places = bring(lock, packages, bundle=bundle, watch=watch)
    unpacked = prefix / UNPACKED
    try:
        (prefix / "conda-meta").mkdir(parents=True, exist_ok=True)
        ask(
            "install",
            watch=watch,
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


def with_micromamba(lock: Lock, root: Path, prefix: Path, watch: Watch) -> None:
    """Have micromamba make `prefix` of the lock file. Raises `Outside` where it is not there, or fails."""
    program = shutil.which("micromamba")
    if program is None:
        raise Outside("micromamba is not on this machine", hint="beampermit env install, which needs none")
    meant(lock, channels.current_platform())
    watch("micromamba installs the lock")
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
