"""Whether a lock covers the platforms and accelerators that the contract names."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from packaging.specifiers import SpecifierSet

from beampermit.environments.backend import Lock, Package, Problem
from beampermit.environments.conda_lock.lockfile import platforms as locked_platforms
from beampermit.environments.uv.lockfile import own_package
from beampermit.environments.uv.solution import meant

SUBDIRS = {
    "linux-x86_64": "linux-64",
    "linux-aarch64": "linux-aarch64",
    "macos-arm64": "osx-arm64",
    "macos-x86_64": "osx-64",
    "windows-x86_64": "win-64",
}
"""The contract's platforms as conda calls them."""
WORLDS = {
    "linux": {"sys_platform": "linux", "platform_system": "Linux", "os_name": "posix"},
    "macos": {"sys_platform": "darwin", "platform_system": "Darwin", "os_name": "posix"},
    "windows": {"sys_platform": "win32", "platform_system": "Windows", "os_name": "nt"},
}
TAGS = {
    "linux-x86_64": r"(many|musl)?linux\w*_x86_64",
    "linux-aarch64": r"(many|musl)?linux\w*_aarch64",
    "macos-arm64": r"macosx_\w+_(arm64|universal2)",
    "macos-x86_64": r"macosx_\w+_(x86_64|universal2|intel)",
    "windows-x86_64": r"win_amd64",
}
"""Platform tags of wheels."""
MINORS = range(9, 30)


def uncovered(lock: Lock, platforms: Iterable[str], accelerators: Iterable[str]) -> Iterator[Problem]:
    """Each platform or accelerator without a solution, with the package that is missing where that is the reason."""
    if any(package.platform for package in lock.packages):
        yield from _conda(lock, platforms, set(accelerators))
    else:
        yield from _uv(lock, platforms, set(accelerators))


def _conda(lock: Lock, platforms: Iterable[str], accelerators: set[str]) -> Iterator[Problem]:
    for one in lock.all:
        for platform in platforms:
            subdir = SUBDIRS.get(platform, platform)
            if subdir not in {package.platform for package in one.packages} & set(locked_platforms(one)):
                yield Problem(
                    f"the lock has no solution for {platform} ({subdir})", one.file, one.line_of("platforms:")
                )
    if "cuda" in accelerators and "cuda" not in {one.variant for one in lock.all} and accelerators != {"cuda"}:
        yield Problem("there is no lock for cuda: name __cuda in cuda.virtual-packages.yml", "cuda.conda-lock.yml")
    if "cpu" in accelerators:
        for package in lock.packages:
            if any(edge.name == "__cuda" for edge in package.needs):
                yield Problem(
                    f"{package} {package.build} needs a GPU: give virtual-packages.yml without __cuda",
                    lock.file,
                    package.line,
                )


def _uv(lock: Lock, platforms: Iterable[str], accelerators: set[str]) -> Iterator[Problem]:
    own = own_package(lock)
    if "cuda" in accelerators and accelerators != {"cuda"} and (own is None or "cuda" not in own.optional):
        yield Problem("the lock has no extra `cuda` for machines with a GPU", lock.file, own.line if own else None)
    for platform in platforms:
        if platform not in TAGS:
            yield Problem(f"{platform!r} is no platform known here; known are {', '.join(TAGS)}", "contract.yaml")
            continue
        for package in meant(lock, _world(lock, platform)):
            if package.artifacts and not _installable(package, platform):
                yield Problem(f"{package} has no file for {platform}", lock.file, package.line)


def _world(lock: Lock, platform: str) -> dict[str, str]:
    """What markers can ask of a Python on a platform, of the oldest version that the lock is for."""
    system, _, machine = platform.partition("-")
    allowed = SpecifierSet(str(lock.content.get("requires-python", "")))
    minor = next((number for number in MINORS if allowed.contains(f"3.{number}.99")), MINORS[0])
    full = next(
        (f"3.{minor}.{patch}" for patch in range(100) if allowed.contains(f"3.{minor}.{patch}")), f"3.{minor}.0"
    )
    return {
        **WORLDS[system],
        "platform_machine": {"windows-x86_64": "AMD64"}.get(platform, machine),
        "platform_release": "",
        "platform_version": "",
        "implementation_name": "cpython",
        "implementation_version": full,
        "platform_python_implementation": "CPython",
        "python_version": f"3.{minor}",
        "python_full_version": full,
    }


def _installable(package: Package, platform: str) -> bool:
    """Whether one of its files is a source, or a wheel for the platform."""
    for artifact in package.artifacts:
        if not artifact.file_name.endswith(".whl"):
            return True
        tags = artifact.file_name.removesuffix(".whl").rpartition("-")[2].split(".")
        if any(tag == "any" or re.fullmatch(TAGS[platform], tag) for tag in tags):
            return True
    return False
