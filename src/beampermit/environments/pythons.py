"""Whether every file that names a Python version names that of the lock."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from pathlib import Path

from packaging.specifiers import InvalidSpecifier, SpecifierSet

from beampermit.environments.backend import Lock, Problem

PYPROJECT, PINNED = "pyproject.toml", ".python-version"
PATCHES = range(100)


def disagreeing(root: Path, lock: Lock) -> Iterator[Problem]:
    """`requires-python` and `.python-version` against the Python that each lock installs, or is for."""
    required, pinned = _required(root), _pinned(root)
    for one in lock.all:
        asked = str(one.content.get("requires-python", ""))
        for version in {package.version for package in one.packages if package.name == "python"}:
            if required is not None and not required.contains(version, prereleases=True):
                yield Problem(f"requires-python is {required}, and {one.file} has Python {version}", PYPROJECT)
            if pinned and not f"{version}.".startswith(f"{pinned}."):
                yield Problem(f"Python {pinned} is named here, and {one.file} has Python {version}", PINNED, 1)
        if pinned and asked and not _allowed(pinned, asked):
            yield Problem(f"Python {pinned} is named here, and {one.file} is for {asked}", PINNED, 1)


def _required(root: Path) -> SpecifierSet | None:
    """What `pyproject.toml` asks for; None where it asks for nothing, or is judged by who reads all of it."""
    try:
        content = tomllib.loads((root / PYPROJECT).read_text(encoding="utf-8"))
        return SpecifierSet(content["project"]["requires-python"])
    except (OSError, ValueError, KeyError, TypeError, InvalidSpecifier):
        return None


def _pinned(root: Path) -> str:
    """The version that `.python-version` names first: `3.11` or `3.11.7`; empty where it names none."""
    file = root / PINNED
    text = file.read_text(encoding="utf-8", errors="replace") if file.is_file() else ""
    found = re.match(r"\s*(?:cpython-|python)?(\d+\.\d+(?:\.\d+)?)", text)
    return found[1] if found else ""


def _allowed(version: str, asked: str) -> bool:
    try:
        wanted = SpecifierSet(asked)
    except InvalidSpecifier:
        return True
    exact = version.count(".") > 1
    return any(wanted.contains(one) for one in ([version] if exact else [f"{version}.{patch}" for patch in PATCHES]))
