"""Where packages and channels' indexes are kept for this user: archives by their sha256, hashed again at each use."""

from __future__ import annotations

from pathlib import Path

from beampermit.cache import cache_folder


def repodata_folder() -> Path:
    """Where the channels' indexes are kept; rattler asks the channel whether they are still the newest."""
    return cache_folder() / "conda" / "repodata"


def archive(packages: Path, sha256: str, file_name: str) -> Path:
    """Where an archive lies in a folder of packages."""
    return packages / sha256 / file_name


def packages_folder() -> Path:
    """Where archives are kept. Nothing in it is trusted: whoever takes one hashes it."""
    return cache_folder() / "conda" / "packages"
