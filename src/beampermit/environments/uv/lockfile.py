"""Reads `uv.lock`: TOML with one `[[package]]` for each locked package."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from pathlib import PurePosixPath
from typing import Any
from urllib.parse import unquote, urlsplit

from beampermit.digest import digest_bytes
from beampermit.environments.backend import Artifact, Edge, Lock, Package
from beampermit.errors import BadInput

FILE = "uv.lock"
LARGEST = 64 * 2**20
SHA256 = re.compile(r"sha256:([0-9a-f]{64})")
MEND = "beampermit env lock"


def parse(text: str, name: str = FILE) -> Lock:
    """Make a lock of the text of `uv.lock`. Raises `BadInput` for what is not one, with the line where it is known."""
    text = text.replace("\r\n", "\n")
    content = _tree(text, name)
    if content.get("version") != 1:
        raise BadInput(f"a lock of format {content.get('version')!r} is not known here; 1 is", file=name, hint=MEND)
    lines = [number for number, line in enumerate(text.splitlines(), 1) if line.strip() == "[[package]]"]
    try:
        tables = content.get("package", [])
        numbers = lines if len(lines) == len(tables) else [None] * len(tables)
        packages = tuple(_package(table, line) for table, line in zip(tables, numbers, strict=True))
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise BadInput(f"not a lock of uv: {type(error).__name__} {error}", file=name, hint=MEND) from None
    _refuse_twins(packages, name)
    return Lock(file=name, digest=digest_bytes(text.encode()), text=text, packages=packages, content=content)


def own_package(lock: Lock) -> Package | None:
    """The entry of the project itself."""
    return next((package for package in lock.packages if package.own), None)


def own_table(lock: Lock) -> dict[str, Any]:
    """The TOML table of the project itself, empty where the lock has none."""
    return next((table for table in lock.content.get("package", []) if _is_own(table["source"])), {})


def _tree(text: str, name: str) -> dict[str, Any]:
    if len(text) > LARGEST:
        raise BadInput(f"a lock of more than {LARGEST} characters is not read", file=name)
    for number, line in enumerate(text.splitlines(), 1):
        if line.startswith(("<<<<<<<", ">>>>>>>", "|||||||")):
            raise BadInput("there are merge-conflict markers in this file", file=name, line=number, hint=MEND)
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        found = re.search(r"\(at line (\d+)", str(error))
        message = str(error).split(" (at ", maxsplit=1)[0]
        raise BadInput(f"not TOML: {message}", file=name, line=int(found[1]) if found else None, hint=MEND) from None
    except RecursionError:
        raise BadInput("not a lock of uv: nested too deeply", file=name, hint=MEND) from None


def _package(table: dict[str, Any], line: int | None) -> Package:
    source = table["source"]
    index = source.get("registry")
    files = [*table.get("wheels", []), *([table["sdist"]] if "sdist" in table else [])]
    return Package(
        name=str(table["name"]),
        version=str(table.get("version", "")),
        source=index,
        origin=_origin(source),
        artifacts=tuple(_artifact(file, index) for file in files),
        needs=tuple(_edges(table.get("dependencies", []))),
        optional={extra: tuple(_edges(edges)) for extra, edges in table.get("optional-dependencies", {}).items()},
        line=line,
        own=_is_own(source),
    )


def _is_own(source: dict[str, Any]) -> bool:
    return any(source.get(kind) == "." for kind in ("virtual", "editable", "directory"))


def _origin(source: dict[str, Any]) -> str:
    kind, place = next(iter(source.items()))
    return "this project" if _is_own(source) else f"{'index' if kind == 'registry' else kind} {place}"


def _artifact(file: dict[str, Any], index: str | None) -> Artifact:
    found = SHA256.fullmatch(file.get("hash", ""))
    sha256 = found[1] if found else None
    if "path" in file:
        # uv writes the path of a wheel relative to the folder it was found in.
        address = (PurePosixPath(index or ".") / file["path"]).as_posix()
        return Artifact(PurePosixPath(address).name, address, sha256, local=True)
    address = file.get("url", "")
    name = file.get("filename") or PurePosixPath(unquote(urlsplit(address).path)).name
    return Artifact(name, address, sha256)


def _edges(tables: list[dict[str, Any]]) -> Iterator[Edge]:
    for table in tables:
        yield Edge(table["name"], table.get("version"), tuple(table.get("extra", ())), table.get("marker"))


def _refuse_twins(packages: tuple[Package, ...], name: str) -> None:
    seen: set[tuple[str, str, str]] = set()
    for package in packages:
        key = (package.name, package.version, package.origin)
        if key in seen:
            raise BadInput(f"{package} is locked twice", file=name, line=package.line, hint=MEND)
        seen.add(key)
