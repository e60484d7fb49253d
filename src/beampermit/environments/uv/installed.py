"""Compares an environment with `uv.lock`: the packages that the lock has for its Python and system."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

from packaging.requirements import InvalidRequirement, Requirement
from packaging.specifiers import SpecifierSet
from packaging.version import InvalidVersion, Version

from beampermit.environments.backend import Edge, Lock, Package
from beampermit.environments.distributions import Distribution, describe, distributions, site_packages, strays
from beampermit.environments.markers import Unjudged, World, holds
from beampermit.environments.uv import specification
from beampermit.environments.uv.consistency import targets
from beampermit.environments.uv.lockfile import FILE, GROUP, own_package
from beampermit.environments.uv.specification import normalize
from beampermit.errors import BadInput, Problem, several

MOST_FILES = 3
"""Changed files that are named for each package."""


def installed(lock: Lock, prefix: Path) -> Iterator[Problem]:
    """Packages that are extra, missing, of another version, from elsewhere or changed, and modules of no package."""
    python = describe(prefix)
    if python["python_full_version"] not in SpecifierSet(lock.content.get("requires-python", "")):
        yield Problem(
            f"Python {python['python_full_version']} is installed, the lock is for "
            f"{lock.content.get('requires-python')}",
            lock.file,
            lock.line_of("requires-python"),
        )
    if _includes_system_packages(prefix):
        yield Problem(f"the environment includes the packages of the system's Python: {prefix}/pyvenv.cfg", lock.file)
    site = site_packages(prefix, python)
    packages = distributions(site) if site.is_dir() else []
    wanted = {package.name: package for package in locked_for(lock, python)}
    yield from _compared(lock, wanted, packages)
    yield from _intact(lock, wanted, packages)
    yield from _satisfied(lock, python, packages)
    for name in strays(site, packages) if site.is_dir() else ():
        yield Problem(f"{name} in site-packages belongs to no package", lock.file)


def locked_for(lock: Lock, python: World) -> list[Package]:
    """The packages that the lock has for a Python: all groups, and the extra of its variant. Raises `BadInput`."""
    own = own_package(lock)
    if own is None:
        raise BadInput("the lock has no entry for the project itself", file=FILE, hint="beampermit env lock")
    groups = (edge for part, edges in own.optional.items() if part.startswith(GROUP) for edge in edges)
    waiting = [*own.needs, *groups, *own.optional.get(lock.variant, ())]
    world = {"extra": specification.variant_marker(lock), **python}
    done: set[tuple[str, str, str, str]] = set()
    packages: dict[tuple[str, str, str], Package] = {}
    while waiting:
        edge = waiting.pop()
        if not _holds(edge, world):
            continue
        for package in targets(lock, edge):
            packages[package.key] = package
            for extra in ("", *edge.extras):
                if (*package.key, extra) not in done:
                    done.add((*package.key, extra))
                    waiting += package.optional.get(extra, ()) if extra else package.needs
    return [package for package in packages.values() if not package.own]


def _holds(edge: Edge, world: World) -> bool:
    try:
        return holds(edge.marker, world)
    except Unjudged as error:
        raise BadInput(str(error), file=FILE) from None


def _compared(lock: Lock, wanted: dict[str, Package], installed: list[Distribution]) -> Iterator[Problem]:
    own = own_package(lock)
    names = [distribution.name for distribution in installed]
    for name in sorted(wanted.keys() - set(names)):
        yield Problem(f"{wanted[name]} is locked and not installed", lock.file, wanted[name].line)
    for distribution in installed:
        package = wanted.get(distribution.name)
        if package is None:
            if own is None or distribution.name != own.name:
                yield Problem(f"{distribution} is installed and not in the lock", lock.file)
        elif not _equal(distribution.version, package.version):
            yield Problem(f"{distribution} is installed and {package.version} is locked", lock.file, package.line)
        elif names.count(distribution.name) > 1:
            yield Problem(f"{distribution.name} is installed twice", lock.file, package.line)


def _intact(lock: Lock, wanted: dict[str, Package], installed: list[Distribution]) -> Iterator[Problem]:
    """Check each package's own records: where it came from, and its files."""
    for distribution in installed:
        if distribution.name not in wanted:
            continue
        where = (lock.file, wanted[distribution.name].line)
        if distribution.address:
            yield Problem(f"{distribution} was installed from {distribution.address}, not from the lock", *where)
        elif distribution.installer != "uv":
            by = distribution.installer or "an unknown program"
            yield Problem(f"{distribution} was installed by {by}, not from the lock", *where)
        changed = list(distribution.changed()) if distribution.files else ["its RECORD is missing"]
        if changed:
            yield Problem(f"{distribution} was changed: {several(changed, MOST_FILES)}", *where)


def _satisfied(lock: Lock, python: World, installed: list[Distribution]) -> Iterator[Problem]:
    """Check the requirements in each package's metadata: this finds a package that was removed from the lock."""
    forced = {normalize(table["name"]) for table in lock.content.get("manifest", {}).get("overrides", [])}
    versions = {distribution.name: distribution.version for distribution in installed}
    for distribution in installed:
        for requirement in _parsed(distribution.requires):
            name = normalize(requirement.name)
            marker = requirement.marker
            if name in forced or (marker and not marker.evaluate({"extra": "", **python})):
                continue
            if name not in versions:
                yield Problem(f"{distribution} needs {requirement.name}, which is not installed", lock.file)
            elif not _allows(requirement.specifier, versions[name]):
                yield Problem(
                    f"{distribution} needs {requirement.name}{requirement.specifier}, not {versions[name]}",
                    lock.file,
                )


def _parsed(requires: Iterable[str]) -> Iterator[Requirement]:
    for text in requires:
        try:
            yield Requirement(text)
        except InvalidRequirement:
            continue  # Some old packages have invalid ones; uv leaves them out of the lock too.


def _allows(specifier: SpecifierSet, version: str) -> bool:
    try:
        return specifier.contains(Version(version), prereleases=True)
    except InvalidVersion:
        return False


def _equal(one: str, other: str) -> bool:
    try:
        return Version(one) == Version(other)
    except InvalidVersion:
        return one == other


def _includes_system_packages(prefix: Path) -> bool:
    config = prefix / "pyvenv.cfg"
    text = config.read_text(encoding="utf-8", errors="replace").lower() if config.is_file() else ""
    return any(
        key.strip() == "include-system-site-packages" and value.strip() == "true"
        for key, _, value in (line.partition("=") for line in text.splitlines())
    )
