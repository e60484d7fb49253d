"""What was installed, recorded in our cache folder, where a project's code has no business, and compared at each check.

Of each locked package: the digests of its files as they were installed from a file that had just been hashed. Of each
environment: the files that belong to no package, and the Python that it starts.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import stat
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from platform import machine

from beampermit.cache import cache_folder
from beampermit.digest import digest_bytes, digest_json
from beampermit.environments.backend import Package
from beampermit.files import write_text

THREADS = min(8, os.cpu_count() or 1)
CHUNK = 256
RACY = 100_000_000
"""Nanoseconds within which a file may change twice at the same time of change."""
UNCHECKED = b"\x01\x00\x00\x00"
"""Flags of compiled code that Python runs without a look at its source (PEP 552)."""
SHEBANG = re.compile(rb"#!/bin/sh\n'''exec' (?P<long>.+?) \"\$0\" \"\$@\"\n' '''\n|#!(?P<short>[^\n]+)\n")


class Hashes:
    """The sha256 of an environment's files. A file is hashed again once its size, inode or times have changed.

    Anybody can set a file's time of modification; only the system sets the time of its last change.
    """

    def __init__(self, prefix: Path):
        self._file = _place("hashes", prefix)
        self._kept: dict[str, str] = _load(self._file)
        self._seen: dict[str, str] = {}

    def of(self, paths: Iterable[str], read: Callable[[str], str] | None = None) -> dict[str, str | None]:
        """Path -> sha256 of the file, `-> target` of a link, None where there is neither; or what `read` gives."""
        results: dict[str, str | None] = {}
        work: list[tuple[str, str]] = []
        for path in paths:
            results[path] = answer = self._known(path)
            if answer == "":
                work.append((path, ""))
        read = read or _sha256
        chunks = [work[start : start + CHUNK] for start in range(0, len(work), CHUNK)]
        # hashlib releases the GIL.
        with ThreadPoolExecutor(THREADS) as pool:
            for answers in pool.map(lambda chunk: [self._read(path, read) for path, _ in chunk], chunks):
                results.update(answers)
        return results

    def save(self, *, partial: bool = False) -> None:
        """Keep what was hashed. Files that nobody asked for are forgotten as gone, unless only a part was looked at."""
        seen = {**self._kept, **self._seen} if partial else self._seen
        if seen != self._kept:
            write_text(self._file, json.dumps(seen, separators=(",", ":")))

    def _known(self, path: str) -> str | None:
        try:
            status = os.lstat(path)
        except (OSError, ValueError):
            return None
        if stat.S_ISLNK(status.st_mode):
            return f"-> {os.readlink(path)}"  # noqa: PTH115 - Path costs a third of the time of 60,000 files
        if not stat.S_ISREG(status.st_mode):
            return "not a file"
        kept, state = self._kept.get(path, ""), _state(status)
        if not kept.startswith(state):
            return ""
        self._seen[path] = kept
        return kept[len(state) :]

    def _read(self, path: str, read: Callable[[str], str]) -> tuple[str, str | None]:
        try:
            began, before = time.time_ns(), os.lstat(path)
            answer = read(path)
            after = os.lstat(path)
        except OSError as error:
            return path, f"cannot be read ({error.strerror})"
        if _state(before) == _state(after) and began - before.st_ctime_ns > RACY:
            self._seen[path] = _state(before) + answer
        return path, answer


def is_unchecked(path: str) -> str:
    """`unchecked` for compiled code that Python runs whatever its source says."""
    with open(path, "rb", buffering=0) as stream:  # noqa: PTH123
        return "unchecked" if stream.read(8)[4:] == UNCHECKED else "checked"


def files_below(prefix: Path) -> Iterator[str]:
    """Every file and link below a folder, relative to it; links are not followed."""
    waiting = [""]
    while waiting:
        folder = waiting.pop()
        with os.scandir(prefix / folder) as entries:
            for entry in entries:
                if entry.is_dir(follow_symlinks=False):
                    waiting.append(f"{folder}{entry.name}/")
                else:
                    yield f"{folder}{entry.name}"


def script_digest(prefix: Path, path: str) -> str | None:
    """The sha256 of a script without its first line, where that starts the environment's own Python; None for others.

    An installer writes the environment's folder into that line, so that it differs between environments.
    """
    try:
        with open(path, "rb", buffering=0) as stream:  # noqa: PTH123
            if stream.read(2) != b"#!":
                return None
            content = b"#!" + stream.readall()
    except OSError:
        return None
    first = SHEBANG.match(content)
    python = Path(os.fsdecode((first["long"] or first["short"]).strip(b"'\" "))) if first else Path()
    if first and python.name.startswith("python") and python.parent.resolve() == (prefix / "bin").resolve():
        content = b"#!python\n" + content[first.end() :]
    return hashlib.sha256(content).hexdigest()


def recorded(package: Package) -> frozenset[str]:
    """The digests that a locked package had when it was installed from a file that had just been hashed."""
    file = _of_package(package)
    return frozenset(file.read_text(encoding="utf-8").split()) if file.is_file() else frozenset()


def record(package: Package, digest: str) -> None:
    """Add one. A package may have several: files for several Pythons, or sources, which are built."""
    known = recorded(package)
    if digest not in known:
        write_text(_of_package(package), "\n".join(sorted({*known, digest})) + "\n")


@dataclass(frozen=True)
class Seal:
    """The files of an environment that belong to no package, as they were when it was installed.

    Path in the environment, or of the Python outside, to sha256 or `-> target`.
    """

    files: Mapping[str, str]

    @classmethod
    def of(cls, prefix: Path) -> Seal | None:
        """The seal of the environment at `prefix`; None where nobody installed it with this cache folder."""
        files = _load(_place("installed", prefix))
        return cls(files) if files else None

    def write(self, prefix: Path) -> None:
        write_text(_place("installed", prefix), json.dumps(self.files, indent=1) + "\n")

    def broken(self, prefix: Path, hashes: Hashes) -> list[str]:
        """The files that are not as they were."""
        actual = hashes.of(str(prefix / name) for name in self.files)
        return sorted(name for name, was in self.files.items() if actual[str(prefix / name)] != was)


def seal_of(prefix: Path, names: Sequence[str], hashes: Hashes) -> Seal:
    """Seal the files `names` below `prefix`, and the Python that the environment's own leads to."""
    python = (prefix / "bin/python").resolve()
    places = [*names, *([] if python.is_relative_to(prefix.resolve()) else [str(python)])]
    actual = hashes.of(str(prefix / name) for name in places)
    return Seal({name: answer for name in places if (answer := actual[str(prefix / name)]) is not None})


def _of_package(package: Package) -> Path:
    hashes = sorted(artifact.sha256 or "" for artifact in package.artifacts)
    key = digest_json([package.name, package.version, hashes, sys.platform, machine()])
    return cache_folder() / "installed/packages" / key.removeprefix("sha256:")


def _place(kind: str, prefix: Path) -> Path:
    return cache_folder() / kind / f"{digest_bytes(os.fsencode(prefix.resolve()))[7:39]}.json"


def _load(file: Path) -> dict[str, str]:
    try:
        return json.loads(file.read_bytes())
    except (OSError, ValueError):
        return {}


def _state(status: os.stat_result) -> str:
    return f"{status.st_size} {status.st_mtime_ns} {status.st_ino} {status.st_ctime_ns} {status.st_dev} "


def _sha256(path: str) -> str:
    """Most files are small: reading one whole is faster than reading it in chunks."""
    with open(path, "rb", buffering=0) as stream:  # noqa: PTH123
        if os.fstat(stream.fileno()).st_size > 2**24:
            return hashlib.file_digest(stream, "sha256").hexdigest()  # pyright: ignore[reportArgumentType]
        return hashlib.sha256(stream.read()).hexdigest()
