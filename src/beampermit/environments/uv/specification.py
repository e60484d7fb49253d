"""Reads what a project asks for in `pyproject.toml`."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from beampermit.environments.backend import Lock, Requirement, Specification
from beampermit.environments.uv.lockfile import own_package
from beampermit.errors import BadInput
from beampermit.reading import decode, parse_toml

FILE = "pyproject.toml"


def read(root: Path) -> Specification:
    """Read the project's `pyproject.toml`. Raises `BadInput` with file and line."""
    path = root / FILE
    if not path.is_file():
        raise BadInput("the file is missing", file=FILE, hint="beampermit new")
    text = decode(path.read_bytes(), FILE)
    return parse(parse_toml(text, FILE), text)


def parse(content: dict[str, Any], text: str = "") -> Specification:
    """Make a specification of the tables of `pyproject.toml`; `text` is used to name lines."""
    project = content.get("project", {})
    if not project.get("requires-python"):
        raise BadInput(
            "project.requires-python is missing: a lock is for a Python version",
            file=FILE,
            line=_line(text, "[project]"),
        )
    written = tuple(_requirements(content))
    return Specification(
        file=FILE,
        python=project["requires-python"],
        requirements=tuple(Requirement(_name(words), words, group, _line(text, words)) for group, words in written),
        content=content,
    )


def _requirements(content: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """Group or extra, and the requirement as it is written; groups that include others are flattened."""
    project = content.get("project", {})
    for words in project.get("dependencies", []):
        yield "", words
    for extra, several in project.get("optional-dependencies", {}).items():
        for words in several:
            yield f"extra {extra}", words
    for group in content.get("dependency-groups", {}):
        for words in group_requirements(content, group):
            yield group, words


def group_requirements(content: dict[str, Any], group: str, seen: tuple[str, ...] = ()) -> list[str]:
    """The requirements of a dependency group, with those of the groups it includes. Raises `BadInput`."""
    groups = {normal(name): members for name, members in content.get("dependency-groups", {}).items()}
    if normal(group) in seen:
        raise BadInput(f"dependency group {group!r} includes itself", file=FILE)
    if normal(group) not in groups:
        raise BadInput(f"dependency group {group!r} is included and does not exist", file=FILE)
    found: list[str] = []
    for member in groups[normal(group)]:
        if isinstance(member, str):
            found.append(member)
        else:
            found += group_requirements(content, member["include-group"], (*seen, normal(group)))
    return found


def settings_of(specification: Specification) -> dict[str, Any]:
    """The table `[tool.uv]`."""
    return specification.content.get("tool", {}).get("uv", {})


def normal(name: str) -> str:
    """A name as indexes compare it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def _name(words: str) -> str:
    from packaging.requirements import InvalidRequirement
    from packaging.requirements import Requirement as Parsed

    try:
        return normal(Parsed(words).name)
    except InvalidRequirement as error:
        raise BadInput(f"{words!r} is not a requirement: {str(error).splitlines()[0]}", file=FILE) from None


def _line(text: str, words: str) -> int | None:
    return next((number for number, line in enumerate(text.splitlines(), 1) if words in line), None)


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
        named = f"name it in [project.optional-dependencies] of {FILE}, then run `beampermit env lock`"
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
