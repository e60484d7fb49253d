"""Reads an environment: its Python, and its packages from their dist-info folders."""

from __future__ import annotations

import base64
import csv
import json
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path

from beampermit.environments.bytecode import bytecode_folder
from beampermit.environments.environment import python_in
from beampermit.errors import BadInput, Outside
from beampermit.processes import clean_variables, run

DESCRIBE = """
import os, sys
full, python = sys.version.split()[0], "CPython"
if os.name == "posix" and sys.implementation.name == "cpython":
    system, _, release, version, machine = os.uname()  # what platform says, whose import takes as long as all else
else:
    import platform
    full, python = platform.python_version(), platform.python_implementation()
    system, _, release, version, machine, _ = platform.uname()
named = {
    "implementation_name": sys.implementation.name, "implementation_version": full, "os_name": os.name,
    "platform_machine": machine, "platform_python_implementation": python, "platform_release": release,
    "platform_system": system, "platform_version": version, "python_full_version": full,
    "python_version": ".".join(full.split(".")[:2]), "sys_platform": sys.platform}
quoted = lambda text: '"%s"' % text.replace("\\\\", "\\\\\\\\").replace('"', '\\\\"')
print("{%s}" % ", ".join(quoted(name) + ": " + quoted(value) for name, value in named.items()))
"""
INSTALLERS = re.compile(r"[^/]+\.dist-info/(RECORD|INSTALLER|REQUESTED|direct_url\.json|uv_[a-z]+\.json)")


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
    def rows(self) -> tuple[tuple[str, str, int | None], ...]:
        """Its files as RECORD lists them: path from site-packages, `sha256=...` or empty, size in bytes where given."""
        record = self.folder / "RECORD"
        if not record.is_file():
            return ()
        with record.open(encoding="utf-8", errors="replace", newline="") as stream:
            rows = [(*row, "", "") for row in csv.reader(stream) if row]
        return tuple((row[0], row[1], int(row[2]) if row[2].isdecimal() else None) for row in rows)

    @cached_property
    def files(self) -> dict[str, tuple[str, str, int | None]]:
        """Path in the environment of each of its files -> its row."""
        site = self.folder.parent
        below = f"lib/{site.parent.name}/{site.name}/"
        return {
            os.path.normpath(below + row[0]) if row[0].startswith((".", "/")) else below + row[0]: row
            for row in self.rows
        }

    @property
    def installer(self) -> str:
        """The program that installed it; empty where unknown."""
        return self._read("INSTALLER").strip()

    @property
    def address(self) -> str | None:
        """The URL or folder it was installed from; None if it came from an index."""
        text = self._read("direct_url.json")
        return str(json.loads(text).get("url", "an unknown place")) if text else None

    @property
    def archive(self) -> str | None:
        """The sha256 of the file that it was installed from, where pip noted its address."""
        info = json.loads(self._read("direct_url.json") or "{}").get("archive_info", {})
        return info.get("hashes", {}).get("sha256") or info.get("hash", "").removeprefix("sha256=") or None

    def changed(self, prefix: Path, actual: Mapping[str, str | None]) -> Iterator[str]:
        """Its files that are not as RECORD says; `actual` is what each is, by path in the environment."""
        for name, (written, sha256, size) in self.files.items():
            if is_installers(written) or is_cached(name) or not sha256:
                continue
            found = actual.get(name)
            if found is None:
                yield f"{written} is missing"
            elif found != _hexadecimal(sha256):
                now = (prefix / name).lstat().st_size
                yield f"{written} is {now} bytes and was {size}" if now != size else f"{written} has other content"

    def _read(self, file: str) -> str:
        path = self.folder / file
        return path.read_text(encoding="utf-8", errors="replace") if path.is_file() else ""


def describe(prefix: Path) -> dict[str, str]:
    """The variables of markers for the Python at `prefix`, asked once for as long as that is the same file.

    Raises `BadInput` where it does not start.
    """
    python, configuration = python_in(prefix), prefix / "pyvenv.cfg"
    try:
        state = [python.lstat(), python.stat(), *([configuration.stat()] if configuration.exists() else [])]
    except OSError:
        return start_python(prefix)
    return dict(_described(prefix, tuple((one.st_dev, one.st_ino, one.st_size, one.st_ctime_ns) for one in state)))


@lru_cache(maxsize=64)
def _described(prefix: Path, _: tuple[tuple[int, ...], ...]) -> dict[str, str]:
    return start_python(prefix)


def start_python(prefix: Path) -> dict[str, str]:
    """What `describe` gives, of a Python that is started now."""
    try:
        # Isolated and without site: no code of the environment's packages runs here.
        options = ["-I", "-S", "-X", f"pycache_prefix={bytecode_folder()}"]
        command = [python_in(prefix), *options, "-c", DESCRIBE]
        # It may be any program: only `installed` tells whether it is the locked one.
        finished = run(command, cwd=prefix, env=clean_variables(), timeout=60, clean=True)
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


def is_cached(name: str) -> bool:
    """Whether a file lies where Python keeps compiled code: it comes and goes, and what we run reads it nowhere."""
    return "/__pycache__/" in name or name.startswith("__pycache__/")


def is_installers(written: str) -> bool:
    """Whether a file of RECORD is one that the installer writes, and that may differ with each installation."""
    return ".dist-info/" in written and bool(INSTALLERS.fullmatch(written))


def _hexadecimal(sha256: str) -> str:
    """The digest in a row of RECORD, `sha256=` in urlsafe base64, in hexadecimal digits."""
    try:
        return base64.urlsafe_b64decode(sha256.removeprefix("sha256=") + "=").hex()
    except ValueError:
        return sha256


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
