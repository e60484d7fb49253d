"""Writes a lock with conda-lock's own models, so that its tools take it for one of theirs."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from beampermit.digest import digest_json
from beampermit.environments.backend import Lock, Specification
from beampermit.environments.conda_lock.solve import Records, Wanted
from beampermit.environments.conda_lock.theirs import their
from beampermit.environments.conda_lock.variants import lock_file
from beampermit.errors import Outside, Problem

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


def text_of(specification: Specification, wanted: Wanted, records: Records) -> str:
    """The text of the lock of one variant."""
    models, asked = their("lockfile.v2prelim.models"), specification.content["asked"]
    packages = [package for platform in records for package in _locked(asked, platform, records[platform])]
    meta = {
        "content_hash": their("content_hash").compute_content_hashes(asked, wanted.repodata),
        "channels": list(asked.channels),
        "platforms": list(asked.dependencies),
        "sources": [source.path for source in specification.content["sources"]],
    }
    bare = models.Lockfile(package=packages, metadata=models.LockMeta(**meta))
    bare.alphasort_inplace()
    entries = bare.to_v1().dict_for_output()["package"]
    custom = {**_kept(wanted.before), **seals(entries, asked.dependencies)}
    return _written(
        models.Lockfile(package=packages, metadata=models.LockMeta(**meta, custom_metadata=custom)), wanted.variant
    )


def _locked(asked: Any, platform: str, records: list[dict[str, Any]]) -> list[Any]:
    """The packages of one platform, each with the categories that need it."""
    models, lockfile = their("lockfile.v2prelim.models"), their("lockfile")
    for record in records:
        if not (record.get("md5") and record.get("sha256")):
            raise Outside(f"the channel gives no md5 and sha256 for {record['url']}, so it cannot be locked")
    planned = {
        record["name"]: models.LockedDependency(
            name=record["name"],
            version=record["version"],
            manager="conda",
            platform=platform,
            dependencies=_needs(record.get("depends", ())),
            url=record["url"],
            hash=models.HashModel(md5=record["md5"], sha256=record["sha256"]),
        )
        for record in records
    }
    requested = {dependency.name: dependency for dependency in asked.dependencies[platform]}
    lockfile.apply_categories(requested=requested, planned=planned, mapping_url="")
    return list(planned.values())


def _needs(depends: list[str]) -> dict[str, str]:
    """Name to version specification; several for one name are one, as conda merges them."""
    match = their("_vendor.conda.models.match_spec").MatchSpec
    by_name: dict[str, list[Any]] = {}
    for words in depends:
        found = match(words)
        by_name.setdefault(found.name, []).append(found)
    merged = {name: found[0] if len(found) == 1 else match.merge(found)[0] for name, found in by_name.items()}
    return {name: found.version.spec_str if found.version is not None else "" for name, found in merged.items()}


def _kept(before: Lock | None) -> dict[str, str]:
    """What others wrote into the lock's metadata."""
    custom = before.content["metadata"].get("custom_metadata") if before else None
    return {str(key): str(value) for key, value in (custom or {}).items() if not str(key).startswith(PREFIX)}


def _written(content: Any, variant: str) -> str:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / lock_file(variant)
        their("lockfile").write_conda_lock_file(content, path, metadata_choices=None)
        return path.read_text(encoding="utf-8")
