"""Reads `uv.lock`: TOML with one `[[package]]` for each locked package."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import lru_cache
from pathlib import PurePosixPath
from typing import Any
from urllib.parse import unquote, urlsplit

from packaging.specifiers import InvalidSpecifier, SpecifierSet
from packaging.utils import InvalidSdistFilename, InvalidWheelFilename, parse_sdist_filename, parse_wheel_filename
from packaging.version import InvalidVersion, Version

from beampermit.digest import digest_bytes
from beampermit.environments.backend import Artifact, Edge, Lock, Package
from beampermit.errors import BadInput
from beampermit.reading import parse_toml, refuse_merge_markers

FILE = "uv.lock"
LARGEST = 64 * 2**20
LARGEST_FILE = 2**40
"""No package is larger: a size beyond is a mistake, and counts as unknown."""
SHA256 = re.compile(r"sha256:([0-9a-f]{64})")
RELOCK = "beampermit env lock"
GROUP = "group "
LOCAL = ("virtual", "editable", "directory", "path")
"""Kinds of sources that are folders or files, by their path from the project."""
KINDS = ("registry", "git", "url", *LOCAL)


@lru_cache(maxsize=2)
def parse(text: str, name: str = FILE) -> Lock:
    """Parse the text of a `uv.lock`. Raises `BadInput`, with the line where it is known."""
    text = text.replace("\r\n", "\n")
    content = _tree(text, name)
    if content.get("version") != 1:
        raise BadInput(f"lock format {content.get('version')!r} is not supported, only 1", file=name, hint=RELOCK)
    lines = [number for number, line in enumerate(text.splitlines(), 1) if line.strip() == "[[package]]"]
    try:
        tables = content.get("package", [])
        numbers = lines if len(lines) == len(tables) else [None] * len(tables)
        packages = tuple(_package(table, line) for table, line in zip(tables, numbers, strict=True))
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise BadInput(f"not a uv lock: {type(error).__name__} {error}", file=name, hint=RELOCK) from None
    _validate_python(content, name)
    _refuse_twins(packages, name)
    return Lock(file=name, digest=digest_bytes(text.encode()), text=text, packages=packages, content=content)


def own_package(lock: Lock) -> Package | None:
    return next((package for package in lock.packages if package.own), None)


def members(lock: Lock) -> tuple[Package, ...]:
    """The project itself, and the other projects of its workspace."""
    names = lock.content.get("manifest", {}).get("members", ())
    return tuple(package for package in lock.packages if package.own or (place_of(package) and package.name in names))


def place_of(package: Package) -> str | None:
    """The folder or file that a package is in, as the lock has it; None for what is fetched."""
    kind, _, place = package.origin.partition(" ")
    return "." if package.own else place if kind in LOCAL else None


def group_key(group: str) -> str:
    """The key of a dependency group among the extras of a project."""
    return f"{GROUP}{group}"


def item(project: str, part: str = "") -> str:
    """What uv's markers call a project where `conflicts` names it, or one of its extras or, by their keys, groups."""
    kind, name = ("group", part.removeprefix(GROUP)) if part.startswith(GROUP) else ("extra", part)
    return f"{kind}-{len(project)}-{project}-{name}" if name else f"project-{len(project)}-{project}"


def conflicts(lock: Lock) -> list[dict[str, str]]:
    """The sets of extras, groups and projects that exclude each other: what markers call one -> its name."""
    return [dict(map(_conflicting, several)) for several in lock.content.get("conflicts", ())]


def _conflicting(table: dict[str, str]) -> tuple[str, str]:
    part = group_key(table["group"]) if "group" in table else table.get("extra", "")
    return item(table["package"], part), part or table["package"]


def _tree(text: str, name: str) -> dict[str, Any]:
    if len(text) > LARGEST:
        raise BadInput(f"the file has more than {LARGEST} characters", file=name)
    refuse_merge_markers(text, name, hint=RELOCK)
    return parse_toml(text, name, hint=RELOCK)


def _package(table: dict[str, Any], line: int | None) -> Package:
    source = table["source"]
    index = source.get("registry")
    files = [*table.get("wheels", []), *([table["sdist"]] if "sdist" in table else [])]
    return Package(
        name=str(table["name"]),
        version=str(table.get("version", "")),
        source=index,
        origin=_origin(source),
        artifacts=tuple(_artifact(file, source, str(table.get("version", ""))) for file in files),
        needs=tuple(_edges(table.get("dependencies", []))),
        optional={
            **{extra: tuple(_edges(edges)) for extra, edges in table.get("optional-dependencies", {}).items()},
            **{group_key(group): tuple(_edges(edges)) for group, edges in table.get("dev-dependencies", {}).items()},
        },
        line=line,
        own=_is_own(source),
    )


def _is_own(source: dict[str, Any]) -> bool:
    return any(source.get(kind) == "." for kind in ("virtual", "editable", "directory"))


def _origin(source: dict[str, Any]) -> str:
    kinds = [kind for kind in KINDS if kind in source]
    if len(kinds) != 1:
        raise ValueError(f"a source is one of {', '.join(KINDS)}, not {source}")
    kind, place = kinds[0], source[kinds[0]]
    return "this project" if _is_own(source) else f"{'index' if kind == 'registry' else kind} {place}"


def _artifact(file: dict[str, Any], source: dict[str, Any], version: str) -> Artifact:
    digest = SHA256.fullmatch(file.get("hash", ""))
    sha256 = digest[1] if digest else None
    local = "path" in file or "path" in source
    # uv writes the path of a wheel relative to its folder of wheels.
    inside = (PurePosixPath(source.get("registry", ".")) / file["path"]).as_posix() if "path" in file else None
    address = inside or str(source.get("path") or file.get("url", ""))
    name = PurePosixPath(address if local else unquote(urlsplit(address).path)).name
    size = file.get("size")
    known = size if type(size) is int and 0 <= size < LARGEST_FILE else None
    return Artifact(name, address, sha256, named(name, version), local, known)


def named(file_name: str, version: str) -> tuple[str, str] | None:
    """Package and version in a file's name; the version as the entry writes it where both are equal."""
    try:
        if file_name.endswith(".whl"):
            name, parsed, *_ = parse_wheel_filename(file_name)
        else:
            name, parsed = parse_sdist_filename(re.sub(r"\.(tar\.(bz2|xz|lz|lzma|zst)|tgz|tbz)$", ".tar.gz", file_name))
        return name, version if Version(version) == parsed else str(parsed)
    except (InvalidWheelFilename, InvalidSdistFilename, InvalidVersion):
        return None


def _edges(tables: list[dict[str, Any]]) -> Iterator[Edge]:
    for table in tables:
        yield Edge(
            name=table["name"],
            version=table.get("version"),
            extras=tuple(table.get("extra", ())),
            marker=table.get("marker"),
            source=_source(table),
        )


def _source(table: dict[str, Any]) -> str | None:
    """Where the package comes from that an edge names, as `Package.source` or else `Package.origin` has it."""
    source = table.get("source")
    return (source.get("registry") or _origin(source)) if source else None


def _validate_python(content: dict[str, Any], name: str) -> None:
    try:
        SpecifierSet(content.get("requires-python", ""))
    except (InvalidSpecifier, AttributeError, TypeError):
        raise BadInput("requires-python is not a version specifier", file=name, hint=RELOCK) from None


def _refuse_twins(packages: tuple[Package, ...], name: str) -> None:
    seen: set[tuple[str, str, str]] = set()
    for package in packages:
        if package.key in seen:
            raise BadInput(f"{package} is locked twice", file=name, line=package.line, hint=RELOCK)
        seen.add(package.key)
