"""What a project requires, read from `pyproject.toml`, and which of its extras are accelerator variants."""

from __future__ import annotations

import re
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from itertools import chain
from pathlib import Path
from typing import Any

from packaging.requirements import InvalidRequirement
from packaging.requirements import Requirement as Parsed

from beampermit.environments.backend import Lock, Requirement, Specification
from beampermit.environments.uv.lockfile import RELOCK, own_package
from beampermit.environments.uv.shape import FILE, line_of, lines_of_strings, validate
from beampermit.errors import BadInput
from beampermit.reading import decode, parse_toml

ACCELERATORS = ("cpu", "cuda")
MOST = 10_000
"""Requirements of one project."""


def read(root: Path) -> Specification:
    """Read the project's `pyproject.toml`. Raises `BadInput` with file and line."""
    path = root / FILE
    if not path.is_file():
        raise BadInput("the file is missing", file=FILE, hint="beampermit new")
    text = decode(path.read_bytes(), FILE)
    content = parse_toml(text, FILE)
    validate(content, text)
    python = content.get("project", {}).get("requires-python")
    if not python:
        raise BadInput(
            "project.requires-python is missing: a lock is for a Python version",
            file=FILE,
            line=line_of(text, ("project",)),
        )
    return Specification(FILE, python, tuple(_requirements(content, text)), content, text)


def _requirements(content: dict[str, Any], text: str) -> Iterator[Requirement]:
    project, lines = content.get("project", {}), lines_of_strings(text)
    groups = [("", project.get("dependencies", []))]
    groups += [(f"extra {extra}", listed) for extra, listed in project.get("optional-dependencies", {}).items()]
    groups += _dependency_groups(content.get("dependency-groups", {}))
    _refuse_more(sum(len(listed) for _, listed in groups))
    for group, listed in groups:
        for written in listed:
            line = lines.get(written)
            yield Requirement(normalize(parse_requirement(written, line).name), written, group, line)


def _dependency_groups(groups: dict[str, list[str | dict[str, str]]]) -> list[tuple[str, list[str]]]:
    """The requirements of each dependency group, with those of the groups it includes. Raises `BadInput`."""
    members = {normalize(group): listed for group, listed in groups.items()}
    includes = {
        group: [normalize(one["include-group"]) for one in listed if isinstance(one, dict)]
        for group, listed in members.items()
    }
    try:
        order = list(TopologicalSorter(includes).static_order())
    except CycleError as error:
        raise BadInput(f"dependency group {error.args[1][0]!r} includes itself", file=FILE) from None
    requirements: dict[str, list[str]] = {}
    total = 0
    for group in order:
        if group not in members:
            raise BadInput(f"dependency group {group!r} is included and does not exist", file=FILE)
        # A group that is included twice counts once: else a chain of such groups doubles with each.
        listed = (
            [one] if isinstance(one, str) else requirements[normalize(one["include-group"])] for one in members[group]
        )
        requirements[group] = list(dict.fromkeys(chain.from_iterable(listed)))
        total += len(requirements[group])
        _refuse_more(total)
    return [(group, requirements[normalize(group)]) for group in groups]


def _refuse_more(requirements: int) -> None:
    if requirements > MOST:
        raise BadInput(f"there are more than {MOST} requirements, the limit", file=FILE)


def parse_requirement(text: str, line: int | None = None) -> Parsed:
    """Parse a requirement such as `numpy>=2`. Raises `BadInput`."""
    try:
        return Parsed(text)
    except InvalidRequirement as error:
        reason = str(error).splitlines()[0]
        raise BadInput(f"{text!r} is not a requirement: {reason}", file=FILE, line=line) from None


def settings_of(specification: Specification) -> dict[str, Any]:
    """The table `[tool.uv]`."""
    return specification.content.get("tool", {}).get("uv", {})


def normalize(name: str) -> str:
    """A package name as indexes compare it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def variants_of(lock: Lock) -> tuple[str, ...]:
    """The accelerator variants that the lock has."""
    own = own_package(lock)
    return tuple(name for name in ACCELERATORS if own and name in own.optional)


def choose_variant(lock: Lock, variant: str) -> str:
    """The variant to install: `cpu` where none is named and the lock has it. Raises `BadInput` for an unknown one."""
    variants = variants_of(lock)
    if not variant:
        return "cpu" if "cpu" in variants else ""
    if variant not in variants:
        raise BadInput(
            f"there is no extra {variant!r} for an accelerator; the lock has {', '.join(variants) or 'none'}",
            file=lock.file,
            # A project for one kind of machine needs no extra.
            hint=f"{'add' if variants else 'leave --variant out; or add'} the extra to "
            f"[project.optional-dependencies] of {FILE}, then {RELOCK}",
        )
    return variant


def variant_marker(lock: Lock) -> str:
    """The `extra` by which uv's markers name the lock's variant; empty where there is none."""
    own = own_package(lock)
    return f"extra-{len(own.name)}-{own.name}-{lock.variant}" if own and lock.variant else ""
