"""Reads an environment: its Python, and its packages from their dist-info folders."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from beampermit.environments.environment import python_in
from beampermit.errors import BadInput, Outside
from beampermit.processes import run

DESCRIBE = """
import json, os, platform, sys
full = platform.python_version()
print(json.dumps({
    "implementation_name": sys.implementation.name, "implementation_version": full, "os_name": os.name,
    "platform_machine": platform.machine(), "platform_python_implementation": platform.python_implementation(),
    "platform_release": platform.release(), "platform_system": platform.system(),
    "platform_version": platform.version(), "python_full_version": full,
    "python_version": ".".join(platform.python_version_tuple()[:2]), "sys_platform": sys.platform}))
"""
UNOWNED = re.compile(r"__pycache__|_virtualenv\.(py|pth)|[^/]+\.dist-info|distutils-precedence\.pth")
"""What site-packages of a new virtual environment hold besides packages."""


@dataclass(frozen=True)
class Distribution:
    """One installed package; `folder` is its dist-info."""

    name: str
    version: str
    requires: tuple[str, ...]
    folder: Path

    def __str__(self) -> str:
        return f"{self.name} {self.version}"

    @cached_property
    def files(self) -> tuple[tuple[str, int | None], ...]:
        """Files of its RECORD, relative to site-packages, with their sizes in bytes where given."""
        record = self.folder / "RECORD"
        if not record.is_file():
            return ()
        with record.open(encoding="utf-8", newline="") as stream:
            rows = [row for row in csv.reader(stream) if row]
        return tuple((row[0], int(row[2]) if len(row) > 2 and row[2].isdecimal() else None) for row in rows)

    @property
    def installer(self) -> str:
        """The program that installed it; empty where unknown."""
        return self._read("INSTALLER").strip()

    @property
    def address(self) -> str | None:
        """The URL or folder it was installed from; None if it came from an index."""
        text = self._read("direct_url.json")
        return str(json.loads(text).get("url", "an unknown place")) if text else None

    def changed(self) -> Iterator[str]:
        """Files that are missing or differ in size from its RECORD. Compiled modules come and go."""
        for name, size in self.files:
            try:
                actual = (self.folder.parent / name).stat().st_size
            except OSError:
                actual = None
            if actual is None and not name.endswith(".pyc"):
                yield f"{name} is missing"
            elif actual is not None and size is not None and actual != size:
                yield f"{name} is {actual} bytes and was {size}"

    def _read(self, file: str) -> str:
        path = self.folder / file
        return path.read_text(encoding="utf-8", errors="replace") if path.is_file() else ""


def describe(prefix: Path) -> dict[str, str]:
    """The variables of markers for the Python at `prefix`. Raises `BadInput` where it does not start."""
    try:
        # Isolated and without site: no code of the environment's packages runs here.
        finished = run([python_in(prefix), "-I", "-S", "-c", DESCRIBE], cwd=prefix, timeout=60)
        return json.loads(finished.out)
    except (Outside, ValueError, NotADirectoryError, PermissionError):
        raise BadInput(
            "the environment's Python does not start", file=python_in(prefix), hint="beampermit env install"
        ) from None


def site_packages(prefix: Path, python: dict[str, str]) -> Path:
    if python["os_name"] == "nt":
        return prefix / "Lib/site-packages"
    return prefix / f"lib/python{python['python_version']}/site-packages"


def distributions(site: Path) -> list[Distribution]:
    """The installed packages, by name."""
    return sorted((_read(folder) for folder in site.glob("*.dist-info")), key=lambda one: (one.name, one.version))


def strays(site: Path, installed: list[Distribution]) -> list[str]:
    """Modules and `.pth` files in site-packages that are in no package's RECORD."""
    owned = {name.split("/", 1)[0] for distribution in installed for name, _ in distribution.files}
    return sorted(path.name for path in site.iterdir() if path.name not in owned and not UNOWNED.fullmatch(path.name))


def _read(folder: Path) -> Distribution:
    headers: dict[str, list[str]] = {}
    try:
        with (folder / "METADATA").open(encoding="utf-8", errors="replace") as stream:
            for line in stream:
                if not line.strip():
                    break
                key, _, value = line.partition(":")
                headers.setdefault(key.lower(), []).append(value.strip())
    except OSError:
        pass
    stem = folder.name.removesuffix(".dist-info").rpartition("-")
    return Distribution(
        name=re.sub(r"[-_.]+", "-", headers.get("name", [stem[0]])[0]).lower(),
        version=headers.get("version", ["unknown"])[0],
        requires=tuple(headers.get("requires-dist", ())),
        folder=folder,
    )
