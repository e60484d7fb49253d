"""For which platforms the requirements are not those that a lock was made for, by the hashes that conda-lock writes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from beampermit.environments.backend import Lock
from beampermit.environments.conda_lock import lockfile
from beampermit.environments.conda_lock.conda_lock_api import conda_lock_module
from beampermit.environments.conda_lock.specification import virtual_repodata

OLDEST_GLIBC = "2.17"
"""What conda-lock assumed of machines before 2.5.2, where no file says it."""


def repodata_of_lock(root: Path, required: Any, lock: Lock) -> Any:
    """What machines offer, as the lock was made for: `conda-lock --without-cuda` is in no file."""
    repodata = virtual_repodata(root, lock.variant)
    if lockfile.virtual_packages_file(root, lock.variant) or not changed_platforms(root, required, repodata, lock):
        return repodata
    without = conda_lock_module("virtual_package").default_virtual_package_repodata(cuda_version="")
    return repodata if changed_platforms(root, required, without, lock) else without


def changed_platforms(root: Path, required: Any, repodata: Any, lock: Lock) -> list[str]:
    """The platforms whose requirements are not those that the lock was made for, as its conda-lock wrote them."""
    module, made_for = conda_lock_module("content_hash"), lock.content["metadata"]["content_hash"]
    now = module.compute_content_hashes(required, repodata)
    changed = [platform for platform in required.dependencies if made_for.get(platform) != now[platform]]
    assumed = lockfile.virtual_packages_file(root, lock.variant) is None
    offered = [repodata, *([_with_oldest_glibc(repodata)] if assumed else [])]
    return [
        platform
        for platform in changed
        if not any(
            made_for.get(platform) in module.backwards_compatible_content_hashes(spelled, machines, platform)
            for machines in (_of_platform(one, platform) for one in offered)
            for spelled in _spellings(required, platform)
        )
    ]


def _spellings(required: Any, platform: str) -> Iterator[Any]:
    """The requirements for one platform, as each conda-lock since 2.0 writes them into the hash."""
    for single_equals in (False, True):
        for hashed in (True, False):
            spelled = [
                _Spelled(one, single_equals=single_equals, hashed=hashed) for one in required.dependencies[platform]
            ]
            yield required.model_copy(update={"dependencies": {platform: spelled}})


@dataclass(frozen=True)
class _Spelled:
    """A dependency as an earlier conda-lock wrote it: before 3.0 with `=1.0` for `==1.0` of pip, before 2.5.7 without
    the field `hash`."""

    dependency: Any
    single_equals: bool
    hashed: bool

    @property
    def name(self) -> str:
        return self.dependency.name

    @property
    def manager(self) -> str:
        return self.dependency.manager

    def model_dump(self) -> dict[str, Any]:
        """What conda-lock's hash is made from."""
        fields = self.dependency.model_dump()
        if self.single_equals and self.manager == "pip" and "version" in fields:
            fields["version"] = fields["version"].replace("===", "=").replace("==", "=")
        if not self.hashed and fields.get("hash") is None:
            fields.pop("hash", None)
        return fields


def _of_platform(repodata: Any, platform: str) -> Any:
    """All that the hash for a platform is made from. conda-lock copies it again and again, those of others with it."""
    kept = {name: subdir for name, subdir in repodata.all_repodata.items() if name in {"noarch", platform}}
    return repodata.model_copy(update={"all_repodata": kept})


def _with_oldest_glibc(repodata: Any) -> Any:
    copy = repodata.model_copy(deep=True)
    for subdir in copy.all_repodata.values():
        packages = subdir.get("packages", {})
        for file, package in list(packages.items()):
            if package["name"] == "__glibc":
                packages[file.replace(package["version"], OLDEST_GLIBC)] = package | {"version": OLDEST_GLIBC}
                del packages[file]
    return copy
