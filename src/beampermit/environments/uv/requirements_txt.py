"""A project with a `requirements.txt` alone, whose `pyproject.toml` is made from it when it is locked."""

from __future__ import annotations

import posixpath
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from packaging.requirements import InvalidRequirement
from packaging.requirements import Requirement as Parsed

from beampermit.environments.backend import Lock
from beampermit.environments.environment import pinned_python
from beampermit.environments.uv import specification
from beampermit.environments.uv.command import uv
from beampermit.environments.uv.files import REACH_NOTHING
from beampermit.environments.uv.specification import BEGUN, FILE, REQUIREMENTS, normalize
from beampermit.errors import BadInput, BeampermitError, Failed
from beampermit.files import write_text
from beampermit.reading import decode

OPTION = re.compile(r"\s*(--?[\w-]+)[\s=]*(\S*)")
INDEX_OPTIONS = ("-i", "--index-url", "--extra-index-url", "-f", "--find-links")
DEEPEST = 16
"""Files that include one another."""


def to_adopt(root: Path) -> bool:
    """Whether `requirements.txt` counts: there is no `pyproject.toml`, or one that a killed run began.

    Raises `BadInput` where that run's `requirements.txt` is gone.
    """
    file, listed = root / FILE, (root / REQUIREMENTS).is_file()
    if not file.is_file():
        return listed
    begun = file.read_bytes().startswith(BEGUN.encode())
    if begun and not listed:
        hint = f"put it back, or delete {FILE}"
        raise BadInput(f"{REQUIREMENTS}, which this file is made from, is missing", file=FILE, line=1, hint=hint)
    return begun


def adopt(root: Path) -> None:
    """Write a `pyproject.toml` with the requirements of `requirements.txt`, marked as begun. Raises `BadInput`."""
    file = root / FILE
    write_text(file, BEGUN + _project_table(root))
    try:
        python = f"--python={sys.executable}"
        uv(["add", "--frozen", python, "--requirements", REQUIREMENTS], cwd=root, env=REACH_NOTHING)
        specification.refuse_unlockable(specification.read(root, begun=True))
    except BeampermitError as error:
        file.unlink()
        raise BadInput(error.message, file=REQUIREMENTS, hint=f"correct it, or write a {FILE}") from None


def finish(root: Path, lock: Lock) -> None:
    """Let the `pyproject.toml` count. Raises `Failed` where the lock lacks a hash that `requirements.txt` pins."""
    _refuse_unpinned(root, lock)
    file = root / FILE
    write_text(file, file.read_text(encoding="utf-8").removeprefix(BEGUN))


def _project_table(root: Path) -> str:
    """A `pyproject.toml` for a project with a `requirements.txt` alone, with the indexes that it names."""
    import tomlkit

    name = re.sub(r"[^a-z0-9]+", "-", root.resolve().name.lower()).strip("-") or "project"
    project = {"name": name, "version": "0.1.0", "requires-python": f">={_minor(root)}", "dependencies": []}
    settings: dict[str, Any] = {"package": False}
    for option, value in _options(root):
        if option in ("-f", "--find-links"):
            settings.setdefault("find-links", []).append(value)
        else:
            index = {"url": value} | ({} if option.startswith("--extra") else {"default": True})
            settings.setdefault("index", []).append(index)
    return tomlkit.dumps({"project": project, "tool": {"uv": settings}})


def _minor(root: Path) -> str:
    """The Python that `.python-version` names, else the one that runs us: `3.11`."""
    return pinned_python(root) or f"{sys.version_info.major}.{sys.version_info.minor}"


def _options(root: Path) -> Iterator[tuple[str, str]]:
    """The options with which `requirements.txt` names indexes. Raises `BadInput` for one that would be lost."""
    for name, number, line in _lines(root, REQUIREMENTS):
        match = OPTION.match(line)
        option, value = match.groups() if match else ("", "")
        if option in INDEX_OPTIONS:
            yield option, value
            continue
        known = ("-e", "--editable") if option else ("--hash",)
        lost = [one for one in ([option] if option else re.findall(r"\s(--[\w-]+)", line)) if one not in known]
        if lost:
            hint = f"write a {FILE}, with [project] and what of it matters in [tool.uv]"
            raise BadInput(f"{lost[0]} is not taken over", file=name, line=number, hint=hint)


def _lines(root: Path, name: str, depth: int = 0) -> Iterator[tuple[str, int, str]]:
    """File, number and text of each line of `requirements.txt` and what it includes; continued ones as one."""
    file = root / name
    text = decode(file.read_bytes(), name) if file.is_file() and depth < DEEPEST else ""
    begun: list[str] = []
    for number, line in enumerate(text.splitlines(), 1):
        begun.append(re.sub(r"(^|\s)#.*", "", line).removesuffix("\\"))
        if line.endswith("\\") and len(begun[-1]) == len(line) - 1:
            continue
        whole, first, begun = " ".join(begun), number + 1 - len(begun), []
        match = OPTION.match(whole)
        if match and match[1] in ("-r", "--requirement"):
            yield from _lines(root, posixpath.join(posixpath.dirname(name), match[2]), depth + 1)
        elif whole.strip():
            yield name, first, whole


def _refuse_unpinned(root: Path, lock: Lock) -> None:
    """Raise `Failed` for a locked package none of whose files has a hash that `requirements.txt` gives for it."""
    for name, number, line in _lines(root, REQUIREMENTS):
        pinned = set(re.findall(r"\s--hash[=\s]\s*(\S+)", line))
        if not pinned:
            continue
        text = re.split(r"\s--hash", line)[0].strip()
        try:
            wanted = Parsed(text)
        except InvalidRequirement:
            raise BadInput(f"{text} has a hash and no name: write NAME @ {text}", file=name, line=number) from None
        for package in lock.named(normalize(wanted.name)):
            if not wanted.specifier.contains(package.version, prereleases=True):
                continue
            if pinned.isdisjoint(f"sha256:{artifact.sha256}" for artifact in package.artifacts):
                raise Failed(
                    f"no file of {package} on the index has a hash that is pinned here",
                    file=name,
                    line=number,
                    hint="ask who serves the index; where the pins are wrong, write the sha256 or take --hash out",
                )
