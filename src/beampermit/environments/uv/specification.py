"""What a project requires, read from `pyproject.toml`, and which of its extras are accelerator variants."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from packaging.requirements import InvalidRequirement
from packaging.requirements import Requirement as Parsed

from beampermit.environments.backend import Lock, Requirement, Specification
from beampermit.environments.uv.lockfile import RELOCK, own_package
from beampermit.errors import BadInput
from beampermit.reading import decode, parse_toml

FILE = "pyproject.toml"
ACCELERATORS = ("cpu", "cuda")


def read(root: Path) -> Specification:
    """Read the project's `pyproject.toml`. Raises `BadInput` with file and line."""
    path = root / FILE
    if not path.is_file():
        raise BadInput("the file is missing", file=FILE, hint="beampermit new")
    text = decode(path.read_bytes(), FILE)
    content = parse_toml(text, FILE)
    python = content.get("project", {}).get("requires-python")
    if not python:
        raise BadInput(
            "project.requires-python is missing: a lock is for a Python version",
            file=FILE,
            line=_line(text, "[project]"),
        )
    return Specification(FILE, python, tuple(_requirements(content, text)), content)


def _requirements(content: dict[str, Any], text: str) -> Iterator[Requirement]:
    project = content.get("project", {})
    groups = [("", project.get("dependencies", []))]
    groups += [(f"extra {extra}", listed) for extra, listed in project.get("optional-dependencies", {}).items()]
    groups += [(group, _group_requirements(content, group)) for group in content.get("dependency-groups", {})]
    for group, listed in groups:
        for written in listed:
            yield Requirement(normalize(parse_requirement(written).name), written, group, _line(text, written))


def _group_requirements(content: dict[str, Any], group: str, outer: tuple[str, ...] = ()) -> list[str]:
    """The requirements of a dependency group, with those of the groups it includes. Raises `BadInput`."""
    groups = {normalize(name): members for name, members in content.get("dependency-groups", {}).items()}
    if normalize(group) in outer:
        raise BadInput(f"dependency group {group!r} includes itself", file=FILE)
    if normalize(group) not in groups:
        raise BadInput(f"dependency group {group!r} is included and does not exist", file=FILE)
    requirements: list[str] = []
    for member in groups[normalize(group)]:
        if isinstance(member, str):
            requirements.append(member)
        else:
            requirements += _group_requirements(content, member["include-group"], (*outer, normalize(group)))
    return requirements


def parse_requirement(text: str) -> Parsed:
    """Parse a requirement such as `numpy>=2`. Raises `BadInput`."""
    try:
        return Parsed(text)
    except InvalidRequirement as error:
        raise BadInput(f"{text!r} is not a requirement: {str(error).splitlines()[0]}", file=FILE) from None


def settings_of(specification: Specification) -> dict[str, Any]:
    """The table `[tool.uv]`."""
    return specification.content.get("tool", {}).get("uv", {})


def normalize(name: str) -> str:
    """A package name as indexes compare it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def _line(text: str, part: str) -> int | None:
    return next((number for number, line in enumerate(text.splitlines(), 1) if part in line), None)


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
