"""Compares two locks: packages added, removed or moved to another version."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import Any

from beampermit.environments.backend import Lock, Package


@dataclass(frozen=True)
class Change:
    """One package on some platforms; `before` is empty where it was added, `after` where it was removed."""

    name: str
    before: str
    after: str
    platforms: tuple[str, ...] = ()

    @property
    def kind(self) -> str:
        """`added`, `removed` or `moved`."""
        if not self.before:
            return "added"
        return "moved" if self.after else "removed"

    def as_json(self) -> dict[str, Any]:
        body = {"package": self.name, "change": self.kind, "before": self.before or None, "after": self.after or None}
        return body | {"platforms": list(self.platforms)}


def compare_locks(before: Lock | None, after: Lock | None) -> tuple[Change, ...]:
    """Each package that differs; the same change on several platforms is one."""
    old, new = _versions(before), _versions(after)
    platforms: dict[tuple[str, str, str], list[str]] = defaultdict(list)
    for name, platform in sorted({*old, *new}):
        was, now = old.get((name, platform), ""), new.get((name, platform), "")
        if was != now:
            platforms[name, was, now].append(platform)
    return tuple(
        Change(name, was, now, tuple(filter(None, changed))) for (name, was, now), changed in platforms.items()
    )


def _versions(lock: Lock | None) -> dict[tuple[str, str], str]:
    """The versions, with builds, of each package on each platform."""
    versions: dict[tuple[str, str], list[str]] = defaultdict(list)
    for package in lock.packages if lock else ():
        if not package.own:
            versions[package.name, package.platform].append(_version(package))
    return {key: ", ".join(sorted(several)) for key, several in versions.items()}


def _version(package: Package) -> str:
    return f"{package.version} ({package.build})" if package.build else package.version
