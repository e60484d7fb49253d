"""Writes a lock with conda-lock's own models, so that its tools accept it."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from beampermit.digest import digest_json
from beampermit.environments.backend import Lock, Specification
from beampermit.environments.conda_lock.conda_lock_api import conda_lock_module
from beampermit.environments.conda_lock.lockfile import lock_file
from beampermit.environments.conda_lock.solve import Records, Wanted, solve_pip
from beampermit.errors import Outside, Problem
from beampermit.progress import Progress

PREFIX = "beampermit-"


def seals(entries: Iterable[dict[str, Any]], platforms: Iterable[str]) -> dict[str, str]:
    """A digest of each platform's packages, by its key in `custom_metadata`."""
    by_platform: dict[str, list[dict[str, Any]]] = {platform: [] for platform in platforms}
    for entry in entries:
        by_platform.setdefault(entry["platform"], []).append(entry)
    return {f"{PREFIX}{platform}": digest_json(sorted(listed, key=_place)) for platform, listed in by_platform.items()}


def _place(entry: dict[str, Any]) -> tuple[str, str, str]:
    return entry["name"], entry["category"], entry["manager"]


def broken(lock: Lock) -> Iterator[Problem]:
    """Platforms whose packages do not match their seal. A lock that conda-lock wrote has no seals."""
    metadata = lock.content["metadata"]
    custom = metadata.get("custom_metadata")
    written = {key: seal for key, seal in custom.items() if key.startswith(PREFIX)} if isinstance(custom, dict) else {}
    if not written:
        return
    actual = seals(lock.content["package"], metadata["platforms"])
    for key in sorted(actual.keys() | written.keys()):
        if actual.get(key) != written.get(key):
            yield Problem(
                f"the packages for {key.removeprefix(PREFIX)} were edited after `beampermit env lock` wrote them",
                lock.file,
                lock.line_of(key),
            )


def text_of(
    specification: Specification, wanted: Wanted, records: Records, update: Sequence[str], progress: Progress
) -> str:
    """The text of the lock of one variant. Solves its `pip:` sections; raises as `solve_pip` does."""
    models, required = conda_lock_module("lockfile.v2prelim.models"), specification.content["required"]
    packages: list[Any] = []
    for platform in records:
        conda = _locked(required, platform, records[platform])
        packages += [*conda, *solve_pip(specification, wanted, platform, conda, update, progress)]
    meta = {
        "content_hash": conda_lock_module("content_hash").compute_content_hashes(required, wanted.repodata),
        "channels": list(required.channels),
        "platforms": list(required.dependencies),
        "sources": [source.path for source in specification.content["sources"]],
    }
    bare = models.Lockfile(package=packages, metadata=models.LockMeta(**meta))
    bare.alphasort_inplace()
    entries = bare.to_v1().dict_for_output()["package"]
    custom = {**_kept(wanted.before), **seals(entries, required.dependencies)}
    return _written(
        models.Lockfile(package=packages, metadata=models.LockMeta(**meta, custom_metadata=custom)), wanted.variant
    )


def _locked(required: Any, platform: str, records: list[dict[str, Any]]) -> list[Any]:
    """The packages of one platform, each with the categories that need it."""
    models, lockfile = conda_lock_module("lockfile.v2prelim.models"), conda_lock_module("lockfile")
    for record in records:
        if not (record.get("md5") and record.get("sha256")):
            raise Outside(f"the channel has no md5 and sha256 for {record['url']}, so it cannot be locked")
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
    requested = {one.name: one for one in required.dependencies[platform] if one.manager == "conda"}
    lockfile.apply_categories(requested=requested, planned=planned, mapping_url="")
    return list(planned.values())


def _needs(depends: list[str]) -> dict[str, str]:
    """Name to version specifier; several of one name are merged as conda does."""
    match = conda_lock_module("_vendor.conda.models.match_spec").MatchSpec
    by_name: dict[str, list[Any]] = {}
    for text in depends:
        spec = match(text)
        by_name.setdefault(spec.name, []).append(spec)
    merged = {name: specs[0] if len(specs) == 1 else match.merge(specs)[0] for name, specs in by_name.items()}
    return {name: spec.version.spec_str if spec.version is not None else "" for name, spec in merged.items()}


def _kept(before: Lock | None) -> dict[str, str]:
    """Metadata of the previous lock that other programs wrote."""
    custom = before.content["metadata"].get("custom_metadata") if before else None
    return {str(key): str(value) for key, value in (custom or {}).items() if not str(key).startswith(PREFIX)}


def _written(content: Any, variant: str) -> str:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / lock_file(variant)
        conda_lock_module("lockfile").write_conda_lock_file(content, path, metadata_choices=None)
        return path.read_text(encoding="utf-8")
