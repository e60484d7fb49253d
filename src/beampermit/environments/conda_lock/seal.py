"""A seal a platform in the lock's own `custom_metadata`: an entry that was edited by hand no longer fits it.

It binds what no other entry of the lock repeats: hashes, URLs, dependencies. It keeps out mistakes and careless hands;
what is put there by someone who also writes a new seal is caught when the files are fetched, or by `--online`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from beampermit.digest import digest_json
from beampermit.environments.backend import Lock, Problem

PREFIX = "beampermit-"


def seals(entries: Iterable[dict[str, Any]], platforms: Iterable[str]) -> dict[str, str]:
    """The seal of each platform, by its key in `custom_metadata`."""
    by_platform: dict[str, list[dict[str, Any]]] = {platform: [] for platform in platforms}
    for entry in entries:
        by_platform.setdefault(entry["platform"], []).append(entry)
    return {
        f"{PREFIX}{platform}": digest_json(sorted(found, key=lambda entry: (entry["name"], entry["category"])))
        for platform, found in by_platform.items()
    }


def broken(lock: Lock) -> Iterator[Problem]:
    """Platforms whose packages are not what was sealed. A lock that conda-lock wrote itself bears no seal."""
    metadata = lock.content["metadata"]
    custom = metadata.get("custom_metadata")
    written = {key: seal for key, seal in custom.items() if key.startswith(PREFIX)} if isinstance(custom, dict) else {}
    if not written:
        return
    found = seals(lock.content["package"], metadata["platforms"])
    for key in sorted(found.keys() | written.keys()):
        if found.get(key) != written.get(key):
            yield Problem(
                f"the packages for {key.removeprefix(PREFIX)} were changed after `beampermit env lock` wrote them",
                lock.file,
                lock.line_of(key),
            )
