"""Which locked packages have known vulnerabilities, by records of OSV that lie here: nothing is asked of a network.

A record counts for a package of Python's index. conda has none of its own: a conda package is taken for the one of
Python's index that has its name.
"""

from __future__ import annotations

import zipfile
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from packaging.utils import canonicalize_name
from packaging.version import InvalidVersion, Version
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from beampermit.errors import BadInput
from beampermit.inventory.facts import Locked
from beampermit.reading import first_fault, parse_json

ECOSYSTEM = "PyPI"
LARGEST = 16 * 2**20
"""Bytes of one record, or list of records."""
MOST = 500_000
"""Records of all files."""
BEGINNING = "0"
"""In OSV: before any version."""


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")


class _Event(_Part):
    introduced: str | None = None
    fixed: str | None = None
    last_affected: str | None = None
    limit: str | None = None


class _Range(_Part):
    type: Literal["ECOSYSTEM", "SEMVER", "GIT"]
    events: tuple[_Event, ...]


class _Named(_Part):
    ecosystem: str
    name: str


class _Affected(_Part):
    package: _Named | None = None
    ranges: tuple[_Range, ...] = ()
    versions: tuple[str, ...] = ()


class _Record(_Part):
    """Of OSV's schema 1, the keys that decide."""

    id: Annotated[str, Field(min_length=1, max_length=200)]
    aliases: tuple[str, ...] = ()
    withdrawn: str | None = None
    affected: tuple[_Affected, ...] = ()
    database_specific: dict[str, Any] | None = None


@dataclass(frozen=True)
class Vulnerability:
    """`fixed` are the versions that the record names as fixed; `grave` where its database says HIGH or CRITICAL."""

    id: str
    aliases: tuple[str, ...]
    affected: tuple[_Affected, ...]
    grave: bool

    def affects(self, version: Version) -> bool:
        return any(_within(affected, version) for affected in self.affected)

    def fixed_after(self, version: Version) -> str:
        """The first version after this one that is named as fixed; empty where there is none."""
        events = (event for affected in self.affected for one in affected.ranges for event in one.events)
        later = (found for event in events if event.fixed and (found := _version(event.fixed)) and found > version)
        return str(min(later, default=""))


@dataclass(frozen=True)
class Known:
    """A package, and what is known of it, each defect once."""

    package: Locked
    vulnerabilities: tuple[Vulnerability, ...]

    @property
    def ids(self) -> tuple[str, ...]:
        return tuple(one.id for one in self.vulnerabilities)

    @property
    def grave(self) -> bool:
        return any(one.grave for one in self.vulnerabilities)

    @property
    def fixed(self) -> str:
        """The version that has none of them; empty where that is not known."""
        version = _version(self.package.version)
        fixed = [one.fixed_after(version) for one in self.vulnerabilities] if version else [""]
        return max(fixed, key=Version) if all(fixed) else ""


class Vulnerabilities:
    """The records by the name of their package."""

    def __init__(self, files: Iterable[Path]):
        """Raises `BadInput` for what is not a record of OSV, and where there is none at all."""
        self._by_name: dict[str, list[Vulnerability]] = {}
        self.count = 0
        for file in files:
            for content, name in _contents(file):
                for record in _records(content, name):
                    self._add(record)
        if not self.count:
            raise BadInput("there is no record of OSV here", file=next(iter(files), None))

    def of(self, packages: Iterable[Locked]) -> tuple[Known, ...]:
        found = (Known(package, tuple(self._affecting(package))) for package in packages)
        return tuple(known for known in found if known.vulnerabilities)

    def _add(self, record: _Record) -> None:
        self.count += 1
        if self.count > MOST:
            raise BadInput(f"there are more than {MOST} records of OSV")
        if record.withdrawn:
            return
        said = str((record.database_specific or {}).get("severity", "")).upper()
        by_name: dict[str, list[_Affected]] = {}
        for affected in record.affected:
            package = affected.package
            if package and package.ecosystem == ECOSYSTEM:
                by_name.setdefault(canonicalize_name(package.name), []).append(affected)
        for name, parts in by_name.items():
            one = Vulnerability(record.id, record.aliases, tuple(parts), said in ("HIGH", "CRITICAL"))
            self._by_name.setdefault(name, []).append(one)

    def _affecting(self, package: Locked) -> Iterator[Vulnerability]:
        """Two databases may have a record each of one defect: the graver one, or the first, counts."""
        version = _version(package.version)
        known = self._by_name.get(canonicalize_name(package.name), ()) if version else ()
        names = set[str]()
        for one in sorted(known, key=lambda one: (not one.grave, one.id)):
            if version and one.affects(version) and not names & {one.id, *one.aliases}:
                names |= {one.id, *one.aliases}
                yield one


def _within(affected: _Affected, version: Version) -> bool:
    if any((found := _version(listed)) is not None and found == version for listed in affected.versions):
        return True
    return any(_in_range(one, version) for one in affected.ranges if one.type == "ECOSYSTEM")


def _in_range(one: _Range, version: Version) -> bool:
    """As OSV's schema says: events in the order of their versions, the last one that is not later decides."""
    inside = False
    for at, kind in sorted(filter(None, map(_at, one.events)), key=lambda event: event[0]):
        if kind == "introduced":
            inside = inside or version >= at
        elif kind == "fixed":
            inside = inside and version < at
        else:
            inside = inside and version <= at
    return inside


def _at(event: _Event) -> tuple[Version, str] | None:
    """None for an event that cannot be read, or limits nothing."""
    for kind in ("introduced", "fixed", "last_affected"):
        text = getattr(event, kind)
        if text is not None:
            version = Version("0.dev0") if text == BEGINNING and kind == "introduced" else _version(text)
            return (version, kind) if version else None
    return None


def _version(text: str) -> Version | None:
    """Without a local part: `2.6.0+cpu` is 2.6.0, built by others."""
    try:
        return Version(Version(text).public)
    except InvalidVersion:
        return None


def _contents(file: Path) -> Iterator[tuple[bytes, str]]:
    """Each JSON file of a folder or zip, or the file itself."""
    if file.is_dir():
        for inner in sorted(file.rglob("*.json")):
            if inner.is_file() and inner.stat().st_size <= LARGEST:
                yield inner.read_bytes(), str(inner)
        return
    if not file.is_file():
        raise BadInput("there is no such file or folder", file=file)
    if not zipfile.is_zipfile(file):
        if file.stat().st_size > LARGEST:
            raise BadInput(f"larger than {LARGEST} bytes: give OSV's zip, or a folder of its files", file=file)
        yield file.read_bytes(), str(file)
        return
    try:
        with zipfile.ZipFile(file) as archive:
            for info in archive.infolist():
                if info.filename.endswith(".json") and info.file_size <= LARGEST:
                    yield archive.read(info), f"{file}:{info.filename}"
    except (zipfile.BadZipFile, OSError, RuntimeError, EOFError) as error:
        raise BadInput(f"this zip is damaged: {error}", file=file) from None


def _records(content: bytes, name: str) -> Iterator[_Record]:
    value = parse_json(content, name)
    if isinstance(value, Mapping) and isinstance(value.get("vulns"), list):  # what OSV's API gives
        value = value["vulns"]
    for one in value if isinstance(value, list) else [value]:
        try:
            yield _Record.model_validate(one)
        except ValidationError as error:
            raise BadInput(f"not a record of OSV: {first_fault(error)}", file=name) from None
