"""Installs a `uv.lock` from a bundle alone: each file hashed first, no index asked."""

from __future__ import annotations

import shutil
import sys
import tempfile
from pathlib import Path

from beampermit.environments.backend import Lock, Package, Watch
from beampermit.environments.environment import python_in
from beampermit.environments.installed import describe
from beampermit.environments.platforms import current
from beampermit.environments.uv.command import uv
from beampermit.environments.uv.files import FOLDER, is_locked, not_locked, of_platform, wanted
from beampermit.environments.uv.solution import meant

REACH_NOTHING = {
    "UV_OFFLINE": "1",
    "UV_NO_INDEX": "1",
    "UV_FIND_LINKS": "",
    "UV_INDEX": "",
    "UV_DEFAULT_INDEX": "",
    "UV_NO_CONFIG": "1",
}


def install(lock: Lock, root: Path, prefix: Path, bundle: Path, watch: Watch) -> None:
    """Make `prefix` the lock from the files of `bundle`. Raises `Tripped` for one that is missing or another."""
    platform = current()
    files = list(wanted(lock, of_platform(lock, platform).values(), platform))
    watch(f"hashing {len(files)} files of the bundle")
    with tempfile.TemporaryDirectory(dir=_beside(prefix)) as folder:
        # Only what was hashed is seen by uv: another file of the bundle could be newer, or build a package.
        for package, artifact in files:
            place, copy = bundle / FOLDER / artifact.file_name, Path(folder) / artifact.file_name
            _take(place, copy)
            if not is_locked(copy, artifact):
                raise not_locked(lock, package, artifact, "the bundle")
        watch(f"uv installs the bundle into {prefix}")
        _sync(lock, root, prefix, Path(folder))


def _sync(lock: Lock, root: Path, prefix: Path, folder: Path) -> None:
    if not python_in(prefix).exists():
        uv(["venv", "--no-project", "--python", _python(lock), prefix], cwd=root, env=REACH_NOTHING)
    asked = folder / "requirements.txt"
    asked.write_text("".join(sorted(map(_line, meant(lock, describe(prefix))))), encoding="utf-8")
    uv(
        [
            "pip",
            "sync",
            "--no-cache",
            "--require-hashes",
            "--no-index",
            "--find-links",
            folder,
            "--python",
            python_in(prefix),
            asked,
        ],
        cwd=root,
        env=REACH_NOTHING,
    )


def _line(package: Package) -> str:
    hashes = " ".join(f"--hash=sha256:{artifact.sha256}" for artifact in package.artifacts if artifact.sha256)
    return f"{package.name}=={package.version} {hashes}\n"


def _python(lock: Lock) -> str:
    """The Pythons that the lock is for, as uv finds them on this machine."""
    return str(lock.content.get("requires-python", "")) or f"{sys.version_info.major}.{sys.version_info.minor}"


def _take(place: Path, copy: Path) -> None:
    if place.is_file():
        shutil.copyfile(place, copy)


def _beside(prefix: Path) -> Path:
    """A folder on the prefix's own disk, where there is room for what is to be linked."""
    prefix.parent.mkdir(parents=True, exist_ok=True)
    return prefix.parent
