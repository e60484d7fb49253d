"""An installed environment: the Python that a project's own code runs in."""

from __future__ import annotations

import os
import re
import shutil
import sys
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NoReturn

from packaging.specifiers import InvalidSpecifier, SpecifierSet

from beampermit.cache import cache_folder
from beampermit.environments.backend import Lock
from beampermit.environments.bytecode import bytecode_folder
from beampermit.errors import BadInput, Outside, Problem
from beampermit.processes import Finished, clean_variables, run

VARIABLE = "BEAMPERMIT_ENVIRONMENT"
"""The folder of the environment, if it is not `.venv` in the project."""
FOLDER = ".venv"
STAMP = ".beampermit-lock"
"""Written last into an environment that we build: the digest of its lock. Without it the environment is incomplete."""


@dataclass(frozen=True)
class Environment:
    """`passed` names variables of ours that the project's code gets besides those that it always gets."""

    prefix: Path
    passed: tuple[str, ...] = ()

    def passing(self, names: Sequence[str]) -> Environment:
        """The same environment, with the variables that `environment.variables` of a contract lets through."""
        return replace(self, passed=tuple(names))

    @property
    def python(self) -> Path:
        return python_in(self.prefix)

    def run(
        self,
        arguments: Sequence[str | Path],
        *,
        project: Path,
        env: Mapping[str, str] | None = None,
        timeout: float | None = None,
        own_code: bool = True,
        stdin: str | None = None,
        pass_fds: Sequence[int] = (),
    ) -> Finished:
        """Run `python *arguments` in the folder `project`, with the code of its `src` unless `own_code` is False.

        It gets none of our variables but those of `clean_variables`. Raises `Outside` when `timeout` (seconds) passed.
        """
        variables = {**self.clean_variables(project if own_code else None), **(env or {})}
        command = [self.python, *arguments]
        return run(command, cwd=project, env=variables, timeout=timeout, stdin=stdin, clean=True, pass_fds=pass_fds)

    def clean_variables(self, project: Path | None) -> dict[str, str]:
        """All variables of a process that runs the project's code in this environment."""
        return {**clean_variables(self.passed), **self.variables(project)}

    def variables(self, project: Path | None) -> dict[str, str]:
        """Variables that make a child process and its children use this environment, besides ours."""
        return {
            "PATH": os.pathsep.join((str(self.python.parent), os.environ.get("PATH", os.defpath))),
            "VIRTUAL_ENV": "" if _is_conda(self.prefix) else str(self.prefix),
            "CONDA_PREFIX": str(self.prefix) if _is_conda(self.prefix) else "",
            "PYTHONPATH": str(project / "src") if project else "",
            "PYTHONHOME": "",
            "PYTHONNOUSERSITE": "1",
            # Compiled modules make the second import two to three times faster; empty means unset. Those beside the
            # sources are not read: nobody can tell whether they were made of them.
            "PYTHONDONTWRITEBYTECODE": "",
            "PYTHONPYCACHEPREFIX": str(bytecode_folder()),
        }


def prefix_of(root: Path) -> Path:
    return root / (os.environ.get(VARIABLE) or FOLDER)


def python_in(prefix: Path) -> Path:
    """The interpreter of a virtual environment or a conda prefix."""
    return prefix / "python.exe" if sys.platform == "win32" and _is_conda(prefix) else prefix / _SCRIPTS / _PYTHON


def _is_conda(prefix: Path) -> bool:
    return (prefix / "conda-meta").is_dir()


_SCRIPTS, _PYTHON = ("Scripts", "python.exe") if sys.platform == "win32" else ("bin", "python")


def environment_of(root: Path, passed: Sequence[str] = ()) -> Environment:
    """The installed environment of the project at `root`. Raises `BadInput` where there is none."""
    environment = Environment(prefix_of(root).absolute(), tuple(passed))
    if not environment.python.exists():
        raise BadInput(f"no environment is installed at {environment.prefix}", hint="beampermit env install")
    return environment


def shared_environments() -> Path:
    """Where environments are kept for all projects and checkouts of this user. Raises as `cache_folder`."""
    return cache_folder() / "environments"


def stamp_of(prefix: Path) -> str:
    """The `Lock.stamp` that the environment was built from; empty where the build was not finished."""
    file = prefix / STAMP
    return file.read_text(encoding="utf-8", errors="replace").strip() if file.is_file() else ""


def exec_in(environment: Environment, command: Sequence[str], project: Path) -> NoReturn:
    """Replace this process by `command`, run in `environment`. Raises `Outside` where the program is missing."""
    variables = {**os.environ, **environment.variables(project)}
    program = shutil.which(command[0], path=variables["PATH"])
    if program is None:
        raise Outside(f"the program {command[0]!r} is neither in the environment nor on this machine")
    sys.stdout.flush()
    sys.stderr.flush()
    os.execve(program, list(command), variables)  # noqa: S606 - the user typed this command


PYPROJECT, PINNED = "pyproject.toml", ".python-version"
PATCHES = range(100)


def python_mismatches(root: Path, lock: Lock) -> Iterator[Problem]:
    """Where `requires-python` or `.python-version` contradicts the Python of a lock."""
    required, pinned = _required(root), pinned_python(root)
    for one in lock.all:
        locked = str(one.content.get("requires-python", ""))
        for version in {package.version for package in one.packages if package.name == "python"}:
            if required is not None and not required.contains(version, prereleases=True):
                yield Problem(f"requires-python is {required}, {one.file} has Python {version}", PYPROJECT)
            if pinned and not f"{version}.".startswith(f"{pinned}."):
                yield Problem(f"the file has Python {pinned}, {one.file} has Python {version}", PINNED, 1)
        if pinned and locked and not _allowed(pinned, locked):
            yield Problem(f"the file has Python {pinned}, {one.file} is for {locked}", PINNED, 1)


def _required(root: Path) -> SpecifierSet | None:
    """`requires-python` of `pyproject.toml`; None where there is none, or where the backend reports it as invalid."""
    try:
        content = tomllib.loads((root / PYPROJECT).read_text(encoding="utf-8"))
        return SpecifierSet(str(content["project"]["requires-python"]))
    except (OSError, ValueError, KeyError, TypeError, RecursionError, InvalidSpecifier):
        return None


def pinned_python(root: Path) -> str:
    """The first version in `.python-version`: `3.11` or `3.11.7`; empty where there is none."""
    file = root / PINNED
    text = file.read_text(encoding="utf-8", errors="replace") if file.is_file() else ""
    version = re.match(r"\s*(?:cpython-|python)?(\d+\.\d+(?:\.\d+)?)", text)
    return version[1] if version else ""


def _allowed(version: str, specifier: str) -> bool:
    try:
        allowed = SpecifierSet(specifier)
    except InvalidSpecifier:
        return True
    exact = version.count(".") > 1
    return any(allowed.contains(one) for one in ([version] if exact else [f"{version}.{patch}" for patch in PATCHES]))
