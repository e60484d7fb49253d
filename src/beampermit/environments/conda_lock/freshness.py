"""Whether a conda lock still is the answer to what the project asks for: found without a solver and without network."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from fnmatch import fnmatchcase
from functools import cache
from typing import Any

from beampermit.environments.backend import Lock, Package, Specification
from beampermit.environments.conda_lock import channels, lockfile, variants, write
from beampermit.environments.conda_lock.packages import repodata_folder
from beampermit.environments.conda_lock.rattler_process import ask
from beampermit.environments.conda_lock.specification import virtual_repodata
from beampermit.environments.conda_lock.theirs import their
from beampermit.errors import Problem
from beampermit.progress import Progress

Named = dict[str, Package]
Matches = Callable[[str, str], bool]


def problems(specification: Specification, lock: Lock, repodata: Any) -> Iterator[Problem]:
    """Each need that is not met, each package that nothing needs, and what lies where it should not."""
    asked, root = specification.content["asked"], specification.content["root"]
    by_platform: dict[str, Named] = defaultdict(dict)
    for package in lock.packages:
        by_platform[package.platform][package.name] = package
    allowed = [address for channel in asked.channels for address in channels.addresses(channel.url, root)]
    yield from _places(lock, allowed)
    for platform, dependencies in asked.dependencies.items():
        named = by_platform.pop(platform, {})
        if named or not dependencies:
            virtual = _virtual(repodata, platform)
            yield from _asked(dependencies, named, lock, platform, root)
            yield from _needs(named, virtual, lock, platform)
            yield from _reached(dependencies, named, lock, platform)
    for platform, named in by_platform.items():
        if platform not in lock.content["metadata"]["platforms"]:
            first = next(iter(named.values()))
            yield Problem(f"{first} is locked for {platform}, which the lock does not name", lock.file, first.line)


def _places(lock: Lock, allowed: list[str]) -> Iterator[Problem]:
    """Where each file would come from, and for which platform it was built."""
    for package in lock.packages:
        if package.source is None:
            yield Problem(
                f"{package} is {package.origin}: only conda packages are locked here", lock.file, package.line
            )
            continue
        address = package.artifacts[0].address
        channel, subdir, _ = channels.split(address)
        if channel not in allowed:
            yield Problem(
                f"{package} would come from {channel}, which is none of the channels asked for", lock.file, package.line
            )
        if subdir not in (package.platform, "noarch"):
            yield Problem(f"{package} is for {package.platform} and its file is for {subdir}", lock.file, package.line)


def _asked(dependencies: Iterable[Any], named: Named, lock: Lock, platform: str, root: Any) -> Iterator[Problem]:
    matches = _matcher()
    for wanted in dependencies:
        words = " ".join(filter(None, (wanted.name, wanted.version, wanted.build)))
        package = named.get(wanted.name)
        if package is None:
            yield Problem(f"{words} is asked for and not locked for {platform}", lock.file)
        elif not _fits(matches, wanted.version, package.version):
            yield Problem(
                f"{words} is asked for and {package.version} is locked for {platform}", lock.file, package.line
            )
        elif wanted.build and not fnmatchcase(package.build, wanted.build):
            yield Problem(
                f"{words} is asked for and build {package.build} is locked for {platform}", lock.file, package.line
            )
        elif wanted.conda_channel and package.source not in channels.addresses(wanted.conda_channel, root):
            yield Problem(
                f"{words} is asked for from {wanted.conda_channel} and locked from {package.source}",
                lock.file,
                package.line,
            )


def _needs(named: Named, virtual: dict[str, list[str]], lock: Lock, platform: str) -> Iterator[Problem]:
    matches = _matcher()
    for package in named.values():
        for edge in package.needs:
            have = virtual.get(edge.name, []) if edge.name.startswith("__") else _version(named, edge.name)
            if not have:
                yield Problem(
                    f"{package} needs {edge.name}, which is not locked for {platform}", lock.file, package.line
                )
            elif not any(_fits(matches, edge.specifier, version) for version in have):
                is_there = f"is there on {platform}" if edge.name.startswith("__") else f"is locked for {platform}"
                yield Problem(
                    f"{package} needs {edge.name} {edge.specifier} and {have[0]} {is_there}",
                    lock.file,
                    package.line,
                )


def _reached(dependencies: Iterable[Any], named: Named, lock: Lock, platform: str) -> Iterator[Problem]:
    """Packages that nothing needs, and packages that a category needs and does not have."""
    roots: dict[str, list[str]] = defaultdict(list)
    for wanted in dependencies:
        roots[wanted.category].append(wanted.name)
    groups = {category: _reach(names, named) for category, names in roots.items()}
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


def _reach(names: list[str], named: Named) -> set[str]:
    waiting, reached = list(names), set[str]()
    while waiting:
        current = waiting.pop()
        if current not in reached and current in named:
            reached.add(current)
            waiting += [edge.name for edge in named[current].needs]
    return reached


def _version(named: Named, name: str) -> list[str]:
    return [named[name].version] if name in named else []


def _virtual(repodata: Any, platform: str) -> dict[str, list[str]]:
    found: dict[str, list[str]] = defaultdict(list)
    for entry in repodata.all_repodata.get(platform, {}).get("packages", {}).values():
        found[entry["name"]].append(entry["version"])
    return found


def _fits(matches: Matches, specifier: str, version: str) -> bool:
    try:
        return not specifier or matches(specifier, version)
    except Exception:
        return False  # conda raises its own kinds: what it cannot read is nothing that fits.


@cache
def _matcher() -> Matches:
    """Whether a version fits a specifier, as conda itself judges; each question is asked once."""
    specifiers = their("_vendor.conda.models.version").VersionSpec

    @cache
    def matches(specifier: str, version: str) -> bool:
        return bool(specifiers(specifier).match(version))

    return matches


def stale(specification: Specification, lock: Lock) -> Iterator[Problem]:
    """Each way in which the lock is not what the project asks for, the reason first and its consequences last."""
    have = {one.variant for one in lock.all}
    for variant in specification.content["variants"]:
        if variant not in have:
            yield Problem(f"there is no lock for the variant {variant!r}", variants.lock_file(variant))
    for variant in sorted(have - set(specification.content["variants"])):
        yield Problem(
            f"no {variant}.{variants.VIRTUAL[0]} says what the machines of this variant offer",
            variants.lock_file(variant),
        )
    for one in lock.all:
        if one.variant in specification.content["variants"]:
            yield from _one(specification, one)


def _one(specification: Specification, lock: Lock) -> Iterator[Problem]:
    asked = specification.content["asked"]
    repodata = virtual_repodata(specification.content["root"], lock.variant)
    made_for_else = [*_platforms(asked, lock), *_channels(asked, lock), *_sources(specification, lock)]
    yield from made_for_else
    reasons = list(problems(specification, lock, repodata))
    if not made_for_else:
        yield from _hashes(specification, lock, repodata, explained=bool(reasons))
    yield from reasons
    yield from write.broken(lock)


def _platforms(asked: Any, lock: Lock) -> Iterator[Problem]:
    wanted, locked = list(asked.dependencies), lockfile.platforms(lock)
    for platform in wanted:
        if platform not in locked:
            others = ", ".join(locked) or "nothing"
            yield Problem(
                f"the lock has no solution for {platform}; it is for {others}", lock.file, _line(lock, "platforms:")
            )
    for platform in locked:
        if platform not in wanted:
            yield Problem(
                f"the lock has a solution for {platform}, which is not asked for", lock.file, _line(lock, "platforms:")
            )


def _channels(asked: Any, lock: Lock) -> Iterator[Problem]:
    wanted, locked = [channel.url for channel in asked.channels], list(lockfile.channels(lock))
    if wanted != locked:
        yield Problem(
            f"the lock was made with the channels {', '.join(locked)}; asked for are {', '.join(wanted)}",
            lock.file,
            _line(lock, "channels:"),
        )


def _sources(specification: Specification, lock: Lock) -> Iterator[Problem]:
    wanted = [source.path for source in specification.content["sources"]]
    locked = [str(name) for name in lock.content["metadata"]["sources"]]
    if set(wanted) != set(locked):
        yield Problem(
            f"the lock was made from {', '.join(locked)}; what is asked for stands in {', '.join(wanted)}",
            lock.file,
            _line(lock, "sources:"),
        )


def _hashes(specification: Specification, lock: Lock, repodata: Any, *, explained: bool) -> Iterator[Problem]:
    asked = specification.content["asked"]
    module = their("content_hash")
    made_for = lock.content["metadata"]["content_hash"]
    now = module.compute_content_hashes(asked, repodata)
    for platform in asked.dependencies:
        if made_for.get(platform) == now[platform]:
            continue
        if made_for.get(platform) not in module.backwards_compatible_content_hashes(asked, repodata, platform):
            file = specification.file
            virtual = variants.virtual_packages(specification.content["root"], lock.variant)
            also = f" or {virtual.name}" if virtual else ""
            why = "" if explained else "; the packages that are locked would still do"
            yield Problem(
                f"{file}{also} was changed after the lock for {platform} was made{why}",
                lock.file,
                _line(lock, f"{platform}:"),
            )


def _line(lock: Lock, words: str) -> int | None:
    return lock.line_of(words)


def online_problems(lock: Lock, progress: Progress) -> Iterator[Problem]:
    """Locked packages that their channel no longer has, or has with another hash. Raises `Outside`."""
    progress("asking the channels")
    served = ask(
        "lookup",
        progress=progress,
        channels=[channels.with_secrets(source) for source in lock.sources],
        platforms=list(lockfile.platforms(lock)),
        names=sorted({package.name for package in lock.packages}),
        cache=str(repodata_folder()),
    )
    for package in lock.packages:
        artifact = package.artifacts[0]
        found = served.get(channels.with_secrets(artifact.address))
        if found is None:
            yield Problem(
                f"{package} {package.build} is no longer in {package.source}: it was yanked", lock.file, package.line
            )
        elif found["sha256"] and found["sha256"] != artifact.sha256:
            yield Problem(
                f"{package} {package.build} has the sha256 {found['sha256']} in {package.source} now, locked is "
                f"{artifact.sha256}",
                lock.file,
                package.line,
            )
