"""What the channels say today of what is locked: packages that were yanked, or are another file now."""

from __future__ import annotations

from collections.abc import Iterator

from beampermit.environments.backend import Lock, Problem, Watch
from beampermit.environments.conda_lock import channels, lockfile
from beampermit.environments.conda_lock.cache import repodata_folder
from beampermit.environments.conda_lock.rattler_process import ask


def problems(lock: Lock, watch: Watch) -> Iterator[Problem]:
    """Locked packages that their channel no longer has, or has with another hash. Raises `Outside`."""
    watch("asking the channels")
    served = ask(
        "lookup",
        watch=watch,
        channels=[channels.with_secrets(source) for source in lock.sources],
        platforms=list(lockfile.platforms(lock)),
        names=sorted({package.name for package in lock.packages}),
        cache=str(repodata_folder()),
    )
    for package in lock.packages:
        artifact = package.artifacts[0]
        found = served.get(channels.with_secrets(artifact.address))
        if found is None:
            yield Problem(
                f"{package} {package.build} is no longer in {package.source}: it was yanked", lock.file, package.line
            )
        elif found["sha256"] and found["sha256"] != artifact.sha256:
            yield Problem(
                f"{package} {package.build} has the sha256 {found['sha256']} in {package.source} now, locked is "
                f"{artifact.sha256}",
                lock.file,
                package.line,
            )
