"""Accelerator variants with uv: extras named `cpu` and `cuda`, of which an environment gets one."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from beampermit.environments.backend import Lock, Problem, Specification
from beampermit.environments.uv.lockfile import own_package
from beampermit.environments.uv.specification import FILE, normal
from beampermit.errors import BadInput

ACCELERATORS = ("cpu", "cuda")


def known(lock: Lock) -> tuple[str, ...]:
    """The variants that the lock has."""
    own = own_package(lock)
    return tuple(name for name in ACCELERATORS if own and name in own.optional)


def chosen(lock: Lock, asked: str) -> str:
    """The variant that is meant: `cpu` where none is asked for and there is one. Raises `BadInput` for an unknown."""
    variants = known(lock)
    if not asked:
        return "cpu" if "cpu" in variants else ""
    if asked not in variants:
        named = f"name it in [project.optional-dependencies] of {FILE}, then beampermit env lock"
        raise BadInput(
            f"there is no extra {asked!r} for an accelerator; there is {', '.join(variants) or 'none'}",
            file=lock.file,
            # A project for one kind of machine alone needs no extra.
            hint=named if variants else f"leave --variant out; or {named}",
        )
    return asked


def as_marker(lock: Lock) -> str:
    """What uv's markers call the lock's variant, where packages differ by it; empty where there is none."""
    own = own_package(lock)
    return f"extra-{len(own.name)}-{own.name}-{lock.variant}" if own and lock.variant else ""


def changed(specification: Specification, lock: Lock) -> Iterator[Problem]:
    """`[tool.uv] conflicts`, of the project's own extras: those that the lock was made with."""
    name = normal(str(specification.content.get("project", {}).get("name", "")))
    settings = specification.content.get("tool", {}).get("uv", {})
    asked, recorded = _sets(settings.get("conflicts", []), name), _sets(lock.content.get("conflicts", []), name)
    if asked is None:
        yield Problem("[tool.uv] conflicts other than extras of the project cannot be judged without a solver", FILE)
    elif asked != recorded:
        yield Problem("[tool.uv] conflicts is not what the lock was made with", lock.file, lock.line_of("conflicts"))


def _sets(tables: Any, own: str) -> set[frozenset[str]] | None:
    """Sets of extras of which one at most may be chosen; None where something else is meant."""
    found: set[frozenset[str]] = set()
    for several in tables:
        if any("extra" not in one or normal(one.get("package", own)) != own for one in several):
            return None
        found.add(frozenset(normal(one["extra"]) for one in several))
    return found
