"""Reads `conda-lock.yml`: YAML with one entry for each package, platform and category."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import lru_cache
from typing import Any

from beampermit.digest import digest_bytes
from beampermit.environments.backend import Artifact, Edge, Lock, Package
from beampermit.environments.conda_lock.channels import file_says, split
from beampermit.environments.conda_lock.variants import FILE
from beampermit.errors import BadInput
from beampermit.reading import naming_yaml_errors, refuse_merge_markers

LARGEST = 64 * 2**20
DEEPEST = 100
TEXT = "tag:yaml.org,2002:str"


def tree(text: str, name: str, *, hint: str = "") -> Any:
    """The value of a YAML text whose line ends are `\\n`; `name` is what errors call it. Raises `BadInput`."""
    if len(text) > LARGEST:
        raise BadInput(f"more than {LARGEST} characters are not read", file=name)
    refuse_merge_markers(text, name, hint=hint)
    with naming_yaml_errors(name, reader="yaml", hint=hint):
        return _value(text)


def _value(text: str) -> Any:
    """The one document of a text, made while it is parsed; `open` holds what is not finished."""
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
            raise _refused("YAML aliases are not read here: write each value", event)
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
        raise ValueError("one document belongs into this file")
    return documents[0] if documents else None


def _scalars() -> Callable[[Any], Any]:
    """What a scalar stands for, as PyYAML's safe loader has it; each plain word is looked at once."""
    import yaml

    loader = yaml.SafeLoader("")
    known: dict[str, Any] = {}

    def scalar(event: Any) -> Any:
        if event.tag:
            raise _refused(_why(event, 0), event)
        words = event.value
        if not event.implicit[0]:
            return words
        if words not in known:
            tag = loader.resolve(yaml.ScalarNode, words, (True, False))
            node = yaml.ScalarNode(tag, words, event.start_mark)
            known[words] = words if tag == TEXT else loader.construct_object(node)
        return known[words]

    return scalar


def _why(event: Any, depth: int) -> str:
    if event.tag:
        return f"the tag {event.tag!r} has no meaning here"
    return "values are nested too deeply" if depth == DEEPEST else "a key is a word"


def _refused(why: str, event: Any) -> Exception:
    import yaml

    return yaml.MarkedYAMLError(problem=why, problem_mark=event.start_mark)


_NONE = object()


FIX = "beampermit env lock"
SHA256 = re.compile(r"[0-9a-f]{64}")
METADATA = {"content_hash": dict, "channels": list, "platforms": list, "sources": list}


@lru_cache(maxsize=16)
def parse(text: str, name: str = FILE) -> Lock:
    """Make a lock of the text of `conda-lock.yml`. Raises `BadInput` for what is not one, with the line if known.

    Several interlocks ask for the same lock in one run: it is read once, and nobody writes into what it gives.
    """
    text = text.replace("\r\n", "\n")
    content = tree(text, name, hint=FIX)
    if not isinstance(content, dict) or content.get("version") != 1:
        found = content.get("version") if isinstance(content, dict) else None
        raise BadInput(f"a lock of format {found!r} is not known here; 1 is", file=name, line=1, hint=FIX)
    metadata = content.get("metadata")
    for key, kind in METADATA.items():
        if not isinstance(metadata, dict) or not isinstance(metadata.get(key), kind):
            raise BadInput(f"metadata.{key} is missing or not a {kind.__name__}", file=name, hint=FIX)
    return Lock(
        file=name,
        digest=digest_bytes(text.encode()),
        text=text,
        packages=_packages(content.get("package"), text, name),
        content=content,
        variant=name.rpartition("/")[2].removesuffix(FILE).rstrip("."),
    )


def channels(lock: Lock) -> tuple[str, ...]:
    """The channels that the lock says it was solved with, as its metadata name them."""
    return tuple(item["url"] if isinstance(item, dict) else str(item) for item in lock.content["metadata"]["channels"])


def platforms(lock: Lock) -> tuple[str, ...]:
    """The platforms that the lock says it has a solution for."""
    return tuple(map(str, lock.content["metadata"]["platforms"]))


def _packages(entries: Any, text: str, name: str) -> tuple[Package, ...]:
    if not isinstance(entries, list):
        raise BadInput("`package:` is missing or no list", file=name, hint=FIX)
    lines = _lines(text)
    found: dict[tuple[str, str, str], Package] = {}
    for number, entry in enumerate(entries):
        line = lines[number] if len(lines) == len(entries) else None
        try:
            package = _package(entry, line)
        except (KeyError, TypeError, AttributeError, ValueError) as error:
            raise BadInput(f"not a locked package: {_words(error)}", file=name, line=line, hint=FIX) from None
        key = (package.platform, entry["manager"], package.name)
        found[key] = _merged(found[key], package, name) if key in found else package
    return tuple(found.values())


def _lines(text: str) -> list[int]:
    """Where each entry of `package:` begins, if it is written as conda-lock writes it."""
    lines = text.splitlines()
    start = next((number for number, line in enumerate(lines) if line.startswith("package:")), len(lines))
    return [number for number, line in enumerate(lines[start:], start + 1) if line.startswith("- ")]


def _package(entry: dict[str, Any], line: int | None) -> Package:
    address, manager, platform = entry["url"], entry["manager"], entry["platform"]
    for key in ("name", "version", "url", "platform", "manager"):
        if not isinstance(entry[key], str):
            raise TypeError(f"{key} of {entry['name']} is {entry[key]!r}, which YAML takes for no text")
    channel, _, file_name = split(address)
    says = file_says(file_name)
    sha256 = str(entry["hash"].get("sha256", ""))
    return Package(
        name=entry["name"],
        version=entry["version"],
        source=channel if manager == "conda" else None,
        origin=f"{'channel' if manager == 'conda' else manager} {channel or address} for {platform}",
        artifacts=(
            Artifact(
                file_name=file_name,
                address=address,
                sha256=sha256 if SHA256.fullmatch(sha256) else None,
                says=says[:2] if says else None,
                local=address.startswith("file://"),
            ),
        ),
        needs=tuple(_edge(str(name), str(spec or "")) for name, spec in entry.get("dependencies", {}).items()),
        line=line,
        platform=platform,
        build=says[2] if says else "",
        groups=(str(entry.get("category", "main")),),
    )


@lru_cache(maxsize=2**14)
def _edge(name: str, specifier: str) -> Edge:
    """Platforms and packages share most of their needs."""
    return Edge(name, specifier=specifier)


def _merged(one: Package, other: Package, name: str) -> Package:
    """A package of two categories stands in the lock twice, and both entries say the same."""
    from dataclasses import replace

    if set(one.groups) & set(other.groups):
        raise BadInput(f"{other} is locked twice for {other.platform}", file=name, line=other.line, hint=FIX)
    if (one.version, one.artifacts, one.needs) != (other.version, other.artifacts, other.needs):
        raise BadInput(
            f"{other.name} is locked as {one.version} and as {other.version} for {other.platform}, or from two files",
            file=name,
            line=other.line,
            hint=FIX,
        )
    return replace(one, groups=(*one.groups, *other.groups))


def _words(error: Exception) -> str:
    return f"{error.args[0]!r} is missing" if isinstance(error, KeyError) else str(error)
