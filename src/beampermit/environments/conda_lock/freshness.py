"""Whether a conda lock still is the answer to what the project asks for: found without a solver and without network."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from beampermit.environments.backend import Lock, Problem, Specification
from beampermit.environments.conda_lock import lockfile, seal, solution, variants
from beampermit.environments.conda_lock.specification import virtual_repodata
from beampermit.environments.conda_lock.theirs import their


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
    reasons = list(solution.problems(specification, lock, repodata))
    if not made_for_else:
        yield from _hashes(specification, lock, repodata, explained=bool(reasons))
    yield from reasons
    yield from seal.broken(lock)


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
