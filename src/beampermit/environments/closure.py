"""Whether a lock holds together: every package that a package needs is there, and nothing that nobody needs."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from beampermit.environments.backend import Edge, Lock, Package
from beampermit.errors import Problem


def loose_ends(lock: Lock, roots: Iterable[Edge]) -> Iterator[Problem]:
    """Edges that lead nowhere or to two places, and packages that cannot be reached from `roots`."""
    for package in lock.packages:
        for edge in (*package.needs, *(edge for edges in package.optional.values() for edge in edges)):
            if problem := _unresolved(lock, edge, f"{package} needs it", package.line):
                yield problem
    reached = reachable(lock, roots)
    for package in lock.packages:
        if not package.own and package.key not in reached:
            yield Problem(f"{package} is in the lock and nothing needs it", lock.file, package.line)


def reachable(lock: Lock, roots: Iterable[Edge]) -> set[tuple[str, str, str]]:
    """Keys of the packages that `roots` lead to, on any platform, with the extras that are asked for."""
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
    """The locked packages that an edge means: one, in a lock that holds together."""
    return tuple(
        package
        for package in lock.named(edge.name)
        if edge.version in (None, package.version) and edge.source in (None, package.source)
    )


def _unresolved(lock: Lock, edge: Edge, why: str, line: int | None) -> Problem | None:
    found = targets(lock, edge)
    words = f"{edge.name} {edge.version}" if edge.version else edge.name
    if not found:
        return Problem(f"{words} is not in the lock; {why}", lock.file, line)
    if len(found) > 1:
        versions = " and ".join(package.version for package in found)
        return Problem(f"{words} may be {versions} in the lock; {why}", lock.file, line)
    return None
