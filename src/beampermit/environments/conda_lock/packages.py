"""The archives that a conda lock names: fetched once, and hashed before each use."""

from __future__ import annotations

from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from beampermit.cache import cache_folder
from beampermit.digest import has_sha256
from beampermit.environments.backend import Lock, Package
from beampermit.environments.conda_lock import channels, lockfile
from beampermit.environments.conda_lock.rattler_process import run_rattler
from beampermit.errors import BadInput, Failed, Outside, Problem, counted
from beampermit.progress import Progress

HASHERS = 4
Places = dict[tuple[str, str, str], Path]
"""Key of a package -> its archive."""


def repodata_folder() -> Path:
    """Where the channels' indexes are kept; rattler asks the channel whether they are still the newest."""
    return cache_folder() / "conda" / "repodata"


def archive(folder: Path, sha256: str, file_name: str) -> Path:
    """Where an archive is in a folder of packages: the cache or a bundle."""
    return folder / sha256 / file_name


def locked_for(lock: Lock, platform: str) -> tuple[Package, ...]:
    """The packages that the lock has for a platform, in all categories. Raises `Failed` where it has none."""
    packages = tuple(package for package in lock.packages if package.platform == platform)
    if not packages:
        known = ", ".join(lockfile.platforms(lock)) or "no platform"
        raise Failed(
            f"the lock is for {known} and this machine is {platform}",
            file=lock.file,
            hint="add the platform to `platforms:` in environment.yml, then run `beampermit env lock`",
        )
    return packages


def fetch_packages(lock: Lock, wanted: Iterable[Package], *, bundle: Path | None = None, progress: Progress) -> Places:
    """Fetch the archives that are not in the cache yet; give their paths by the package's key.

    With `bundle`, they are taken from there alone. All are hashed, also those in the cache. Raises `Failed` for an
    archive with a wrong sha256, `Outside` for one that cannot be fetched.
    """
    packages = tuple(wanted)
    for package in packages:
        _refuse_unhashed(lock, package)
    folder = bundle or cache_folder() / "conda" / "packages"
    places = {package.key: archive(folder, _sha256(package), package.artifacts[0].file_name) for package in packages}
    progress(f"hashing {counted(len(packages), 'package')}")
    missing = [package for package, verified in zip(packages, _verified(packages, places), strict=True) if not verified]
    if missing and bundle:
        raise _not_in_bundle(lock, missing, places, bundle)
    if missing:
        _fetch(lock, missing, places, progress)
    return places


def _fetch(lock: Lock, missing: list[Package], places: Places, progress: Progress) -> None:
    files = []
    for package in missing:
        artifact = package.artifacts[0]
        url = channels.with_secrets(artifact.address)
        local = channels.local_path(url)
        if local is not None and not local.is_file():
            raise Outside(f"{package}: {local} is not on this machine", file=lock.file, line=package.line)
        files.append(
            {
                "name": str(package),
                "url": url,
                "local": str(local) if local else None,
                "sha256": _sha256(package),
                "path": str(places[package.key]),
            }
        )
    progress(f"fetching {counted(len(files), 'package')}")
    wrong = run_rattler("fetch", progress=progress, files=files)
    if wrong:
        lines = {str(package): package.line for package in missing}
        first, *others = (
            Problem(
                f"{one['name']} has a wrong sha256: {one['found']} ({one['size']} bytes), locked is {one['sha256']}",
                lock.file,
                lines.get(one["name"]),
            )
            for one in sorted(wrong, key=lambda one: one["name"])
        )
        raise Failed(first.message, file=lock.file, line=first.line, hint="beampermit env lock", also=others)


def _verified(packages: tuple[Package, ...], places: Places) -> list[bool]:
    with ThreadPoolExecutor(HASHERS) as pool:
        return list(pool.map(lambda package: has_sha256(places[package.key], _sha256(package)), packages))


def _sha256(package: Package) -> str:
    return package.artifacts[0].sha256 or ""


def _refuse_unhashed(lock: Lock, package: Package) -> None:
    if package.pip and package.source is None:
        raise Failed(
            f"{package} is {package.origin}, not of an index, so nobody can tell whether it is the locked one",
            file=lock.file,
            line=package.line,
            hint="take it from an index, or list it as a conda package, then run `beampermit env lock`",
        )
    if not package.artifacts[0].sha256:
        raise Failed(f"{package} is locked without a sha256", file=lock.file, line=package.line, hint=lockfile.RELOCK)
    if package.artifacts[0].named is None or package.source is None:
        raise BadInput(
            f"{package}: {package.artifacts[0].file_name} is not a package file",
            file=lock.file,
            line=package.line,
            hint=lockfile.RELOCK,
        )


def _not_in_bundle(lock: Lock, missing: list[Package], places: Places, bundle: Path) -> Failed:
    first, *others = (
        Problem(
            f"{places[package.key].relative_to(bundle)} of the bundle is missing or not the locked file",
            lock.file,
            package.line,
        )
        for package in missing
    )
    return Failed(
        first.message,
        file=lock.file,
        line=first.line,
        hint="run `beampermit env bundle` on a machine with a network",
        also=others,
    )


def bundled(lock: Lock, platform: str, progress: Progress) -> dict[str, Path]:
    """Path in the bundle -> archive on this machine. Raises `Failed` for a wrong sha256, `Outside` for the network."""
    places = fetch_packages(lock, locked_for(lock, platform), progress=progress).values()
    return {archive(Path(), place.parent.name, place.name).as_posix(): place for place in places}
