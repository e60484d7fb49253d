"""Whether `uv.lock` is consistent, which uv does not check: requirements met, nothing missing, nothing unneeded."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from packaging.specifiers import InvalidSpecifier, SpecifierSet
from packaging.version import InvalidVersion, Version

from beampermit.environments.backend import Edge, Lock, Package
from beampermit.environments.markers import World, holds, worlds
from beampermit.environments.uv.lockfile import FILE, GROUP, RELOCK, group_key, own_table
from beampermit.environments.uv.specification import normalize
from beampermit.errors import BadInput, Problem


@dataclass(frozen=True)
class Recorded:
    """A requirement as the lock records it; `index` is a URL where the package has an index of its own."""

    name: str
    specifier: SpecifierSet
    extras: frozenset[str]
    marker: str | None
    index: str | None

    def __str__(self) -> str:
        extras = f"[{','.join(sorted(self.extras))}]" if self.extras else ""
        index = f" from {self.index}" if self.index else ""
        return f"{self.name}{extras}{self.specifier}{index}{f'; {self.marker}' if self.marker else ''}"


def unmet(lock: Lock, own: Package) -> Iterator[Problem]:
    """Each recorded requirement that the locked packages do not meet, in any world that the lock is for.

    Raises `Unjudged` for markers that cannot be compared.
    """
    forced = {normalize(table["name"]) for table in lock.content.get("manifest", {}).get("overrides", [])}
    by_part = _by_part(lock)
    for part in by_part | own.optional:
        # The lock spells out what an extra of the project itself stands for.
        required = list(_spelled_out(by_part, part, own.name))
        yield from _part(lock, part, required, own.optional.get(part, ()) if part else own.needs, forced)
    yield from _forced(lock)


def recorded(lock: Lock) -> Iterator[Recorded]:
    """The requirements that the lock was made for."""
    for part in _by_part(lock).values():
        yield from part


def _by_part(lock: Lock) -> dict[str, list[Recorded]]:
    """Requirements by extra or group; those of the project itself under an empty name."""
    metadata = own_table(lock).get("metadata", {})
    parts: dict[str, list[Recorded]] = {"": [], **{extra: [] for extra in metadata.get("provides-extras", ())}}
    for table in metadata.get("requires-dist", []):
        extra = re.search(r"extra == '([^']+)'", table.get("marker", ""))
        parts.setdefault(extra[1] if extra else "", []).append(_read(table))
    for group, tables in metadata.get("requires-dev", {}).items():
        parts[group_key(group)] = [_read(table) for table in tables]
    return parts


def _read(table: dict[str, Any]) -> Recorded:
    try:
        specifier = SpecifierSet(table.get("specifier", ""))
    except InvalidSpecifier as error:
        raise BadInput(f"not a version specifier: {error}", file=FILE, hint=RELOCK) from None
    extras = frozenset(map(normalize, table.get("extras", ())))
    return Recorded(normalize(str(table["name"])), specifier, extras, table.get("marker"), table.get("index"))


def _spelled_out(parts: dict[str, list[Recorded]], part: str, own: str, depth: int = 0) -> Iterator[Recorded]:
    for required in parts.get(part, ()):
        if required.name != own or depth > len(parts):
            yield required
            continue
        for extra in required.extras:
            yield from _spelled_out(parts, extra, own, depth + 1)


def _part(
    lock: Lock, part: str, required: list[Recorded], edges: tuple[Edge, ...], forced: set[str]
) -> Iterator[Problem]:
    problems: dict[str, Problem] = {}
    extra = "" if part.startswith(GROUP) else part
    for world in _worlds(lock, [*(one.marker for one in required), *(edge.marker for edge in edges)]):
        for one in required:
            if not holds(one.marker, {**world, "extra": extra}):
                continue
            active = [edge for edge in edges if edge.name == one.name and holds(edge.marker, world)]
            for problem in _requirement(lock, one, active, is_forced=one.name in forced):
                problems.setdefault(problem.message, problem)
    yield from problems.values()
    names = {one.name for one in required}
    for edge in edges:
        if edge.name not in names:
            yield Problem(f"the lock gives the project {edge.name}, which it does not require", lock.file)


def _requirement(lock: Lock, required: Recorded, active: list[Edge], *, is_forced: bool) -> Iterator[Problem]:
    if not active:
        yield Problem(f"{required} is required and the lock gives the project no {required.name}", lock.file)
    for edge in active:
        packages = targets(lock, edge)
        # uv leaves out extras that no package of that name has.
        known = {extra for package in packages for extra in package.optional}
        if missing := (required.extras & known) - set(edge.extras):
            message = f"{required} is required and the lock gives no {required.name}[{min(missing)}]"
            yield Problem(message, lock.file)
        for package in packages:
            if not is_forced and not _allows(required.specifier, package):
                yield Problem(f"{required} is required and {package} is locked", lock.file, package.line)
            if not is_forced and required.index and package.source != required.index:
                yield Problem(f"{required} is required and {package} is from {package.origin}", lock.file, package.line)


def _forced(lock: Lock) -> Iterator[Problem]:
    """Constraints and overrides without a marker hold for every package of their name."""
    manifest = lock.content.get("manifest", {})
    for table in (*manifest.get("constraints", []), *manifest.get("overrides", [])):
        rule = _read(table)
        for package in lock.named(rule.name) if rule.marker is None else ():
            if not _allows(rule.specifier, package):
                yield Problem(f"{rule} is required of every package and {package} is locked", lock.file, package.line)


def _worlds(lock: Lock, markers: list[str | None]) -> list[World]:
    supported = lock.content.get("supported-markers", [])
    possible = worlds([*markers, *supported], SpecifierSet(lock.content.get("requires-python", "")))
    return [world for world in possible if not supported or any(holds(marker, world) for marker in supported)]


def _allows(specifier: SpecifierSet, package: Package) -> bool:
    try:
        return specifier.contains(Version(package.version), prereleases=True)
    except InvalidVersion:
        return False


def loose_ends(lock: Lock, roots: Iterable[Edge]) -> Iterator[Problem]:
    """Edges that lead to no package or to several, and packages that cannot be reached from `roots`."""
    for package in lock.packages:
        for edge in (*package.needs, *(edge for edges in package.optional.values() for edge in edges)):
            if problem := _unresolved(lock, edge, f"{package} needs it", package.line):
                yield problem
    reached = reachable(lock, roots)
    for package in lock.packages:
        if not package.own and package.key not in reached:
            yield Problem(f"{package} is in the lock and nothing needs it", lock.file, package.line)


def reachable(lock: Lock, roots: Iterable[Edge]) -> set[tuple[str, str, str]]:
    """Keys of the packages that `roots` lead to, on any platform, with the extras that are required."""
    waiting = list(roots)
    done: set[tuple[str, str, str, str]] = set()
    reached: set[tuple[str, str, str]] = set()
    while waiting:
        edge = waiting.pop()
        for package in targets(lock, edge):
            reached.add(package.key)
            for extra in ("", *edge.extras):
                key = (*package.key, extra)
                if key not in done:
                    done.add(key)
                    waiting += package.optional.get(extra, ()) if extra else package.needs
    return reached


def targets(lock: Lock, edge: Edge) -> tuple[Package, ...]:
    """The locked packages that an edge points to: one, in a consistent lock."""
    return tuple(
        package
        for package in lock.named(edge.name)
        if edge.version in (None, package.version) and edge.source in (None, package.source)
    )


def _unresolved(lock: Lock, edge: Edge, why: str, line: int | None) -> Problem | None:
    packages = targets(lock, edge)
    name = f"{edge.name} {edge.version}" if edge.version else edge.name
    if not packages:
        return Problem(f"{name} is not in the lock; {why}", lock.file, line)
    if len(packages) > 1:
        versions = " and ".join(package.version for package in packages)
        return Problem(f"{name} may be {versions} in the lock; {why}", lock.file, line)
    return None
