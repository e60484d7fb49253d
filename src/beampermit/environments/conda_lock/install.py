"""Installs a conda environment from the lock alone: hashed archives, linked by rattler or micromamba."""

from __future__ import annotations

import json
import shutil
import tempfile
import time
from contextlib import suppress
from pathlib import Path

from beampermit.cache import cache_folder
from beampermit.environments.backend import Lock, Package
from beampermit.environments.conda_lock import channels
from beampermit.environments.conda_lock.installed import has_wheels, is_sealed, remember_wheels, seal
from beampermit.environments.conda_lock.packages import Places, fetch_packages, locked_for
from beampermit.environments.conda_lock.rattler_process import run_rattler
from beampermit.environments.environment import python_in
from beampermit.environments.uv.command import call, shorten
from beampermit.errors import BadInput, Failed, Outside, counted
from beampermit.files import write_text
from beampermit.processes import run
from beampermit.progress import Progress

UNPACKED = ".beampermit-unpacked"
"""Where archives are unpacked: on the disk of the prefix, so that files can be linked; removed afterwards."""
AS_LOCKED = ("--no-config", "--no-cache", "--no-deps", "--no-index", "--require-hashes", "--no-build-isolation")
AS_LOCKED += ("--reinstall", "--link-mode", "copy")
"""How uv takes the given files and no other."""
TRIES = 20
MARK = "conda-meta/.beampermit"
"""Marks an environment that we made and may remove."""


def made_by_us(prefix: Path) -> bool:
    return (prefix / MARK).is_file()


def install(lock: Lock, prefix: Path, *, bundle: Path | None = None, progress: Progress) -> None:
    """Install the lock's packages for this platform with rattler; nothing to do where exactly these are linked.

    Archives are unpacked each time, so that nothing unpacked by another program is linked. Post-link scripts of
    packages are not run. Raises `Failed` or `Outside`.
    """
    platform = channels.current_subdir()
    packages = locked_for(lock, platform)
    if _is_installed(prefix, packages):
        progress("every package of the lock is installed")
        return
    places = fetch_packages(lock, packages, bundle=bundle, progress=progress)
    unpacked, wheels = prefix / UNPACKED, [package for package in packages if package.pip]
    try:
        _start(prefix)
        run_rattler(
            "install",
            progress=progress,
            packages=[{"path": str(places[package.key])} for package in packages if not package.pip],
            prefix=str(prefix),
            platform=platform,
            cache=str(unpacked),
        )
        _write_channels(prefix, packages)
        shutil.rmtree(unpacked, ignore_errors=True)
        if wheels:
            _add_wheels(lock, wheels, places, prefix, progress)
        seal(prefix)
    except OSError as error:
        raise Outside(f"cannot write: {error.strerror}", file=prefix) from None
    finally:
        shutil.rmtree(unpacked, ignore_errors=True)


def with_micromamba(lock: Lock, root: Path, prefix: Path, progress: Progress) -> None:
    """Install the lock with micromamba. Raises `Outside` where it is missing or fails."""
    program = shutil.which("micromamba")
    if program is None:
        raise Outside("micromamba is not on this machine", hint="beampermit env install")
    packages = locked_for(lock, channels.current_subdir())
    if any(package.pip for package in packages):
        raise BadInput("the lock has packages of pip, which micromamba leaves to pip", hint="beampermit env install")
    if _is_installed(prefix, packages):
        progress("every package of the lock is installed")
        return
    _start(prefix)
    progress("installing the lock with micromamba")
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
            *(part for name in categories for part in ("--category", name)),
        ],
        cwd=root,
        # What lies in a cache of packages is not hashed again.
        env={"CONDA_PKGS_DIRS": str(cache_folder() / "micromamba")},
    )
    if finished.code:
        raise Outside(f"micromamba failed: {finished.tail}")
    seal(prefix)


def _add_wheels(lock: Lock, wheels: list[Package], places: Places, prefix: Path, progress: Progress) -> None:
    """Install the packages of the `pip:` section from files that were hashed, over conda's where those have the same.

    Sources are built by what is in the environment: nothing else is fetched. Raises `Failed`.
    """
    progress(f"installing {counted(len(wheels), 'package')} of pip")
    prefix = prefix.absolute()
    with tempfile.TemporaryDirectory(dir=prefix.parent) as folder:
        requirements, links = Path(folder) / "requirements.txt", Path(folder) / "files"
        links.mkdir()
        for package in wheels:
            shutil.copyfile(places[package.key], links / package.artifacts[0].file_name)
        lines = (f"{one.name}=={one.version} --hash=sha256:{one.artifacts[0].sha256}\n" for one in wheels)
        requirements.write_text("".join(lines), encoding="utf-8")
        place = ["--python", python_in(prefix), "--prefix", prefix, "--find-links", links, "-r", requirements]
        finished = call(["pip", "install", *AS_LOCKED, *place], cwd=prefix, env={"UV_OFFLINE": "1"})
    (prefix / ".lock").unlink(missing_ok=True)
    if finished.code:
        raise Failed(
            f"the packages of pip cannot be installed: {shorten(finished.err)}",
            file=lock.file,
            hint="list what builds them, such as setuptools, in environment.yml, then run `beampermit env lock`",
        )
    remember_wheels(prefix, wheels)


def _start(prefix: Path) -> None:
    """Make an empty prefix, marked as ours; what a killed run left is removed."""
    if made_by_us(prefix):
        _remove(prefix)
    if prefix.exists() and (not prefix.is_dir() or any(prefix.iterdir())):
        raise BadInput("the folder is not an environment of beampermit; nothing was changed", file=prefix)
    (prefix / MARK).parent.mkdir(parents=True)
    (prefix / MARK).touch()


def _remove(prefix: Path) -> None:
    """Remove the prefix; the process of a run that was killed a moment ago may still write into it."""
    for _ in range(TRIES):
        with suppress(FileNotFoundError):
            shutil.rmtree(prefix)
            return
        time.sleep(0.1)
    shutil.rmtree(prefix, ignore_errors=True)


def _is_installed(prefix: Path, packages: tuple[Package, ...]) -> bool:
    """Whether exactly these packages are linked, by their records. Their files are compared later, by `installed`."""
    if not made_by_us(prefix):
        return False
    try:
        if not is_sealed(prefix):
            return False
        records = [json.loads(path.read_bytes()) for path in (prefix / "conda-meta").glob("*.json")]
    except (BadInput, ValueError):
        return False
    linked = {(record.get("fn"), record.get("sha256")) for record in records}
    conda = [package.artifacts[0] for package in packages if not package.pip]
    wheels = [package for package in packages if package.pip]
    return linked == {(artifact.file_name, artifact.sha256) for artifact in conda} and has_wheels(prefix, wheels)


def _write_channels(prefix: Path, packages: tuple[Package, ...]) -> None:
    """Write the channel into each package's record, instead of the folder where its archive was unpacked."""
    by_file = {package.artifacts[0].file_name: package for package in packages}
    for path in (prefix / "conda-meta").glob("*.json"):
        record = json.loads(path.read_bytes())
        package = by_file.get(record.get("fn", ""))
        if package is not None:
            record |= {"url": package.artifacts[0].address, "channel": package.source}
            for key in ("extracted_package_dir", "link"):
                record.pop(key, None)
            write_text(path, json.dumps(record, indent=2) + "\n")
