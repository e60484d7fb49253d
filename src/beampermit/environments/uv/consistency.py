"""Whether `uv.lock` is consistent, which uv does not check: requirements met, nothing missing, nothing unneeded."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path
from typing import Any

from packaging.specifiers import InvalidSpecifier, SpecifierSet
from packaging.version import InvalidVersion, Version

from beampermit.environments.backend import Edge, Lock, Package
from beampermit.environments.markers import MOST, Unjudged, World, extras_in, holds, worlds
from beampermit.environments.uv.lockfile import FILE, GROUP, RELOCK, conflicts, group_key, item, members, place_of
from beampermit.environments.uv.specification import folder_of_index, normalize
from beampermit.errors import BadInput, Problem

PLACES = ("index", "git", "url", "path", "directory", "editable", "virtual")
"""Where a recorded requirement may say that its package comes from."""
Parts = dict[str, list["Recorded"]]
"""Requirements by extra or group; those of the project itself under an empty name."""


@dataclass(frozen=True)
class Recorded:
    """A requirement as the lock records it. All `markers` must hold; `place` is where its package must come from."""

    name: str
    specifier: SpecifierSet
    extras: frozenset[str]
    markers: frozenset[str]
    place: str | None

    def __str__(self) -> str:
        extras = f"[{','.join(sorted(self.extras))}]" if self.extras else ""
        place = f" from {self.place.removeprefix('index ')}" if self.place else ""
        markers = f"; {' and '.join(sorted(self.markers))}" if self.markers else ""
        return f"{self.name}{extras}{self.specifier}{place}{markers}"

    def applies(self, world: World) -> bool:
        """Whether it is asked for in a world, in the extra that it stands in."""
        return all(holds(marker, world, extras_in(marker)) for marker in self.markers)


@dataclass(frozen=True)
class Local:
    """A project, folder or file of which the lock records the requirements; `edges` of the lock lead to it."""

    package: Package
    parts: Parts
    edges: tuple[Edge, ...]
    is_member: bool
    """The project itself, or one of its workspace: all of it is locked, whether or not anything needs it."""

    @property
    def name(self) -> str:
        return "the project" if self.package.own else self.package.name

    @property
    def locked_parts(self) -> set[str]:
        listed = self.parts if self.is_member else ("", *(extra for edge in self.edges for extra in edge.extras))
        return {*listed, *self.package.optional}

    def is_needed(self, world: World) -> bool:
        return self.is_member or any(holds(edge.marker, world, extras_in(edge.marker)) for edge in self.edges)


def unmet(lock: Lock, root: Path) -> Iterator[Problem]:
    """Each recorded requirement that the locked packages do not meet, in any world that the lock is for.

    `root` is the project's folder, from which relative paths of indexes count.
    Raises `Unjudged` for markers that cannot be compared.
    """
    for local in _locals(lock):
        for part in sorted(local.locked_parts):
            required = _overridden(lock, _spelled_out(local.parts, part, local.package.name))
            yield from _part(lock, local, part, required, root)
    yield from _constrained(lock, root)


def recorded(lock: Lock) -> Iterator[Recorded]:
    """The requirements that the lock was made for."""
    for local in _locals(lock):
        for part in local.parts.values():
            yield from part


def _locals(lock: Lock) -> Iterator[Local]:
    projects = {package.key for package in members(lock)}
    edges: dict[str, list[Edge]] = {}
    for edge in (edge for package in lock.packages for edge in _edges(package)):
        edges.setdefault(edge.name, []).append(edge)
    for package, table in zip(lock.packages, lock.content.get("package", ()), strict=True):
        if place_of(package) is not None:
            parts = _by_part(table.get("metadata", {}))
            yield Local(package, parts, tuple(edges.get(package.name, ())), package.key in projects)


def _by_part(metadata: dict[str, Any]) -> Parts:
    parts: Parts = {"": [], **{normalize(extra): [] for extra in metadata.get("provides-extras", ())}}
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
    markers = frozenset([table["marker"]] if "marker" in table else ())
    place = next((f"{kind} {table[kind]}" for kind in PLACES if kind in table), None)
    return Recorded(normalize(str(table["name"])), specifier, extras, markers, place)


def _spelled_out(parts: Parts, part: str, own: str) -> Iterator[Recorded]:
    """What a part asks for. Except in a group, the lock spells out what an extra of the project itself stands for."""
    waiting: list[tuple[str, frozenset[str]]] = [(part, frozenset())]
    seen = set(waiting)
    while waiting:
        name, markers = waiting.pop()
        for one in parts.get(name, ()):
            whole = replace(one, markers=one.markers | markers)
            if one.name != own or part.startswith(GROUP):
                yield whole
                continue
            further = {(extra, whole.markers) for extra in one.extras} - seen
            waiting += further
            seen |= further
        if len(seen) > MOST:
            raise Unjudged(f"the extras of {own} name each other too often")


def _overridden(lock: Lock, required: Iterable[Recorded]) -> Iterator[Recorded]:
    """The requirements as the solver took them: exchanged for overrides of their names, without what is excluded."""
    manifest = lock.content.get("manifest", {})
    overrides = [_read(table) for table in manifest.get("overrides", ())]
    excluded = set(map(normalize, manifest.get("excludes", ())))
    for one in required:
        if one.name in excluded:
            continue
        instead = [rule for rule in overrides if rule.name == one.name]
        if not instead:
            yield one
        for rule in instead:
            yield replace(rule, markers=rule.markers | one.markers)


def _part(lock: Lock, local: Local, part: str, required: Iterable[Recorded], root: Path) -> Iterator[Problem]:
    edges = local.package.optional.get(part, ()) if part else local.package.needs
    named: dict[str, list[Recorded]] = {}
    for one in required:
        named.setdefault(one.name, []).append(one)
    for name, asked in named.items():
        yield from _name(lock, local, part, asked, [edge for edge in edges if edge.name == name], root)
    for edge in edges:
        if edge.name not in named:
            yield Problem(f"the lock gives {local.name} {edge.name}, which it does not require", lock.file)


def _name(
    lock: Lock, local: Local, part: str, asked: list[Recorded], edges: list[Edge], root: Path
) -> Iterator[Problem]:
    """Compare the requirements of one name in a part with what the lock gives the part of that name."""
    problems: dict[str, Problem] = {}
    markers = [*(marker for one in asked for marker in one.markers), *(edge.marker for edge in edges)]
    for world in _worlds(lock, [*markers, *(edge.marker for edge in local.edges if not local.is_member)]):
        for one in asked if local.is_needed(world) else ():
            for active in _active(lock, local, part, one, edges, world) if one.applies(world) else ():
                for problem in _requirement(lock, local, one, active, root):
                    problems.setdefault(problem.message, problem)
    yield from problems.values()


def _active(
    lock: Lock, local: Local, part: str, required: Recorded, edges: list[Edge], world: World
) -> Iterator[list[Edge]]:
    """The edges that count in a world, for each choice of further extras and groups."""
    name = local.package.name
    present = {item(name, part), *(item(required.name, extra) for extra in required.extras)}
    if not part.startswith(GROUP):
        present.add(item(name))  # An extra is installed with its project: one that excludes it, never.
    choices = _together(lock, edges, present)
    active = [[edge for edge in edges if holds(edge.marker, world, extras)] for extras in choices]
    # What no extra or group leads to is left out for a package that is only needed.
    yield from active if local.is_member else [some for some in active if some] or active


def _together(lock: Lock, edges: list[Edge], present: Collection[str]) -> Iterator[set[str]]:
    """What may be installed with the extras or groups `present`, as far as the markers of `edges` tell it apart."""
    exclusive = [several.keys() for several in conflicts(lock)]
    others = sorted({name for edge in edges for name in extras_in(edge.marker)} - set(present))
    if 2 ** len(others) > MOST:
        raise Unjudged(f"markers over {len(others)} extras and groups have too many combinations")
    for chosen in product((False, True), repeat=len(others)):
        extras = {*present, *(name for name, is_chosen in zip(others, chosen, strict=True) if is_chosen)}
        if all(len(extras & several) < 2 for several in exclusive):
            yield extras


def _requirement(lock: Lock, local: Local, required: Recorded, active: list[Edge], root: Path) -> Iterator[Problem]:
    if not active:
        message = f"{required} is required and the lock gives {local.name} no {required.name}"
        yield Problem(message, lock.file, local.package.line)
    given = {extra for edge in active for extra in edge.extras}
    for edge in active:
        packages = targets(lock, edge)
        # uv leaves out extras that no package of that name has.
        known = {extra for package in packages for extra in package.optional}
        if missing := (required.extras & known) - given:
            message = f"{required} is required and the lock gives no {required.name}[{min(missing)}]"
            yield Problem(message, lock.file)
        for found in packages:
            if not _allows(required.specifier, found):
                yield Problem(f"{required} is required and {found} is locked", lock.file, found.line)
            if required.place and not _is_from(required, found, root):
                yield Problem(f"{required} is required and {found} is from {found.origin}", lock.file, found.line)


def _is_from(required: Recorded, package: Package, root: Path) -> bool:
    """Whether a package comes from where it must. Of two tags or branches with one commit, uv locks either."""
    kind, _, place = (required.place or "").partition(" ")
    if kind == "git":
        repository = re.escape(place.partition("?")[0])
        return re.match(rf"git {repository}([?#]|$)", package.origin) is not None
    if kind == "index" and package.source and (folder := folder_of_index(place, root)):
        return folder_of_index(package.source, root) == folder
    if kind in ("index", "url"):
        return package.origin == required.place
    return place_of(package) == place


def _constrained(lock: Lock, root: Path) -> Iterator[Problem]:
    """Constraints and overrides without a marker hold for every package of their name."""
    manifest = lock.content.get("manifest", {})
    for table in (*manifest.get("constraints", []), *manifest.get("overrides", [])):
        rule = _read(table)
        for package in lock.named(rule.name) if not rule.markers else ():
            if not _allows(rule.specifier, package) or (rule.place and not _is_from(rule, package, root)):
                yield Problem(f"{rule} is required of every package and {package} is locked", lock.file, package.line)


def _worlds(lock: Lock, markers: list[str | None]) -> list[World]:
    supported = lock.content.get("supported-markers", [])
    possible = worlds([*markers, *supported], SpecifierSet(lock.content.get("requires-python", "")))
    return [world for world in possible if not supported or any(holds(marker, world) for marker in supported)]


def _allows(specifier: SpecifierSet, package: Package) -> bool:
    # The version of a project whose build backend computes it is not locked.
    if not package.version and place_of(package) is not None:
        return True
    try:
        return specifier.contains(Version(package.version), prereleases=True)
    except InvalidVersion:
        return False


def loose_ends(lock: Lock) -> Iterator[Problem]:
    """Edges that lead to no package or to several, and packages that the project does not need."""
    for package in lock.packages:
        for edge in _edges(package):
            if problem := _unresolved(lock, edge, f"{package} needs it", package.line):
                yield problem
    projects = {package.key: package for package in members(lock)}
    reached = reachable(lock, (edge for package in projects.values() for edge in _edges(package)))
    for package in lock.packages:
        if package.key not in projects and package.key not in reached:
            yield Problem(f"{package} is in the lock and nothing needs it", lock.file, package.line)


def _edges(package: Package) -> tuple[Edge, ...]:
    return (*package.needs, *(edge for edges in package.optional.values() for edge in edges))


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
        if edge.version in (None, package.version) and edge.source in (None, package.source or package.origin)
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
