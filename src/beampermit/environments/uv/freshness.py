"""Whether `uv.lock` still is a solution of `pyproject.toml`: found by reading, without uv and without the network."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Any

from packaging.specifiers import InvalidSpecifier, SpecifierSet
from packaging.version import InvalidVersion, Version

from beampermit.environments.backend import Edge, Lock, Package, Problem, Specification
from beampermit.environments.closure import loose_ends, targets
from beampermit.environments.markers import Unjudged, World, holds, worlds
from beampermit.environments.uv import lockfile, settings
from beampermit.environments.uv.asked import Asked, from_table, from_text
from beampermit.environments.uv.specification import FILE, group_requirements, normal
from beampermit.errors import BadInput


def stale(specification: Specification, lock: Lock) -> Iterator[Problem]:
    """Each way in which the lock is not what the project asks for, the reason first and its consequences last."""
    own = lockfile.own_package(lock)
    if own is None:
        yield Problem("the lock has no entry for the project itself", lock.file)
        return
    try:
        yield from _identity(specification, lock, own)
        yield from settings.changed(specification, lock)
        yield from _changed(specification, lock)
        yield from _unsatisfied(specification, lock, own)
        yield from _forced(lock)
    except Unjudged as error:
        yield Problem(str(error), FILE)
    yield from loose_ends(lock, all_edges(own))


def all_edges(own: Package) -> tuple[Edge, ...]:
    """What the project needs, with all its extras and groups."""
    return (*own.needs, *(edge for edges in own.optional.values() for edge in edges))


def _identity(specification: Specification, lock: Lock, own: Package) -> Iterator[Problem]:
    project = specification.content.get("project", {})
    if own.name != normal(project.get("name", "")):
        yield Problem(f"the lock was made for {own.name}, the project is {project.get('name')}", lock.file, own.line)
    if "version" in project and own.version and not _same_version(own.version, project["version"]):
        yield Problem(
            f"the lock was made for version {own.version} of the project, now {project['version']}", lock.file
        )
    locked = lock.content.get("requires-python", "")
    if not _same_pythons(locked, specification.python):
        yield Problem(
            f"the lock was made for Python {locked}, the project asks for {specification.python}",
            lock.file,
            lock.line_of("requires-python"),
        )


def _changed(specification: Specification, lock: Lock) -> Iterator[Problem]:
    """What is asked for against what the lock says it was made for, group by group."""
    metadata = lockfile.own_table(lock).get("metadata", {})
    project = specification.content.get("project", {})
    optional = project.get("optional-dependencies", {})
    yield from _different(
        [
            *(_asked(specification, words) for words in project.get("dependencies", [])),
            *(_asked(specification, words, extra=extra) for extra, several in optional.items() for words in several),
        ],
        metadata.get("requires-dist", []),
        lock,
    )
    yield from _names("extra", map(normal, optional), metadata.get("provides-extras", []), lock)
    groups = specification.content.get("dependency-groups", {})
    recorded = metadata.get("requires-dev", {})
    yield from _names("group", map(normal, groups), recorded, lock)
    for group in groups:
        asked = [
            _asked(specification, words, group=group) for words in group_requirements(specification.content, group)
        ]
        yield from _different(asked, recorded.get(normal(group), []), lock)


def _different(asked: list[Asked], tables: list[dict[str, Any]], lock: Lock) -> Iterator[Problem]:
    recorded = [from_table(table) for table in tables]
    for wanted in asked:
        if not any(wanted.equals(made_for) for made_for in recorded):
            before = next((f" (locked for {made_for})" for made_for in recorded if made_for.name == wanted.name), "")
            yield Problem(f"{wanted} is asked for and the lock does not know it{before}", FILE)
    for made_for in recorded:
        if not any(made_for.equals(wanted) for wanted in asked) and made_for.name not in {one.name for one in asked}:
            yield Problem(
                f"the lock was made for {made_for}, which is no longer asked for",
                lock.file,
                lock.line_of(f'name = "{made_for.name}"'),
            )


def _names(kind: str, asked: Iterable[str], recorded: Iterable[str], lock: Lock) -> Iterator[Problem]:
    wanted, known = set(asked), set(recorded)
    for name in sorted(wanted - known):
        yield Problem(f"the lock does not know the {kind} {name!r}", FILE)
    for name in sorted(known - wanted):
        yield Problem(f"the lock has the {kind} {name!r}, which is no longer there", lock.file)


def _asked(specification: Specification, words: str, *, extra: str | None = None, group: str | None = None) -> Asked:
    index, elsewhere = settings.source_of(specification, from_text(words).name, extra, group)
    return from_text(words, extra=extra, index=index, elsewhere=elsewhere)


def _unsatisfied(specification: Specification, lock: Lock, own: Package) -> Iterator[Problem]:
    """The locked versions of what is asked for directly, in each world that the lock is for."""
    content = specification.content
    project = content.get("project", {})
    optional = {normal(extra): words for extra, words in project.get("optional-dependencies", {}).items()}
    asked = {"": project.get("dependencies", []), **optional}
    for group in content.get("dependency-groups", {}):
        asked[lockfile.group_key(normal(group))] = group_requirements(content, group)
    forced = {normal(table["name"]) for table in lock.content.get("manifest", {}).get("overrides", [])}
    for part in asked | own.optional:
        # The lock spells out what an extra of the project itself stands for.
        wanted = [
            _sourced(specification, words, part) for words in _spelled_out(asked.get(part, ()), optional, own.name)
        ]
        yield from _part(specification, lock, wanted, own.optional.get(part, ()) if part else own.needs, forced)


def _sourced(specification: Specification, words: str, part: str) -> Asked:
    """A requirement of an extra or group, from the index that `[tool.uv.sources]` gives it there."""
    asked = from_text(words)
    group = part.removeprefix(lockfile.GROUP) if part.startswith(lockfile.GROUP) else None
    index, _ = settings.source_of(specification, asked.name, None if group else part, group)
    return replace(asked, index=index)


def _part(
    specification: Specification, lock: Lock, asked: list[Asked], edges: tuple[Edge, ...], forced: set[str]
) -> Iterator[Problem]:
    told: set[str] = set()
    for world in _lock_worlds(specification, lock, [*(one.marker for one in asked), *(edge.marker for edge in edges)]):
        for wanted in asked:
            if not holds(wanted.marker, world):
                continue
            active = [edge for edge in edges if edge.name == wanted.name and holds(edge.marker, world)]
            for problem in _unmet(wanted, active, lock, wanted.name in forced):
                if problem.message not in told:
                    told.add(problem.message)
                    yield problem
    names = {wanted.name for wanted in asked}
    for edge in edges:
        if edge.name not in names:
            yield Problem(f"the lock gives the project {edge.name}, which it does not ask for", lock.file)


def _unmet(wanted: Asked, active: list[Edge], lock: Lock, forced: bool) -> Iterator[Problem]:
    if not active:
        yield Problem(f"{wanted} is asked for and the lock gives the project no {wanted.name}", lock.file)
    for edge in active:
        if missing := wanted.extras - set(edge.extras) - _unknown_extras(wanted, edge, lock):
            yield Problem(f"{wanted} is asked for and the lock gives no {wanted.name}[{min(missing)}]", lock.file)
        for package in () if forced else targets(lock, edge):
            if not _within(package, wanted.specifier):
                yield Problem(
                    f"{wanted} is asked for and {package} is locked",
                    lock.file,
                    package.line,
                )
            if wanted.index and package.source != wanted.index:
                yield Problem(f"{wanted} is asked for and {package} is from {package.origin}", lock.file, package.line)


def _unknown_extras(wanted: Asked, edge: Edge, lock: Lock) -> set[str]:
    """Extras that no locked package of that name has anything for: uv leaves them out."""
    known = {extra for package in targets(lock, edge) for extra in package.optional}
    return set(wanted.extras) - known


def _forced(lock: Lock) -> Iterator[Problem]:
    """Constraints and overrides without a marker hold for every package of their name."""
    manifest = lock.content.get("manifest", {})
    for table in (*manifest.get("constraints", []), *manifest.get("overrides", [])):
        rule = from_table(table)
        for package in lock.named(rule.name) if rule.marker is None else ():
            if not _within(package, rule.specifier):
                yield Problem(f"{rule} is asked for everywhere and {package} is locked", lock.file, package.line)


def _lock_worlds(specification: Specification, lock: Lock, markers: list[str | None]) -> list[World]:
    supported = lock.content.get("supported-markers", [])
    found = worlds([*markers, *supported], _pythons(specification.python))
    return [world for world in found if not supported or any(holds(marker, world) for marker in supported)]


def _spelled_out(words: Iterable[str], optional: dict[str, list[str]], own: str, depth: int = 0) -> list[str]:
    """Requirements on the project's own extras, replaced by what these ask for."""
    found: list[str] = []
    for word in words:
        asked = from_text(word)
        if asked.name != own or depth > len(optional):
            found.append(word)
            continue
        for extra in asked.extras:
            found += _spelled_out(optional.get(extra, []), optional, own, depth + 1)
    return found


def _within(package: Package, specifier: SpecifierSet) -> bool:
    try:
        return specifier.contains(Version(package.version), prereleases=True)
    except InvalidVersion:
        return False


def _same_version(one: str, other: str) -> bool:
    try:
        return Version(one) == Version(other)
    except InvalidVersion:
        return one == other


def _same_pythons(one: str, other: str) -> bool:
    """`>=3.11,<3.12` and `==3.11.*` are the same Pythons; uv writes down the first and the last, not those left out."""
    mine, theirs = (SpecifierSet(part for part in _pythons(text) if part.operator != "!=") for text in (one, other))
    candidates = worlds([f'python_full_version == "{part.version.removesuffix(".*")}"' for part in (*mine, *theirs)])
    return all(
        (world["python_full_version"] in mine) == (world["python_full_version"] in theirs) for world in candidates
    )


def _pythons(text: str) -> SpecifierSet:
    try:
        return SpecifierSet(text)
    except InvalidSpecifier:
        raise BadInput(f"requires-python {text!r} is not a version specifier", file=FILE) from None
