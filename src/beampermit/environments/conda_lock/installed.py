"""Whether a conda environment is its lock: package by package as `conda-meta` tells, and file by file."""

from __future__ import annotations

import hashlib
import json
import os
from collections import defaultdict
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from beampermit.environments.backend import Lock, Package
from beampermit.environments.conda_lock import channels
from beampermit.environments.conda_lock.packages import locked_for
from beampermit.environments.environment import STAMP, stamp_of
from beampermit.errors import BadInput, Problem, several

META = "conda-meta"
OWN = {STAMP, META, ".gitignore", "CACHEDIR.TAG"}
"""What lies in a prefix and is of no package."""
MOST_FILES = 3
"""So many changed files of a package are named."""
HASHERS = min(8, os.cpu_count() or 1)
CHUNK = 256


@dataclass(frozen=True)
class Installed:
    """One package as its record in `conda-meta` has it."""

    record: dict[str, Any]
    path: Path

    def __str__(self) -> str:
        return f"{self.record['name']} {self.record['version']} {self.record.get('build', '')}".strip()

    @property
    def files(self) -> Iterator[tuple[str, str | None]]:
        """Each file, relative to the prefix, with the sha256 it was linked with; None where there is none to know."""
        listed = self.record.get("paths_data", {}).get("paths", [])
        lead = self._lead
        known = set()
        for item in listed:
            name = _linked(item["_path"], lead)
            known.add(name)
            linked = item.get("path_type") in ("softlink", "directory")
            yield name, None if linked else item.get("sha256_in_prefix") or item.get("sha256")
        for name in self.record.get("files", []):
            if name not in known:
                yield name, None

    @property
    def _lead(self) -> str | None:
        """Where a package for any Python has its `site-packages/`: `lib/python3.11/`; None for another package."""
        if self.record.get("noarch") != "python":
            return None
        found = (name.partition("site-packages/") for name in self.record.get("files", []))
        return next((lead for lead, middle, _ in found if middle), None)


def _linked(name: str, lead: str | None) -> str:
    """Where a file was linked: conda records a package for any Python as it was packed, rattler as it was linked."""
    if lead is None:
        return name
    if name.startswith("site-packages/"):
        return lead + name
    return name.replace("python-scripts/", "bin/", 1) if name.startswith("python-scripts/") else name


def installed(lock: Lock, prefix: Path) -> Iterator[Problem]:
    """Where the environment at `prefix` is not the lock: missing, extra, another build, changed, put there by hand."""
    meant_lock = stamped(lock, prefix)
    found = list(_read(prefix))
    wanted = {package.name: package for package in locked_for(meant_lock, channels.current_platform())}
    yield from _named(meant_lock, wanted, found)
    yield from _changed(prefix, found)
    yield from _strays(prefix, found)


def stamped(lock: Lock, prefix: Path) -> Lock:
    """The lock, of this one and those of other variants, that the prefix was built from as its stamp says."""
    said = stamp_of(prefix)
    return next((one for one in lock.all if one.stamp == said), lock)


def _read(prefix: Path) -> Iterator[Installed]:
    if not (prefix / META).is_dir():
        raise BadInput("this is no conda environment: it has no conda-meta", file=prefix, hint="beampermit env install")
    for path in sorted((prefix / META).glob("*.json")):
        try:
            record = json.loads(path.read_bytes())
            yield Installed({"name": record["name"], "version": record["version"], **record}, path)
        except (ValueError, KeyError, TypeError):
            raise BadInput("this record cannot be read", file=path, hint="beampermit env install") from None


def _named(lock: Lock, wanted: dict[str, Package], found: list[Installed]) -> Iterator[Problem]:
    names = [one.record["name"] for one in found]
    for name in sorted(wanted.keys() - set(names)):
        yield Problem(f"{wanted[name]} is locked and not installed", lock.file, wanted[name].line)
    for one in found:
        package = wanted.get(one.record["name"])
        if package is None:
            yield Problem(f"{one} is installed and not in the lock", str(one.path))
        elif names.count(package.name) > 1:
            yield Problem(f"{package.name} is installed twice", str(one.path))
        elif (difference := _difference(one.record, package)) is not None:
            yield Problem(
                f"{one} is installed and {package} {package.build} is locked{difference}", lock.file, package.line
            )


def _difference(record: dict[str, Any], package: Package) -> str | None:
    """What makes the installed package another one than the locked; None for the same."""
    if (record["version"], record.get("build")) != (package.version, package.build):
        return ""
    sha256 = package.artifacts[0].sha256
    if record.get("sha256") != sha256:
        return f": it came from an archive with the sha256 {record.get('sha256')}, not {sha256}"
    return None


def _changed(prefix: Path, found: list[Installed]) -> Iterator[Problem]:
    """Packages with files that are missing or are not what was linked. Compiled modules come and go."""
    work = [
        (number, name, sha256)
        for number, one in enumerate(found)
        for name, sha256 in one.files
        if not name.endswith(".pyc")
    ]
    chunks = [work[start : start + CHUNK] for start in range(0, len(work), CHUNK)]
    by_package: dict[int, list[str]] = defaultdict(list)
    with ThreadPoolExecutor(HASHERS) as pool:
        for differences in pool.map(lambda chunk: _differences(str(prefix), chunk), chunks):
            for number, words in differences:
                by_package[number].append(words)
    for number, words in sorted(by_package.items()):
        yield Problem(f"{found[number]} was changed: {several(words, MOST_FILES)}", str(found[number].path))


def _differences(prefix: str, work: list[tuple[int, str, str | None]]) -> list[tuple[int, str]]:
    found = []
    for number, name, sha256 in work:
        path = f"{prefix}/{name}"
        try:
            if sha256 is None:
                os.lstat(path)
            elif _sha256(path) != sha256:
                found.append((number, f"{name} has other content"))
        except FileNotFoundError:
            found.append((number, f"{name} is missing"))
        except OSError as error:
            found.append((number, f"{name} cannot be read ({error.strerror})"))
    return found


def _sha256(path: str) -> str:
    """Most files are small: one read and one hash are faster than reading in pieces."""
    with open(path, "rb", buffering=0) as stream:  # noqa: PTH123 - Path costs a third of the time of 60,000 files
        if os.fstat(stream.fileno()).st_size > 2**24:
            return hashlib.file_digest(stream, "sha256").hexdigest()  # pyright: ignore[reportArgumentType]
        return hashlib.sha256(stream.read()).hexdigest()


def _strays(prefix: Path, found: list[Installed]) -> Iterator[Problem]:
    """Files and whole folders that belong to no package: put there by hand, or by pip."""
    files = {name for one in found for name, _ in one.files}
    folders = {""}
    for name in files:
        while name := name.rpartition("/")[0]:
            if name in folders:
                break
            folders.add(name)
    for name in _unowned(str(prefix), "", files, folders):
        yield Problem(f"{name} belongs to no package of the lock", str(prefix / name))


def _unowned(prefix: str, folder: str, files: set[str], folders: set[str]) -> Iterator[str]:
    with os.scandir(f"{prefix}/{folder}" if folder else prefix) as entries:
        for entry in sorted(entries, key=lambda one: one.name):
            name = f"{folder}/{entry.name}" if folder else entry.name
            if entry.name == "__pycache__" or (not folder and entry.name in OWN) or name in files:
                continue
            if not entry.is_dir(follow_symlinks=False):
                yield name
            elif name in folders:
                yield from _unowned(prefix, name, files, folders)
            elif any(_unowned(prefix, name, files, folders)):
                yield f"{name}/"
