"""Reads `conda-lock.yml`: YAML with one entry for each package, platform and category.

An accelerator variant has a lock and a file of virtual packages of its own, as conda-lock and micromamba name them:
`cuda.conda-lock.yml` and `cuda.virtual-packages.yml`, so a lock for machines with a GPU can be made without one.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from functools import lru_cache
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import unquote, urlsplit

from packaging.utils import canonicalize_name

from beampermit.digest import digest_bytes
from beampermit.environments.addresses import origin
from beampermit.environments.backend import Artifact, Edge, Lock, Package
from beampermit.environments.conda_lock.channels import parse_file_name, split
from beampermit.environments.uv.lockfile import named
from beampermit.errors import BadInput
from beampermit.reading import naming_yaml_errors, refuse_merge_markers

FILE = "conda-lock.yml"
VIRTUAL_PACKAGES = ("virtual-packages.yml", "virtual-packages.yaml")
RELOCK = "beampermit env lock"
SHA256 = re.compile(r"[0-9a-f]{64}")
METADATA = {"content_hash": dict, "channels": list, "platforms": list, "sources": list}
LARGEST = 64 * 2**20
DEEPEST = 100
TEXT = "tag:yaml.org,2002:str"
_NONE = object()


@lru_cache(maxsize=16)
def parse(text: str, name: str = FILE) -> Lock:
    """Parse the text of a `conda-lock.yml`. Raises `BadInput`, with the line if it is known.

    Several interlocks need the same lock in one run, so it is parsed once; callers do not change what they get.
    """
    text = text.replace("\r\n", "\n")
    content = parse_yaml(text, name, hint=RELOCK)
    if not isinstance(content, dict) or content.get("version") != 1:
        version = content.get("version") if isinstance(content, dict) else None
        raise BadInput(f"lock format {version!r} is not supported, only 1", file=name, line=1, hint=RELOCK)
    metadata = content.get("metadata")
    for key, kind in METADATA.items():
        if not isinstance(metadata, dict) or not isinstance(metadata.get(key), kind):
            raise BadInput(f"metadata.{key} is missing or not a {kind.__name__}", file=name, hint=RELOCK)
    return Lock(
        file=name,
        digest=digest_bytes(text.encode()),
        text=text,
        packages=_packages(content.get("package"), text, name),
        content=content,
        variant=name.rpartition("/")[2].removesuffix(FILE).rstrip("."),
    )


def declared_variants(root: Path) -> tuple[str, ...]:
    """The accelerator variants that the folder has a file of virtual packages for, the unnamed one first."""
    names = {path.name.removesuffix(f".{file}") for file in VIRTUAL_PACKAGES for path in root.glob(f"*.{file}")}
    return ("", *sorted(name for name in names if name and not name.startswith(".")))


def lock_file(variant: str) -> str:
    """The name of a variant's lock: micromamba knows a lock by this ending."""
    return f"{variant}.{FILE}" if variant else FILE


def virtual_packages_file(root: Path, variant: str) -> Path | None:
    """The file that says what a variant's machines offer; None where conda-lock's own assumptions hold."""
    prefix = f"{variant}." if variant else ""
    return next((path for name in VIRTUAL_PACKAGES if (path := root / f"{prefix}{name}").is_file()), None)


def channels(lock: Lock) -> tuple[str, ...]:
    """The channels that the lock was solved with, as its metadata name them."""
    return tuple(item["url"] if isinstance(item, dict) else str(item) for item in lock.content["metadata"]["channels"])


def platforms(lock: Lock) -> tuple[str, ...]:
    """The platforms that the lock's metadata name."""
    return tuple(map(str, lock.content["metadata"]["platforms"]))


def _packages(entries: Any, text: str, name: str) -> tuple[Package, ...]:
    if not isinstance(entries, list):
        raise BadInput("`package:` is missing or not a list", file=name, hint=RELOCK)
    lines = _lines(text)
    packages: dict[tuple[str, str, str], Package] = {}
    for number, entry in enumerate(entries):
        line = lines[number] if len(lines) == len(entries) else None
        try:
            if entry["name"].startswith("__") and entry["url"].startswith("file://"):
                continue  # conda-lock 1 listed virtual packages too, of a folder that it made for its solver.
            package = _package(entry, line)
        except (KeyError, TypeError, AttributeError, ValueError) as error:
            raise BadInput(f"invalid package entry: {_reason(error)}", file=name, line=line, hint=RELOCK) from None
        key = (package.platform, entry["manager"], package.name)
        packages[key] = _merged(packages[key], package, name) if key in packages else package
    return tuple(packages.values())


def _lines(text: str) -> list[int]:
    """The line of each entry of `package:`, if the file is laid out as conda-lock writes it."""
    lines = text.splitlines()
    start = next((number for number, line in enumerate(lines) if line.startswith("package:")), len(lines))
    return [number for number, line in enumerate(lines[start:], start + 1) if line.startswith("- ")]


def _package(entry: dict[str, Any], line: int | None) -> Package:
    for key in ("name", "version", "url", "platform", "manager"):
        if not isinstance(entry[key], str):
            raise TypeError(f"{key} of {entry['name']} is {entry[key]!r}, not text: put it in quotes")
    package = _of_pip(entry) if entry["manager"] == "pip" else _of_conda(entry)
    return replace(package, line=line, platform=entry["platform"], groups=(str(entry.get("category", "main")),))


def _of_conda(entry: dict[str, Any]) -> Package:
    address, manager = entry["url"], entry["manager"]
    channel, _, file_name = split(address)
    parsed = parse_file_name(file_name)
    artifact = _artifact(entry, file_name, parsed[:2] if parsed else None, local=address.startswith("file://"))
    return Package(
        name=entry["name"],
        version=entry["version"],
        source=channel if manager == "conda" else None,
        origin=f"{'channel' if manager == 'conda' else manager} {channel or address} for {entry['platform']}",
        artifacts=(artifact,),
        needs=tuple(_edge(str(name), str(spec or "")) for name, spec in entry.get("dependencies", {}).items()),
        build=parsed[2] if parsed else "",
    )


def _of_pip(entry: dict[str, Any]) -> Package:
    """A wheel or sources. A lock names no index, so the source is the host of the file; a repository has none."""
    address, given = entry["url"], entry.get("source")
    host = origin(address) if address.startswith(("https://", "http://")) and not given else None
    file_name = PurePosixPath(unquote(urlsplit(address).path)).name
    needs = ((canonicalize_name(str(name)), str(spec or "")) for name, spec in entry["dependencies"].items())
    return Package(
        name=canonicalize_name(entry["name"]),
        version=entry["version"],
        source=host,
        origin=f"pip {given['url'] if given else host or address} for {entry['platform']}",
        artifacts=(_artifact(entry, file_name, named(file_name, entry["version"])),),
        needs=tuple(_edge(name, spec) for name, spec in needs),
        pip=True,
    )


def _artifact(entry: dict[str, Any], file_name: str, named: tuple[str, str] | None, *, local: bool = False) -> Artifact:
    sha256 = str(entry["hash"].get("sha256", ""))
    return Artifact(file_name, entry["url"], sha256 if SHA256.fullmatch(sha256) else None, named, local)


@lru_cache(maxsize=2**14)
def _edge(name: str, specifier: str) -> Edge:
    """Cached: platforms and packages share most of their dependencies."""
    return Edge(name, specifier=specifier)


def _merged(one: Package, other: Package, name: str) -> Package:
    """Merge the entries of a package that is locked in two categories; they must be the same."""
    if set(one.groups) & set(other.groups):
        raise BadInput(f"{other} is locked twice for {other.platform}", file=name, line=other.line, hint=RELOCK)
    if (one.version, one.artifacts, one.needs) != (other.version, other.artifacts, other.needs):
        raise BadInput(
            f"{other.name} is locked for {other.platform} as {one.version} and {other.version}, or from two files",
            file=name,
            line=other.line,
            hint=RELOCK,
        )
    return replace(one, groups=(*one.groups, *other.groups))


def _reason(error: Exception) -> str:
    return f"{error.args[0]!r} is missing" if isinstance(error, KeyError) else str(error)


def parse_yaml(text: str, name: str, *, hint: str = "") -> Any:
    """Parse a YAML document whose line ends are `\\n`; errors name the file `name`. Raises `BadInput`."""
    if len(text) > LARGEST:
        raise BadInput(f"the file has more than {LARGEST} characters", file=name)
    refuse_merge_markers(text, name, hint=hint)
    with naming_yaml_errors(name, reader="yaml", hint=hint):
        return _value(text)


def _value(text: str) -> Any:
    """The document, built from the parser's events: five times as fast as PyYAML's own construction."""
    import yaml

    scalar, documents = _scalars(), list[Any]()
    open_: list[tuple[Any, Any]] = []
    inside, key = documents, _NONE
    for event in yaml.parse(text, getattr(yaml, "CSafeLoader", yaml.SafeLoader)):
        kind = type(event)
        if kind is yaml.ScalarEvent:
            value = scalar(event)
        elif kind in (yaml.MappingStartEvent, yaml.SequenceStartEvent):
            if event.tag or len(open_) == DEEPEST or (type(inside) is dict and key is _NONE):
                raise _refused(_why(event, len(open_)), event)
            open_.append((inside, key))
            inside, key = {} if kind is yaml.MappingStartEvent else [], _NONE
            continue
        elif kind in (yaml.MappingEndEvent, yaml.SequenceEndEvent):
            value = inside
            inside, key = open_.pop()
        elif kind is yaml.AliasEvent:
            raise _refused("aliases are not supported: write each value out", event)
        else:
            continue
        if type(inside) is list:
            inside.append(value)
        elif key is _NONE:
            if value in inside:
                raise _refused(f"the key {value!r} is given twice", event)
            key = value
        else:
            inside[key], key = value, _NONE
    if len(documents) > 1:
        raise ValueError("the file has more than one YAML document")
    return documents[0] if documents else None


def _scalars() -> Callable[[Any], Any]:
    """A function that gives the value of a scalar, as PyYAML's safe loader does; each plain word is resolved once."""
    import yaml

    loader = yaml.SafeLoader("")
    values: dict[str, Any] = {}

    def scalar(event: Any) -> Any:
        if event.tag:
            raise _refused(_why(event, 0), event)
        text = event.value
        if not event.implicit[0]:
            return text
        if text not in values:
            tag = loader.resolve(yaml.ScalarNode, text, (True, False))
            node = yaml.ScalarNode(tag, text, event.start_mark)
            values[text] = text if tag == TEXT else loader.construct_object(node)
        return values[text]

    return scalar


def _why(event: Any, depth: int) -> str:
    if event.tag:
        return f"the tag {event.tag!r} is not supported"
    return f"values are nested more than {DEEPEST} deep" if depth == DEEPEST else "a key must be a plain word"


def _refused(why: str, event: Any) -> Exception:
    import yaml

    return yaml.MarkedYAMLError(problem=why, problem_mark=event.start_mark)
