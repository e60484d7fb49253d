"""What goes into the bundle of a conda lock: the archives of one platform, by their sha256."""

from __future__ import annotations

from pathlib import Path

from beampermit.environments.backend import Lock, Watch
from beampermit.environments.conda_lock.cache import archive
from beampermit.environments.conda_lock.packages import bring, meant


def bundled(lock: Lock, platform: str, watch: Watch) -> dict[str, Path]:
    """Path in the bundle -> archive on this machine, hashed.

    Raises `Tripped` for an archive that is not the locked one, `Outside` for what cannot be had.
    """
    places = bring(lock, meant(lock, platform), watch=watch).values()
    return {archive(Path(), place.parent.name, place.name).as_posix(): place for place in places}
