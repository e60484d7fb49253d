"""What a lock installs on one machine, and how large that is, told from the lock without a network."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from beampermit.cache import cache_folder
from beampermit.environments.backend import Artifact, Lock, Package
from beampermit.environments.conda_lock.lockfile import platforms as locked_platforms
from beampermit.environments.conda_lock.packages import archive
from beampermit.environments.cuda import holds_cuda
from beampermit.environments.platforms import SUBDIRS, TAGS, current_platform, fits, world_of
from beampermit.environments.uv.installed import excluded, locked_for
from beampermit.environments.uv.lockfile import own_package
from beampermit.environments.uv.specification import variants_of
from beampermit.errors import BadInput, counted
from beampermit.verdicts.evidence import Installs

UNITS = ((10**9, "GB"), (10**6, "MB"), (10**3, "kB"))


def is_conda(lock: Lock) -> bool:
    """Whether the lock has a solution for each platform, as those of conda have."""
    return any(package.platform for package in lock.packages)


def inventory(lock: Lock, root: Path, platforms: Sequence[str] = ()) -> tuple[Installs, ...]:
    """What each variant of the lock installs on each platform of the contract.

    Without `platforms`, those of a conda lock count, or this machine's. `root` is the project's folder.
    """
    parts = _of_conda(lock, platforms) if is_conda(lock) else _of_uv(lock, platforms or (current_platform(),))
    return tuple(_counted(root, *part) for part in parts)


def describe(installs: Installs) -> str:
    """Such as `61 packages, 412 MB to download, no CUDA`."""
    size = f"{_amount(installs.size)} to download" if installs.size else "of unknown size"
    if installs.size and installs.unsized:
        first, *others = installs.unsized
        size = f"{size} besides {counted(len(others) + 1, 'package') if others else first} of unknown size"
    cuda = f"{installs.cuda} of them CUDA" if installs.cuda else "no CUDA"
    return f"{counted(installs.packages, 'package')}, {size}, {cuda}"


def describe_all(several: Sequence[Installs]) -> str:
    """One line for all of them; the machine is named where there are several."""
    if len(several) == 1:
        return describe(several[0])
    return "; ".join(f"{one.machine}: {describe(one)}" for one in several) or "nothing that can be installed at once"


def _of_conda(lock: Lock, platforms: Iterable[str]) -> Iterator[tuple[str, str, list[Package]]]:
    wanted = [SUBDIRS.get(platform, platform) for platform in platforms]
    for one in lock.all:
        for subdir in wanted or locked_platforms(one):
            yield subdir, one.variant, [package for package in one.packages if package.platform == subdir]


def _of_uv(lock: Lock, platforms: Iterable[str]) -> Iterator[tuple[str, str, list[Package]]]:
    if own_package(lock) is None or excluded(lock):
        return
    for platform in filter(TAGS.__contains__, platforms):
        for variant in variants_of(lock) or ("",):
            try:
                packages = locked_for(replace(lock, variant=variant), world_of(lock, platform))
            except BadInput:
                return  # a marker that nobody can judge, which ENV002 and ENV003 name
            yield platform, variant, packages


def _counted(root: Path, platform: str, variant: str, packages: Sequence[Package]) -> Installs:
    sizes = {str(package): _size(package, platform, root) for package in packages}
    return Installs(
        platform=platform,
        variant=variant,
        packages=len(packages),
        size=sum(size or 0 for size in sizes.values()),
        unsized=tuple(sorted(name for name, size in sizes.items() if size is None)),
        cuda=sum(map(holds_cuda, packages)),
    )


def _size(package: Package, platform: str, root: Path) -> int | None:
    """Bytes of the file that is installed: of several wheels that fit, the largest."""
    wheels = [one for one in package.artifacts if one.file_name.endswith(".whl")]
    fitting = [one for one in wheels if platform not in TAGS or fits(one.file_name, platform)]
    sources = [one for one in package.artifacts if one not in wheels]
    sizes = [_bytes(artifact, root) for artifact in fitting or sources]
    return max(filter(None, sizes), default=None)


def _bytes(artifact: Artifact, root: Path) -> int | None:
    if artifact.size is not None:
        return artifact.size
    fetched = archive(cache_folder() / "conda" / "packages", artifact.sha256 or "", artifact.file_name)
    place = root / artifact.address if artifact.local else fetched
    try:
        return place.stat().st_size
    except OSError:
        return None


def _amount(size: int) -> str:
    for unit, name in UNITS:
        if size >= unit:
            number = size / unit
            return f"{number:.1f} {name}" if number < 10 else f"{number:.0f} {name}"
    return counted(size, "byte")
