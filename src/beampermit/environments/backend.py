"""The protocol of the two backends, uv and conda-lock, and the records that their locks are read into."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from beampermit.errors import Problem
from beampermit.progress import Progress


@dataclass(frozen=True)
class Artifact:
    """One file that a package may be installed from. `address` is a URL, or a path on this machine."""

    file_name: str
    address: str
    sha256: str | None
    """64 hexadecimal digits, or None where the lock gives no sha256."""
    named: tuple[str, str] | None = None
    """Package and version in the file's name; None if it is not the name of a package file."""
    local: bool = False
    size: int | None = None
    """In bytes, where the lock has it."""


@dataclass(frozen=True)
class Edge:
    """One package needs another. `version` and `source` are given where several are locked."""

    name: str
    version: str | None = None
    extras: tuple[str, ...] = ()
    marker: str | None = None
    source: str | None = None
    specifier: str = ""
    """Of the version, where the lock has one."""


@dataclass(frozen=True)
class Package:
    """A locked package. `source` is the index or channel; None where it comes from neither."""

    name: str
    version: str
    source: str | None
    origin: str
    """Where it comes from, for messages: `index https://...`, `git https://...`, `this project`."""
    artifacts: tuple[Artifact, ...]
    needs: tuple[Edge, ...] = ()
    optional: dict[str, tuple[Edge, ...]] = field(default_factory=dict)
    """What each extra adds to `needs`."""
    line: int | None = None
    own: bool = False
    """The project itself, which has no files in the lock."""
    platform: str = ""
    """The platform, if the lock has a solution for each: `linux-64`."""
    build: str = ""
    groups: tuple[str, ...] = ()
    """Its categories; empty where the lock has none."""
    pip: bool = False
    """In a conda lock: a wheel or sources of Python's index, which lie beside the conda packages."""

    @property
    def key(self) -> tuple[str, str, str]:
        """What no two packages of a lock share."""
        return (self.name, self.version, self.origin)

    def __str__(self) -> str:
        return f"{self.name} {self.version}"


@dataclass(frozen=True)
class Requirement:
    """A requirement of the project itself; `text` as it is written, `line` in the specification's file."""

    name: str
    text: str
    group: str = ""
    """Dependency group or category; empty for what the model itself needs."""
    line: int | None = None


@dataclass(frozen=True)
class Specification:
    """What the project requires: read from `pyproject.toml` or `environment.yml`."""

    file: str
    python: str
    requirements: tuple[Requirement, ...]
    content: dict[str, Any] = field(repr=False, default_factory=dict)
    """What the backend parsed, for its own use."""
    text: str = field(repr=False, default="")
    """The file's text, where the backend looks up lines in it."""
    indexes: tuple[tuple[str, int | None], ...] = ()
    """Addresses that any package may come from, with their lines, where the file names them one by one."""


SPECIFICATIONS = ("pyproject.toml", "environment.yml", "environment-dev.yml", ".python-version")
"""What a project's locks are made from, by any backend."""


@dataclass(frozen=True)
class Lock:
    """A lock file: one solution, each package with the files it may come from."""

    file: str
    digest: str
    """`sha256:` of the lock's text with `\\n` line ends: the same on every machine that checks it out."""
    text: str = field(repr=False)
    packages: tuple[Package, ...]
    content: dict[str, Any] = field(repr=False, default_factory=dict)
    variant: str = ""
    """The accelerator that it is for, or is installed for: `cuda`."""
    others: tuple[Lock, ...] = ()
    """The locks of the project's other variants."""

    @property
    def stamp(self) -> str:
        """The mark of an environment that was built from it."""
        return f"{self.digest} {self.variant}".rstrip()

    @property
    def all(self) -> tuple[Lock, ...]:
        """This lock and those of the other variants."""
        return (self, *self.others)

    @property
    def needed(self) -> tuple[str, ...]:
        """Paths of all that it is read with, in the project; of specifications, those that are there."""
        return (*(lock.file for lock in self.all), *SPECIFICATIONS)

    @property
    def sources(self) -> tuple[str, ...]:
        """Its indexes or channels, in order of their first use."""
        return tuple(dict.fromkeys(package.source for package in self.packages if package.source))

    def named(self, name: str) -> tuple[Package, ...]:
        """The packages of that name: several where platforms differ."""
        return tuple(package for package in self.packages if package.name == name)

    def line_of(self, part: str) -> int | None:
        """The first line that contains `part`."""
        return next((number for number, line in enumerate(self.text.splitlines(), 1) if part in line), None)


class Backend(Protocol):
    """A kind of lock: uv's or conda-lock's. Paths are the project's root and an environment's prefix."""

    @property
    def name(self) -> str:
        """Its name in `environment.backend` of the contract."""
        ...

    @property
    def lock_file(self) -> str:
        """The lock's name in the project's root."""
        ...

    @property
    def specification_file(self) -> str:
        """The name of the file with the project's requirements."""
        ...

    def detect(self, root: Path) -> bool:
        """Whether the folder has a specification of this backend."""
        ...

    def lock(self, root: Path, *, update: Sequence[str] = (), progress: Progress) -> Lock:
        """Solve and write the lock; packages in `update` may move, others stay where they can.

        Raises `Failed` where there is no solution, `Outside` where an index cannot be reached.
        """
        ...

    def parse(self, text: str, name: str) -> Lock:
        """Read a lock's text; `name` is what errors call it. Raises `BadInput`."""
        ...

    def read(self, root: Path) -> Lock:
        """Read the lock of the project. Raises `BadInput`, or `Absent` where there is none."""
        ...

    def specification(self, root: Path) -> Specification:
        """Read the project's requirements. Raises `BadInput`."""
        ...

    def stale(self, specification: Specification, lock: Lock) -> tuple[Problem, ...]:
        """Where the lock is not a solution of the specification, found without the network."""
        ...

    def is_complete(self, root: Path, prefix: Path) -> bool:
        """Whether the environment at `prefix`, which has the lock's stamp, is the lock's in every file.

        Raises as `install` does for a lock that must not be installed.
        """
        ...

    def install(self, root: Path, prefix: Path, *, cached: bool = True, progress: Progress) -> None:
        """Install the lock at `prefix`, with each file fetched again if not `cached`. Raises `Failed` or `Outside`."""
        ...

    def installed(self, lock: Lock, prefix: Path) -> tuple[Problem, ...]:
        """Where the environment at `prefix` differs from the lock, package by package."""
        ...
