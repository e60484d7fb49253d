"""Solves for each platform with rattler; locked packages that need not move stay."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from beampermit.environments.backend import Lock, Specification
from beampermit.environments.conda_lock import channels
from beampermit.environments.conda_lock.packages import repodata_folder
from beampermit.environments.conda_lock.rattler_process import run_rattler
from beampermit.errors import BadInput
from beampermit.progress import Progress

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
    addresses = [address for channel in required.channels for address in channels.addresses(channel.url, root)]
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
        "specs": [_match_spec(dependency) for dependency in required.dependencies[platform]],
        "virtual": _virtual(wanted.repodata, platform),
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
    }


def _match_spec(dependency: Any) -> str:
    channel = f"{dependency.conda_channel}::" if dependency.conda_channel else ""
    version = dependency.version or ("*" if dependency.build else "")
    return f"{channel}{dependency.name} {version} {dependency.build or ''}".strip()


def _virtual(repodata: Any, platform: str) -> list[tuple[str, str, str]]:
    """Name, version and build of each virtual package; of `__osx`, which conda-lock lists twice, the newer."""
    packages: dict[str, tuple[str, str, str]] = {}
    for entry in repodata.all_repodata.get(platform, {}).get("packages", {}).values():
        new = (entry["name"], entry["version"], entry["build_string"] or "0")
        old = packages.get(new[0])
        if old is None or [int(part) for part in old[1].split(".")] < [int(part) for part in new[1].split(".")]:
            packages[new[0]] = new
    return list(packages.values())
