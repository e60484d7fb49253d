"""Finds the packages for each platform with rattler, and keeps what need not move."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from beampermit.environments.backend import Lock, Specification
from beampermit.environments.conda_lock import channels
from beampermit.environments.conda_lock.packages import repodata_folder
from beampermit.environments.conda_lock.rattler_process import ask
from beampermit.errors import BadInput
from beampermit.progress import Progress

EVERYTHING = "*"
"""Named as a package to update: nothing is kept."""


Records = dict[str, list[dict[str, Any]]]
"""The channels' records of the packages, by platform."""


@dataclass(frozen=True)
class Wanted:
    """A variant to be solved for: its virtual packages, and its lock as it was."""

    variant: str
    repodata: Any
    before: Lock | None


def solve(
    specification: Specification, variants: Sequence[Wanted], update: Sequence[str], progress: Progress
) -> list[Records]:
    """The packages of each variant for each platform.

    Raises `Failed` where no solution exists, `BadInput` for an unknown channel, `Outside` where one is down.
    """
    asked, root = specification.content["asked"], specification.content["root"]
    addresses = [address for channel in asked.channels for address in channels.addresses(channel.url, root)]
    if not addresses:
        raise BadInput("channels: no channel is named", file=specification.file)
    _refuse_unknown([wanted.before for wanted in variants if wanted.before], update)
    tasks = [_task(asked, wanted, platform, update) for wanted in variants for platform in asked.dependencies]
    for number, task in enumerate(tasks, 1):
        task["words"] += f" ({number} of {len(tasks)})"
    plain = [channels.with_secrets(address) for address in addresses]
    solved = ask("solve", progress=progress, channels=plain, tasks=tasks, cache=str(repodata_folder()))
    found = iter(solved)
    return [
        {platform: [_without_secrets(record, addresses) for record in next(found)] for platform in asked.dependencies}
        for _ in variants
    ]


def _task(asked: Any, wanted: Wanted, platform: str, update: Sequence[str]) -> dict[str, Any]:
    return {
        "words": f"solving for {platform}{f', {wanted.variant}' if wanted.variant else ''}",
        "platform": platform,
        "specs": [_words(dependency) for dependency in asked.dependencies[platform]],
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
    """URL and sha256 of what is to stay where it can."""
    if before is None or EVERYTHING in update:
        return {}
    return {
        channels.with_secrets(package.artifacts[0].address): package.artifacts[0].sha256
        for package in before.packages
        if package.platform == platform and package.name not in update and package.artifacts[0].sha256
    }


def _words(dependency: Any) -> str:
    """A dependency as a match specification."""
    channel = f"{dependency.conda_channel}::" if dependency.conda_channel else ""
    version = dependency.version or ("*" if dependency.build else "")
    return f"{channel}{dependency.name} {version} {dependency.build or ''}".strip()


def _virtual(repodata: Any, platform: str) -> list[tuple[str, str, str]]:
    """Name, version and build of each virtual package; of `__osx`, which conda-lock lists twice, the newer."""
    found: dict[str, tuple[str, str, str]] = {}
    for entry in repodata.all_repodata.get(platform, {}).get("packages", {}).values():
        new = (entry["name"], entry["version"], entry["build_string"] or "0")
        old = found.get(new[0])
        if old is None or [int(part) for part in old[1].split(".")] < [int(part) for part in new[1].split(".")]:
            found[new[0]] = new
    return list(found.values())
