"""Compares a conda environment with its lock: package by package by the records in `conda-meta`, and file by file."""

from __future__ import annotations

import hashlib
import json
import os
from collections import defaultdict
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from packaging.utils import canonicalize_name, canonicalize_version

from beampermit.digest import digest_json
from beampermit.environments.backend import Lock, Package
from beampermit.environments.conda_lock import channels
from beampermit.environments.conda_lock.packages import locked_for
from beampermit.environments.distributions import Distribution, distributions
from beampermit.environments.environment import STAMP, stamp_of
from beampermit.environments.records import Hashes, Seal, files_below, is_unchecked, record, recorded
from beampermit.environments.uv.installed import Contents
from beampermit.errors import BadInput, Problem, several

META = "conda-meta"
OWN = {STAMP, META, ".gitignore", "CACHEDIR.TAG"}
"""Names in a prefix that belong to no package."""
MOST_FILES = 3
"""Changed files that are named for each package."""
HASHERS = min(8, os.cpu_count() or 1)
CHUNK = 256


@dataclass(frozen=True)
class Installed:
    """An installed package, by its record in `conda-meta`."""

    record: dict[str, Any]
    path: Path

    def __str__(self) -> str:
        return f"{self.record['name']} {self.record['version']} {self.record.get('build', '')}".strip()

    @property
    def files(self) -> Iterator[tuple[str, str | None]]:
        """Each file, relative to the prefix, with the sha256 it was linked with; None where the record has none."""
        listed = self.record.get("paths_data", {}).get("paths", [])
        folder = self._python_folder
        seen = set()
        for item in listed:
            name = _linked(item["_path"], folder)
            seen.add(name)
            linked = item.get("path_type") in ("softlink", "directory")
            yield name, None if linked else item.get("sha256_in_prefix") or item.get("sha256")
        for name in self.record.get("files", []):
            if name not in seen:
                yield name, None

    @property
    def _python_folder(self) -> str | None:
        """`lib/python3.11/`, where a noarch Python package has its `site-packages/`; None for any other package."""
        if self.record.get("noarch") != "python":
            return None
        parts = (name.partition("site-packages/") for name in self.record.get("files", []))
        return next((folder for folder, middle, _ in parts if middle), None)


def _linked(name: str, folder: str | None) -> str:
    """Where a file was linked: for noarch Python, conda records the path in the archive, rattler the linked one."""
    if folder is None:
        return name
    if name.startswith("site-packages/"):
        return folder + name
    return name.replace("python-scripts/", "bin/", 1) if name.startswith("python-scripts/") else name


def installed(lock: Lock, prefix: Path) -> Iterator[Problem]:
    """Packages that are missing, extra, of another build or changed, and files that no package owns."""
    lock = stamped(lock, prefix)
    packages, locked = list(_read(prefix)), locked_for(lock, channels.current_subdir())
    wheels = [package for package in locked if package.pip]
    contents = _wheels_in(prefix, wheels)
    yield from _compared(lock, {package.name: package for package in locked if not package.pip}, packages)
    yield from _compared_wheels(lock, wheels, contents)
    yield from _changed(prefix, packages, _replaced(packages, wheels, contents))
    yield from _unowned_files(prefix, packages, contents.owners)
    yield from _unsealed(prefix, packages)
    yield from _unchecked(prefix, packages)
    contents.hashes.save()


def seal(prefix: Path) -> None:
    """Record what the packages' own records say of their files, as it was linked from archives just hashed."""
    Seal(_facts(prefix, list(_read(prefix)))).write(prefix)


def is_sealed(prefix: Path) -> bool:
    """Whether we linked the packages at `prefix`, and their records are as they were."""
    return Seal.of(prefix) is not None and not any(True for _ in _unsealed(prefix, list(_read(prefix))))


def remember_wheels(prefix: Path, wheels: list[Package]) -> None:
    """Record what the packages of pip consist of, as they were installed from files just hashed."""
    contents = _wheels_in(prefix, wheels)
    locked = {package.name: package for package in wheels}
    for distribution in contents.packages:
        record(locked[distribution.name], contents.digest(distribution))


def has_wheels(prefix: Path, wheels: list[Package]) -> bool:
    """Whether the packages of pip are there, by their names and versions. Their files are compared by `installed`."""
    found = sorted((one.name, _version(one)) for one in _wheels_in(prefix, wheels).packages)
    return found == sorted((package.name, _version(package)) for package in wheels)


def _version(package: Package | Distribution) -> str:
    """As the index compares versions: 1.0 is 1.0.0."""
    return canonicalize_version(package.version)


def _wheels_in(prefix: Path, wheels: list[Package]) -> Contents:
    """The packages of pip that the lock names, as they lie in the environment."""
    names = {package.name for package in wheels}
    # conda-forge's Python has a link as well: lib/python3.1 leads to lib/python3.11.
    folders = (one for one in prefix.glob("lib/python*") if not one.is_symlink()) if wheels else ()
    sites = [one / "site-packages" for one in folders if (one / "site-packages").is_dir()]
    found = [one for site in sites for one in distributions(site) if one.name in names]
    return Contents(prefix, found, Hashes(prefix))


def _compared_wheels(lock: Lock, wheels: list[Package], contents: Contents) -> Iterator[Problem]:
    found = {distribution.name: distribution for distribution in contents.packages}
    foreign = Seal.of(contents.prefix) is None
    names = [distribution.name for distribution in contents.packages]
    for package in wheels:
        distribution, where = found.get(package.name), (lock.file, package.line)
        if distribution is None:
            yield Problem(f"{package} is locked and not installed", *where)
        elif _version(distribution) != _version(package):
            yield Problem(f"{distribution} is installed and {package} is locked", *where)
        elif names.count(package.name) > 1:
            yield Problem(f"{package.name} is installed twice", *where)
        elif (changed := _changed_wheel(package, distribution, contents, foreign=foreign)) is not None:
            yield Problem(f"{distribution} {changed}", *where)


def _changed_wheel(package: Package, distribution: Distribution, contents: Contents, *, foreign: bool) -> str | None:
    """The end of a message about a package of pip that is not the locked one.

    What another program installed passes by its own records, as conda packages do.
    """
    if contents.digest(distribution) in recorded(package):
        return None
    if changed := list(distribution.changed(contents.prefix, contents.actual)):
        return f"was changed: {several(changed, MOST_FILES)}"
    if not foreign:
        return "was changed: its RECORD lists other files than the locked package has"
    sha256 = package.artifacts[0].sha256
    if sha256 and distribution.archive == sha256:
        return None
    return f"was installed from a file with the sha256 {distribution.archive}, and {sha256} is locked"


def _replaced(packages: list[Installed], wheels: list[Package], contents: Contents) -> set[str]:
    """Files of conda packages that pip installed over, or removed with a package of the same name."""
    names = {package.name for package in wheels}
    twins = (one for one in packages if canonicalize_name(one.record["name"]) in names)
    gone = {name for one in twins for name, _ in one.files if not os.path.lexists(contents.prefix / name)}
    return gone | contents.owners.keys()


def _facts(prefix: Path, packages: list[Installed]) -> dict[str, str]:
    """Package -> the digest of what its record lists, and path -> target of each link, or sha256 of what has none."""
    listed = {str(one): digest_json(sorted((name, sha256 or "") for name, sha256 in one.files)) for one in packages}
    names = [name for one in packages for name, sha256 in one.files if sha256 is None and not name.endswith(".pyc")]
    actual = Hashes(prefix).of(f"{prefix}/{name}" for name in names)
    return listed | {name: answer for name in names if (answer := actual[f"{prefix}/{name}"])}


def _unsealed(prefix: Path, packages: list[Installed]) -> Iterator[Problem]:
    """Records and links that are not as they were linked; nothing where another program installed the environment."""
    sealed = Seal.of(prefix)
    if sealed is None:
        return
    now, paths = _facts(prefix, packages), {str(one): one.path for one in packages}
    for name, was in sealed.files.items():
        if name in paths and now[name] != was:
            yield Problem(f"{name} was changed: its record lists other files than its archive has", str(paths[name]))
        elif name not in paths and now.get(name, was) != was:
            yield Problem(f"{name} is not as it was installed", str(prefix / name))


def _unchecked(prefix: Path, packages: list[Installed]) -> Iterator[Problem]:
    """Compiled code that Python would run whatever its source says, unless a package has exactly that."""
    hashes = Hashes(prefix)
    places = [f"{prefix}/{name}" for name in files_below(prefix) if name.endswith(".pyc")]
    flags = hashes.of(places, is_unchecked)
    hashes.save()
    unchecked = {place for place in places if flags[place] not in ("checked", None)}
    owned = {f"{prefix}/{name}": sha256 for one in packages for name, sha256 in one.files} if unchecked else {}
    for place in sorted(unchecked):
        if owned.get(place) is None or _sha256(place) != owned[place]:
            name = place.removeprefix(f"{prefix}/")
            yield Problem(f"{name} is compiled code that Python runs whatever its source says", place)


def stamped(lock: Lock, prefix: Path) -> Lock:
    """The lock, of this and the other variants, that the prefix was built from according to its stamp."""
    stamp = stamp_of(prefix)
    return next((one for one in lock.all if one.stamp == stamp), lock)


def _read(prefix: Path) -> Iterator[Installed]:
    if not (prefix / META).is_dir():
        raise BadInput("not a conda environment: conda-meta is missing", file=prefix, hint="beampermit env install")
    for path in sorted((prefix / META).glob("*.json")):
        try:
            record = json.loads(path.read_bytes())
            yield Installed({"name": record["name"], "version": record["version"], **record}, path)
        except (ValueError, KeyError, TypeError):
            raise BadInput("invalid package record", file=path, hint="beampermit env install") from None


def _compared(lock: Lock, wanted: dict[str, Package], installed: list[Installed]) -> Iterator[Problem]:
    names = [one.record["name"] for one in installed]
    for name in sorted(wanted.keys() - set(names)):
        yield Problem(f"{wanted[name]} is locked and not installed", lock.file, wanted[name].line)
    for one in installed:
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
    """The end of a message about a package that is not the locked one; None for the same."""
    if (record["version"], record.get("build")) != (package.version, package.build):
        return ""
    sha256 = package.artifacts[0].sha256
    if record.get("sha256") != sha256:
        return f": its archive had the sha256 {record.get('sha256')}, not {sha256}"
    return None


def _changed(prefix: Path, installed: list[Installed], replaced: set[str]) -> Iterator[Problem]:
    """Packages with files that are missing or differ from what was linked. Compiled modules come and go."""
    work = [
        (number, name, sha256)
        for number, one in enumerate(installed)
        for name, sha256 in one.files
        if not name.endswith(".pyc") and name not in replaced
    ]
    chunks = [work[start : start + CHUNK] for start in range(0, len(work), CHUNK)]
    by_package: dict[int, list[str]] = defaultdict(list)
    with ThreadPoolExecutor(HASHERS) as pool:
        for differences in pool.map(lambda chunk: _differences(str(prefix), chunk), chunks):
            for number, difference in differences:
                by_package[number].append(difference)
    for number, differing in sorted(by_package.items()):
        package = installed[number]
        yield Problem(f"{package} was changed: {several(differing, MOST_FILES)}", str(package.path))


def _differences(prefix: str, work: list[tuple[int, str, str | None]]) -> list[tuple[int, str]]:
    differences = []
    for number, name, sha256 in work:
        path = f"{prefix}/{name}"
        try:
            if sha256 is None:
                os.lstat(path)
            elif _sha256(path) != sha256:
                differences.append((number, f"{name} has other content"))
        except FileNotFoundError:
            differences.append((number, f"{name} is missing"))
        except OSError as error:
            differences.append((number, f"{name} cannot be read ({error.strerror})"))
    return differences


def _sha256(path: str) -> str:
    """Most files are small: reading one whole is faster than reading it in chunks."""
    with open(path, "rb", buffering=0) as stream:  # noqa: PTH123 - Path costs a third of the time of 60,000 files
        if os.fstat(stream.fileno()).st_size > 2**24:
            return hashlib.file_digest(stream, "sha256").hexdigest()  # pyright: ignore[reportArgumentType]
        return hashlib.sha256(stream.read()).hexdigest()


def _unowned_files(prefix: Path, installed: list[Installed], of_wheels: Iterable[str]) -> Iterator[Problem]:
    """Files and whole folders that no locked package owns, such as those that pip or a person added."""
    files = {name for one in installed for name, _ in one.files} | {*of_wheels}
    folders = {""}
    for name in files:
        while name := name.rpartition("/")[0]:
            if name in folders:
                break
            folders.add(name)
    for name in _unowned(str(prefix), "", files, folders):
        yield Problem(f"{name} belongs to no locked package", str(prefix / name))


def _unowned(prefix: str, folder: str, files: set[str], folders: set[str]) -> Iterator[str]:
    with os.scandir(f"{prefix}/{folder}" if folder else prefix) as entries:
        for entry in sorted(entries, key=lambda one: one.name):
            name = f"{folder}/{entry.name}" if folder else entry.name
            if (not folder and entry.name in OWN) or name in files:
                continue
            if folder.endswith("__pycache__") and entry.name.endswith(".pyc"):
                continue  # Compiled modules come and go.
            if not entry.is_dir(follow_symlinks=False):
                yield name
            elif name in folders:
                yield from _unowned(prefix, name, files, folders)
            elif any(_unowned(prefix, name, files, folders)):
                yield f"{name}/"
