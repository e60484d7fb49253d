"""Solves for each platform with rattler; locked packages that need not move stay."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from beampermit.environments.backend import Lock, Specification
from beampermit.environments.conda_lock import channels
from beampermit.environments.conda_lock.conda_lock_api import conda_lock_module
from beampermit.environments.conda_lock.packages import repodata_folder
from beampermit.environments.conda_lock.rattler_process import RESOLVE, run_rattler
from beampermit.environments.conda_lock.specification import virtual_packages
from beampermit.errors import BadInput, Failed, Outside, one_line
from beampermit.progress import Progress

NAMES = "BEAMPERMIT_PYPI_NAMES"
"""A file or an address of conda-lock's table of conda and Python names, where its own cannot be reached."""
OFFLINE = f"check the network, or name a copy of conda-lock's table of names in {NAMES}"
EVERYTHING = "*"
"""As a package to update: every package may move."""
Records = dict[str, list[dict[str, Any]]]
"""The channels' package records by platform."""


@dataclass(frozen=True)
class Wanted:
    """A variant to solve for: its virtual packages and its previous lock."""

    variant: str
    repodata: Any
    before: Lock | None


def solve(
    specification: Specification, variants: Sequence[Wanted], update: Sequence[str], progress: Progress
) -> list[Records]:
    """Give the packages of each variant for each platform.

    Raises `Failed` where there is no solution, `BadInput` for an unknown channel, `Outside` where one is down.
    """
    required, root = specification.content["required"], specification.content["root"]
    addresses = channels.of(required, root)
    if not addresses:
        raise BadInput("channels: is missing or empty", file=specification.file)
    _refuse_unknown([wanted.before for wanted in variants if wanted.before], update)
    tasks = [_task(required, wanted, platform, update) for wanted in variants for platform in required.dependencies]
    for number, task in enumerate(tasks, 1):
        task["step"] += f" ({number} of {len(tasks)})"
    plain = [channels.with_secrets(address) for address in addresses]
    solved = run_rattler("solve", progress=progress, channels=plain, tasks=tasks, cache=str(repodata_folder()))
    results = iter(solved)
    return [
        {
            platform: [_without_secrets(record, addresses) for record in next(results)]
            for platform in required.dependencies
        }
        for _ in variants
    ]


def _task(required: Any, wanted: Wanted, platform: str, update: Sequence[str]) -> dict[str, Any]:
    return {
        "step": f"solving for {platform}{f', {wanted.variant}' if wanted.variant else ''}",
        "platform": platform,
        "specs": [_match_spec(one) for one in required.dependencies[platform] if one.manager == "conda"],
        "virtual": [(name, *package) for name, package in virtual_packages(wanted.repodata, platform).items()],
        "keep": _keep(wanted.before, platform, update),
    }


def _without_secrets(record: dict[str, Any], addresses: list[str]) -> dict[str, Any]:
    return {**record, "url": channels.without_secrets(record["url"], addresses)}


def _refuse_unknown(locks: list[Lock], update: Sequence[str]) -> None:
    for name in update:
        if name != EVERYTHING and locks and not any(lock.named(name) for lock in locks):
            raise BadInput(f"{name!r} is not in the lock, so it cannot be updated", file=locks[0].file)


def _keep(before: Lock | None, platform: str, update: Sequence[str]) -> dict[str, str]:
    """URL and sha256 of the packages that stay where they can."""
    if before is None or EVERYTHING in update:
        return {}
    return {
        channels.with_secrets(package.artifacts[0].address): package.artifacts[0].sha256
        for package in before.packages
        if package.platform == platform and package.name not in update and package.artifacts[0].sha256
        if not package.pip
    }


def _match_spec(dependency: Any) -> str:
    channel = f"{dependency.conda_channel}::" if dependency.conda_channel else ""
    version = dependency.version or ("*" if dependency.build else "")
    return f"{channel}{dependency.name} {version} {dependency.build or ''}".strip()


def solve_pip(
    specification: Specification,
    wanted: Wanted,
    platform: str,
    conda: list[Any],
    update: Sequence[str],
    progress: Progress,
) -> list[Any]:
    """The packages of the `pip:` sections that conda does not have, as conda-lock itself solves and writes them.

    `conda` are its records of the platform's conda packages. Raises `Failed`, `BadInput` or `Outside`.
    """
    required, file = specification.content["required"], specification.file
    requested = {one.name: one for one in required.dependencies[platform] if one.manager == "pip"}
    if not requested:
        return []
    locked = {package.name: package for package in conda}
    if "python" not in locked:
        raise BadInput("a `pip:` section needs `python` among the dependencies", file=file)
    progress(f"solving for {platform}{f', {wanted.variant}' if wanted.variant else ''}: packages of pip")
    module = conda_lock_module("pypi_solver")
    with _in_our_words(file):
        solved = module.solve_pypi(
            pip_specs=requested,
            use_latest=[name for name in update if name != EVERYTHING],
            pip_locked=_kept_of_pip(wanted.before, platform, update),
            conda_locked=locked,
            python_version=locked["python"].version,
            platform=platform,
            platform_virtual_packages=wanted.repodata.all_repodata.get(platform, {}).get("packages"),
            pip_repositories=required.pip_repositories,
            allow_pypi_requests=required.allow_pypi_requests,
            mapping_url=os.environ.get(NAMES) or conda_lock_module("lookup").DEFAULT_MAPPING_URL,
        )
    for package in solved.values():
        if package.source is not None or not package.hash.sha256:
            raise Failed(
                f"{package.name} {package.version} comes from {package.url} without a sha256 of an index",
                file=file,
                hint="take it from an index, or list it as a conda package, then run `beampermit env lock`",
            )
    return list(solved.values())


def _kept_of_pip(before: Lock | None, platform: str, update: Sequence[str]) -> dict[str, Any]:
    """The packages of pip that stay where they can, as conda-lock's own records."""
    model = conda_lock_module("lockfile.v2prelim.models")
    packages = before.packages if before and EVERYTHING not in update else ()
    return {
        one.name: model.LockedDependency(
            name=one.name,
            version=one.version,
            manager="pip",
            platform=platform,
            url=one.artifacts[0].address,
            hash=model.HashModel(sha256=one.artifacts[0].sha256),
        )
        for one in packages
        if one.pip and one.source and one.platform == platform
    }


@contextmanager
def _in_our_words(file: str) -> Iterator[None]:
    """Turn what conda-lock's solver of Python packages raises into our errors."""
    from requests import RequestException

    problem = conda_lock_module("_vendor.poetry.puzzle.exceptions").SolverProblemError
    repositories = conda_lock_module("_vendor.poetry.repositories.exceptions")
    try:
        yield
    except RequestException as error:
        raise Outside(f"an index or the table of names cannot be reached: {one_line(error)}", hint=OFFLINE) from None
    except (problem, repositories.PackageNotFoundError, ValueError) as error:
        raise Failed(f"no solution: {one_line(error)}", file=file, hint=RESOLVE) from None
    except (repositories.RepositoryError, OSError) as error:
        raise Outside(f"an index or the table of names cannot be read: {one_line(error)}", hint=OFFLINE) from None
