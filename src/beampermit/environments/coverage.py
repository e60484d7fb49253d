"""Checks that a lock has a solution for each platform and accelerator of the contract."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace

from beampermit.environments.backend import Lock, Package
from beampermit.environments.conda_lock.lockfile import platforms as locked_platforms
from beampermit.environments.cuda import describe_cuda, holds_cuda, to_exchange
from beampermit.environments.inventory import is_conda
from beampermit.environments.platforms import SUBDIRS, TAGS, fits, world_of
from beampermit.environments.uv.installed import excluded, locked_for
from beampermit.environments.uv.lockfile import own_package
from beampermit.environments.uv.specification import variants_of
from beampermit.errors import Problem


def uncovered(lock: Lock, platforms: Iterable[str], accelerators: Iterable[str]) -> Iterator[Problem]:
    """Each platform or accelerator without a solution, with the package that is missing where that is the reason.

    What a machine without a GPU installs holds no CUDA, or it has no solution of its own.
    """
    if is_conda(lock):
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
        yield Problem("there is no lock for cuda: list __cuda in cuda.virtual-packages.yml", "cuda.conda-lock.yml")
    if "cpu" in accelerators:
        for package in lock.packages:
            if any(edge.name == "__cuda" for edge in package.needs):
                yield Problem(
                    f"{package} {package.build} needs a GPU: write a virtual-packages.yml without __cuda",
                    lock.file,
                    package.line,
                )
        for subdir in locked_platforms(lock):
            yield from _cuda(lock, [one for one in lock.packages if one.platform == subdir], f"{subdir} with cpu")


def _cuda(lock: Lock, packages: Sequence[Package], where: str) -> Iterator[Problem]:
    """The packages of a machine without a GPU that hold CUDA."""
    if cuda := [package for package in packages if holds_cuda(package)]:
        line = to_exchange(cuda, packages).line
        yield Problem(f"the lock gives {where} {describe_cuda(cuda, packages)}", lock.file, line)


def _uv(lock: Lock, platforms: Iterable[str], accelerators: set[str]) -> Iterator[Problem]:
    own, variants = own_package(lock), variants_of(lock)
    if "cuda" in accelerators and accelerators != {"cuda"} and "cuda" not in variants:
        yield Problem("the lock has no extra `cuda` for machines with a GPU", lock.file, own.line if own else None)
    chosen = [name for name in variants if name in accelerators]
    if problem := excluded(lock):
        yield problem
        return
    # A machine without an extra of its own gets the plain dependencies.
    plain = [""] if len(chosen) < len(accelerators) else []
    for platform in platforms:
        if platform not in TAGS:
            yield Problem(f"{platform!r} is not a platform; there are {', '.join(TAGS)}", "contract.yaml")
            continue
        for variant in (*plain, *chosen):
            yield from _solution(replace(lock, variant=variant), platform)
        if "cpu" in accelerators:
            cpu = replace(lock, variant="cpu" if "cpu" in chosen else "")
            yield from _cuda(cpu, locked_for(cpu, world_of(cpu, platform)), f"{platform} with cpu")


def _solution(lock: Lock, platform: str) -> Iterator[Problem]:
    """Check one platform with one accelerator: a file for each package, and each package once."""
    where = f"{platform} with {lock.variant}" if lock.variant else platform
    packages: dict[str, Package] = {}
    for package in locked_for(lock, world_of(lock, platform)):
        if package.artifacts and not any(_installable(artifact.file_name, platform) for artifact in package.artifacts):
            yield Problem(f"{package} has no file for {where}", lock.file, package.line)
        other = packages.setdefault(package.name, package)
        if other is not package:
            yield Problem(f"the lock gives {where} both {other} and {package}", lock.file, package.line)


def _installable(file_name: str, platform: str) -> bool:
    return not file_name.endswith(".whl") or fits(file_name, platform)
