"""An installed environment: the Python that a project's own code runs in."""

from __future__ import annotations

import os
import re
import shutil
import sys
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

from packaging.specifiers import InvalidSpecifier, SpecifierSet

from beampermit.environments.backend import Lock
from beampermit.errors import BadInput, Outside, Problem
from beampermit.processes import Finished, run

VARIABLE = "BEAMPERMIT_ENVIRONMENT"
"""Names the folder of the environment, where it is not `.venv` in the project."""
FOLDER = ".venv"
STAMP = ".beampermit-lock"
"""Written last into an environment that we build: the digest of its lock. Without it the environment is half of one."""


@dataclass(frozen=True)
class Environment:
    """The environment installed at `prefix`."""

    prefix: Path

    @property
    def python(self) -> Path:
        """The interpreter."""
        return python_in(self.prefix)

    def run(
        self,
        arguments: Sequence[str | Path],
        *,
        project: Path,
        env: Mapping[str, str] | None = None,
        timeout: float | None = None,
        own_code: bool = True,
    ) -> Finished:
        """Run `python *arguments` in the folder `project`, with the code of its `src` unless `own_code` is False.

        Raises `Outside` when `timeout` (seconds) passed.
        """
        variables = {**self.variables(project if own_code else None), **(env or {})}
        return run([self.python, *arguments], cwd=project, env=variables, timeout=timeout)

    def variables(self, project: Path | None) -> dict[str, str]:
        """What makes this environment the one that a child process and its own children use."""
        return {
            "PATH": os.pathsep.join((str(self.python.parent), os.environ.get("PATH", os.defpath))),
            "VIRTUAL_ENV": "" if _is_conda(self.prefix) else str(self.prefix),
            "CONDA_PREFIX": str(self.prefix) if _is_conda(self.prefix) else "",
            "PYTHONPATH": str(project / "src") if project else "",
            "PYTHONHOME": "",
            "PYTHONNOUSERSITE": "1",
            # Compiled modules make the second import two to three times faster; an empty value is as good as none.
            "PYTHONDONTWRITEBYTECODE": "",
        }


def prefix_of(root: Path) -> Path:
    """Where the environment of the project at `root` is, or is to be."""
    named = os.environ.get(VARIABLE)
    return root / named if named else root / FOLDER


def python_in(prefix: Path) -> Path:
    """The interpreter of a virtual environment or a conda prefix."""
    return prefix / "python.exe" if sys.platform == "win32" and _is_conda(prefix) else prefix / _SCRIPTS / _PYTHON


def _is_conda(prefix: Path) -> bool:
    return (prefix / "conda-meta").is_dir()


_SCRIPTS, _PYTHON = ("Scripts", "python.exe") if sys.platform == "win32" else ("bin", "python")


def environment_of(root: Path) -> Environment:
    """The installed environment of the project at `root`. Raises `BadInput` where there is none."""
    found = Environment(prefix_of(root).absolute())
    if not found.python.exists():
        raise BadInput(f"no environment is installed at {found.prefix}", hint="beampermit env install")
    return found


def stamp_of(prefix: Path) -> str:
    """The `Lock.stamp` that the environment at `prefix` was built from; empty where nobody finished building it."""
    file = prefix / STAMP
    return file.read_text(encoding="utf-8", errors="replace").strip() if file.is_file() else ""


def installation_records(root: Path) -> tuple[Path, ...]:
    """Files that change when a package of the project's environment is installed, removed or moved."""
    prefix = prefix_of(root)
    records = ("lib/python*/site-packages/*.dist-info/RECORD", "conda-meta/*.json")
    return (prefix / "pyvenv.cfg", prefix / STAMP, *(path for kind in records for path in sorted(prefix.glob(kind))))


def exec_in(environment: Environment, command: Sequence[str], project: Path) -> NoReturn:
    """Become `command`, run in `environment`. Raises `Outside` for a program that is not there."""
    variables = {**os.environ, **environment.variables(project)}
    found = shutil.which(command[0], path=variables["PATH"])
    if found is None:
        raise Outside(f"the program {command[0]!r} is neither in the environment nor on this machine")
    sys.stdout.flush()
    sys.stderr.flush()
    os.execve(found, list(command), variables)  # noqa: S606 - the user asked for this very command


PYPROJECT, PINNED = "pyproject.toml", ".python-version"
PATCHES = range(100)


def python_mismatches(root: Path, lock: Lock) -> Iterator[Problem]:
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
