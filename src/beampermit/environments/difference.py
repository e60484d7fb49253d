"""What one lock has that another has not: packages that came, went or moved."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import Any

from beampermit.environments.backend import Lock, Package


@dataclass(frozen=True)
class Change:
    """One package on some platforms; `before` or `after` is empty where it was not, or is no longer."""

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
        """For programs."""
        body = {"package": self.name, "change": self.kind, "before": self.before or None, "after": self.after or None}
        return body | {"platforms": list(self.platforms)}


def compare_locks(before: Lock | None, after: Lock | None) -> tuple[Change, ...]:
    """Each package that is not the same in both; the same move on several platforms is one change."""
    old, new = _named(before), _named(after)
    together: dict[tuple[str, str, str], list[str]] = defaultdict(list)
    for name, platform in sorted({*old, *new}):
        one, other = old.get((name, platform), ""), new.get((name, platform), "")
        if one != other:
            together[name, one, other].append(platform)
    return tuple(
        Change(name, one, other, tuple(filter(None, platforms))) for (name, one, other), platforms in together.items()
    )


def _named(lock: Lock | None) -> dict[tuple[str, str], str]:
    """What is locked of each package on each platform, in words that differ where the packages do."""
    found: dict[tuple[str, str], list[str]] = defaultdict(list)
    for package in lock.packages if lock else ():
        if not package.own:
            found[package.name, package.platform].append(_words(package))
    return {key: ", ".join(sorted(several)) for key, several in found.items()}


def _words(package: Package) -> str:
    return f"{package.version} ({package.build})" if package.build else package.version
