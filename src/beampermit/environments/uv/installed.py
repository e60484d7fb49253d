"""Compares an environment with `uv.lock`: the packages that the lock has for its Python and system."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from packaging.requirements import InvalidRequirement, Requirement
from packaging.specifiers import SpecifierSet
from packaging.version import InvalidVersion, Version

from beampermit.digest import digest_bytes
from beampermit.environments.backend import Edge, Lock, Package
from beampermit.environments.distributions import (
    Distribution,
    describe,
    distributions,
    is_cached,
    is_installers,
    site_packages,
)
from beampermit.environments.environment import STAMP
from beampermit.environments.markers import Unjudged, World, holds
from beampermit.environments.records import (
    Hashes,
    Seal,
    files_below,
    is_unchecked,
    record,
    recorded,
    script_digest,
    seal_of,
)
from beampermit.environments.uv.consistency import targets
from beampermit.environments.uv.lockfile import FILE, GROUP, conflicts, item, own_package
from beampermit.environments.uv.specification import normalize
from beampermit.errors import BadInput, Problem, several

MOST_FILES = 3
"""Changed files that are named for each package."""
UNSEALED = {STAMP, ".lock"}
"""Files that are written after the installation."""
FOR_EXTRA = re.compile(r"""^(?!.*\bor\b).*\bextra\s*==\s*["']\w""")
"""A requirement that an extra alone asks for, as most are; what extras of the lock bring is compared with the lock."""
AT_START = {"sitecustomize", "usercustomize"}
"""Modules that Python imports when it starts."""


def installed(lock: Lock, prefix: Path) -> Iterator[Problem]:
    """Packages that are extra, missing, of another version, from elsewhere or changed, and files of no package."""
    hashes = Hashes(prefix)
    seal = Seal.of(prefix)
    if seal is None:
        yield Problem(f"{prefix} was not installed by `beampermit env install` with this cache folder", lock.file)
        return
    if _includes_system_packages(prefix):
        yield Problem(f"the environment includes the packages of the system's Python: {prefix}/pyvenv.cfg", lock.file)
    if broken := _broken_python(prefix, seal, hashes):
        # It is not started.
        yield Problem(f"{broken} is not as it was installed", lock.file)
        return
    python = describe(prefix)
    if python["python_full_version"] not in SpecifierSet(lock.content.get("requires-python", "")):
        yield Problem(
            f"Python {python['python_full_version']} is installed, the lock is for "
            f"{lock.content.get('requires-python')}",
            lock.file,
            lock.line_of("requires-python"),
        )
    site = site_packages(prefix, python)
    packages = distributions(site) if site.is_dir() else []
    wanted = {package.name: package for package in locked_for(lock, python)}
    yield from _compared(lock, wanted, packages)
    contents = Contents(prefix, packages, hashes)
    yield from _intact(lock, wanted, contents)
    yield from _satisfied(lock, python, packages)
    yield from _of_no_package(lock, contents, seal)
    hashes.save()


@dataclass
class Contents:
    """What lies in an environment: the files of its distributions, and all others."""

    prefix: Path
    packages: list[Distribution]
    hashes: Hashes

    @cached_property
    def owners(self) -> Counter[str]:
        """How many distributions have a file. A few packages ship one of the same name; the last installed stays."""
        return Counter(name for package in self.packages for name in package.files)

    @cached_property
    def actual(self) -> dict[str, str | None]:
        """File of a distribution, by its path in the environment -> its sha256."""
        places = {name: f"{self.prefix}/{name}" for name in self.owners if not is_cached(name)}
        answers = self.hashes.of(places.values())
        return {name: answers[place] for name, place in places.items()}

    @cached_property
    def below(self) -> list[str]:
        """Every file of the environment, in any order."""
        return list(files_below(self.prefix))

    @cached_property
    def others(self) -> list[str]:
        """Every file that no distribution has and that is not compiled code where Python keeps it."""
        found = (name for name in self.below if name not in self.owners)
        return sorted(name for name in found if not (name.endswith(".pyc") and is_cached(name)))

    @cached_property
    def unchecked(self) -> list[str]:
        """Compiled code that Python would run whatever its source says."""
        names = sorted(name for name in self.below if name.endswith(".pyc") and is_cached(name))
        flags = self.hashes.of((f"{self.prefix}/{name}" for name in names), is_unchecked)
        return [name for name in names if flags[f"{self.prefix}/{name}"] not in ("checked", None)]

    def digest(self, package: Distribution) -> str:
        """The digest of a package's files, the same in every environment that it was installed in from one file."""
        lines = []
        for name, (written, sha256, _) in sorted(package.files.items()):
            if is_cached(name) or is_installers(written):
                continue
            answer = sha256 if self.owners[name] > 1 else self.actual[name]
            if written.startswith("..") and answer:
                answer = script_digest(self.prefix, str(self.prefix / name)) or answer
            lines.append(f"{written} {answer}\n")
        return digest_bytes("".join(lines).encode())


def contents_of(prefix: Path, hashes: Hashes | None = None) -> Contents:
    site = site_packages(prefix, describe(prefix))
    return Contents(prefix, distributions(site) if site.is_dir() else [], hashes or Hashes(prefix))


def is_sealed(prefix: Path) -> bool:
    """Whether we installed the environment at `prefix`, and nobody changed what belongs to no package since."""
    hashes, seal = Hashes(prefix), Seal.of(prefix)
    if seal is None or not (prefix / "pyvenv.cfg").is_file() or _broken_python(prefix, seal, hashes):
        return False
    return not any(True for _ in _strays(contents_of(prefix, hashes), seal))


def remember(lock: Lock, prefix: Path, fresh: Collection[str] | None, *, seal: bool) -> None:
    """Record the installed packages, of which uv has just hashed the files; all of them where `fresh` is None.

    With `seal`, the rest of the environment is recorded too.
    """
    contents = contents_of(prefix)
    wanted = {package.name: package for package in lock.packages if not package.own}
    for package in contents.packages:
        locked = [one for one in lock.named(package.name) if _equal(one.version, package.version)]
        if package.name in wanted and locked and (fresh is None or package.name in fresh):
            record(locked[0], contents.digest(package))
    if seal:
        seal_of(prefix, [name for name in contents.others if name not in UNSEALED], contents.hashes).write(prefix)
    contents.hashes.save(partial=True)


def _broken_python(prefix: Path, seal: Seal, hashes: Hashes) -> str | None:
    """The first file that decides which Python is started, and how, and that is not as it was."""
    broken = seal.broken(prefix, hashes)
    return next((name for name in broken if name.startswith(("/", "bin/python", "pyvenv.cfg"))), None)


def _of_no_package(lock: Lock, contents: Contents, seal: Seal) -> Iterator[Problem]:
    for message in _strays(contents, seal):
        yield Problem(message, lock.file)
    for name in contents.unchecked:
        yield Problem(f"{_in_site(name)} is compiled code that Python runs whatever its source says", lock.file)


def _strays(contents: Contents, seal: Seal) -> Iterator[str]:
    """Files of no package that were not there, or were otherwise, when the environment was installed."""
    for name in contents.others:
        if name not in seal.files and name not in UNSEALED:
            yield f"{_in_site(name)} belongs to no package"
    for name in seal.broken(contents.prefix, contents.hashes):
        if (contents.prefix / name).exists():
            yield f"{_in_site(name)} is not as it was installed"


def _in_site(name: str) -> str:
    """A path in the environment, for messages: `numbers/more.py in site-packages`."""
    _, middle, below = name.partition("/site-packages/")
    return f"{below} in site-packages" if middle else name


def locked_for(lock: Lock, python: World) -> list[Package]:
    """The packages that the lock has for a Python: all groups, and the extra of its variant. Raises `BadInput`."""
    own = own_package(lock)
    if own is None:
        raise BadInput("the lock has no entry for the project itself", file=FILE, hint="beampermit env lock")
    waiting = [edge for part in _parts(lock, own) for edge in (own.optional.get(part, ()) if part else own.needs)]
    extras = _asked(lock, own)
    done: set[tuple[str, str, str, str]] = set()
    packages: dict[tuple[str, str, str], Package] = {}
    while waiting:
        edge = waiting.pop()
        if not _holds(edge, python, extras):
            continue
        for package in targets(lock, edge):
            packages[package.key] = package
            for extra in ("", *edge.extras):
                if (*package.key, extra) not in done:
                    done.add((*package.key, extra))
                    waiting += package.optional.get(extra, ()) if extra else package.needs
    return [package for package in packages.values() if not package.own]


def _parts(lock: Lock, own: Package) -> tuple[str, ...]:
    """What of the project is installed: its own requirements, all groups, and the extra of the variant."""
    groups = (part for part in own.optional if part.startswith(GROUP))
    return ("", *groups, *([lock.variant] if lock.variant else []))


def _asked(lock: Lock, own: Package) -> set[str]:
    """What is installed as markers call it, with the extras of the project that its groups name."""
    parts = _parts(lock, own)
    named = (edge for part in parts if part for edge in own.optional.get(part, ()) if edge.name == own.name)
    extras = (extra for edge in named for extra in edge.extras if not lock.variant)
    return {item(own.name, part) for part in (*parts, *extras)}


def excluded(lock: Lock) -> Problem | None:
    """What of the project cannot be installed at once, although an environment has it all."""
    own = own_package(lock)
    asked = _asked(lock, own) if own else set()
    for exclusive in conflicts(lock):
        if len(names := [name for key, name in exclusive.items() if key in asked]) > 1:
            why = "and an environment has the project with all its groups: make them extras, or projects of their own"
            return Problem(f"{' and '.join(names)} exclude each other, {why}", lock.file, lock.line_of("conflicts ="))
    return None


def _holds(edge: Edge, world: World, extras: Collection[str]) -> bool:
    try:
        return holds(edge.marker, world, extras)
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


def _intact(lock: Lock, wanted: dict[str, Package], contents: Contents) -> Iterator[Problem]:
    """Check each package's own records: where it came from, and its files."""
    own = own_package(lock)
    for distribution in contents.packages:
        if distribution.name not in wanted:
            if own and distribution.name == own.name:
                yield from _own_code(lock, distribution, contents)
            continue
        package = wanted[distribution.name]
        where = (lock.file, package.line)
        if distribution.address:
            yield Problem(f"{distribution} was installed from {distribution.address}, not from the lock", *where)
        elif distribution.installer != "uv":
            by = distribution.installer or "an unknown program"
            yield Problem(f"{distribution} was installed by {by}, not from the lock", *where)
        if changed := _changed(distribution, package, contents):
            yield Problem(f"{distribution} was changed: {several(changed, MOST_FILES)}", *where)


def _changed(distribution: Distribution, package: Package, contents: Contents) -> list[str]:
    """How a distribution differs from the locked package, as it was installed from a file that had just been hashed."""
    if not distribution.files:
        return ["its RECORD is missing"]
    if contents.digest(distribution) in recorded(package):
        return []
    changed = list(distribution.changed(contents.prefix, contents.actual))
    return changed or ["its RECORD lists other files than the locked package has"]


def _own_code(lock: Lock, own: Distribution, contents: Contents) -> Iterator[Problem]:
    """The project itself may be installed: its code is judged where it is, but nothing of it may act as another's."""
    site = own.folder.parent.relative_to(contents.prefix).as_posix()
    others = {name.split("/")[0] for one in contents.packages if one is not own for name, *_ in one.rows}
    for name, (written, _, _) in own.files.items():
        top = written.split("/")[0]
        if top.endswith(".pth") and not _only_paths(contents.prefix / name):
            yield Problem(f"{top} in site-packages runs code at each start of Python", lock.file)
        elif name.startswith(f"{site}/") and (top in others or top.split(".")[0] in AT_START):
            yield Problem(f"{own} has {written}, which acts as another package", lock.file)


def _only_paths(file: Path) -> bool:
    """Whether a `.pth` adds folders to the path of Python and runs nothing."""
    text = file.read_text(encoding="utf-8", errors="replace") if file.is_file() else ""
    return not any(line.startswith(("import ", "import\t")) for line in text.splitlines())


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
        if FOR_EXTRA.match(text):
            continue  # reading them all takes five times as long
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
