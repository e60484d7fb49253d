"""The shape of `pyproject.toml`, checked before it is used, and the lines of its keys."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import takewhile
from reprlib import repr as shortened
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from beampermit.errors import BadInput

Keys = tuple[str | int, ...]
HEADER = re.compile(r"\s*(\[\[?)\s*([^\[\]]+?)\s*\]")
ASSIGNMENT = re.compile(r"\s*([\w.\"'-]+)\s*=(?!=)")
# A comment, or a string, which ends with its line even where it is not closed.
STRING = re.compile(r"""#.*|"((?:[^"\\]|\\.)*)(?:"|$)|'([^']*)(?:'|$)""")


def line_of(text: str, keys: Keys) -> int | None:
    """The line that sets `keys`, such as `("tool", "uv", "index", 0, "url")`; else the nearest that it is within."""
    nearest, depth = None, 0
    for number, there in _keys(text):
        common = _common(keys, there)
        if common > depth and common == min(len(keys), len(there)):
            nearest, depth = number, common
    return nearest


def keys_at(text: str, line: int) -> Keys:
    """The keys that are set in that line, or above it where a value has several lines."""
    keys: Keys = ()
    for number, there in _keys(text):
        if number > line:
            break
        keys = there
    return keys


def lines_of_strings(text: str) -> dict[str, int]:
    """The first line of each string."""
    lines: dict[str, int] = {}
    for number, line in enumerate(text.splitlines(), 1):
        for match in STRING.finditer(line):
            if (string := match[2] if match[1] is None else match[1].replace('\\"', '"')) is not None:
                lines.setdefault(string, number)
    return lines


def _keys(text: str) -> Iterator[tuple[int, Keys]]:
    table: Keys = ()
    tables: Counter[Keys] = Counter()
    for number, line in enumerate(text.splitlines(), 1):
        if header := HEADER.match(line):
            table = _split(header[2])
            if header[1] == "[[":
                tables[table] += 1
                table = (*table, tables[table] - 1)
            yield number, table
        elif assignment := ASSIGNMENT.match(line):
            yield number, (*table, *_split(assignment[1]))


def _split(keys: str) -> Keys:
    return tuple(key.strip(" \t\"'") for key in keys.split("."))


def _common(first: Keys, second: Keys) -> int:
    return len(list(takewhile(lambda pair: pair[0] == pair[1], zip(first, second, strict=False))))


FILE = "pyproject.toml"
EXPECTED = {"string_type": "a string", "list_type": "a list"}
"""What errors of pydantic ask for, by type; any other asks for a table."""


class Table(BaseModel):
    """Keys that are not read here may have any value."""

    model_config = ConfigDict(frozen=True, strict=True, extra="allow")


class IncludedGroup(Table):
    group: str = Field(alias="include-group")


class ProjectTable(Table):
    name: str = ""
    python: str = Field("", alias="requires-python")
    dependencies: list[str] = []
    extras: dict[str, list[str]] = Field({}, alias="optional-dependencies")
    dynamic: list[str] = []


class UvTable(Table):
    index: list[dict[str, Any]] = []
    sources: dict[str, dict[str, Any] | list[dict[str, Any]]] = {}
    constraints: list[str] = Field([], alias="constraint-dependencies")
    overrides: list[str] = Field([], alias="override-dependencies")
    build_constraints: list[str] = Field([], alias="build-constraint-dependencies")


class ToolTable(Table):
    uv: UvTable | None = None


class Pyproject(Table):
    project: ProjectTable | None = None
    groups: dict[str, list[str | IncludedGroup]] = Field({}, alias="dependency-groups")
    tool: ToolTable | None = None


def validate(content: dict[str, Any], text: str, file: str = FILE) -> None:
    """Raise `BadInput`, with the line in `text`, where a table, list or string of `file` is something else."""
    try:
        Pyproject.model_validate(content)
    except ValidationError as error:
        first = error.errors()[0]
        keys = tuple(_existing(content, first["loc"]))
        path = "".join(f"[{key}]" if isinstance(key, int) else f".{key}" for key in keys).removeprefix(".")
        value: Any = content
        for key in keys:
            value = value[key]
        expected = EXPECTED.get(first["type"], "a table")
        raise BadInput(
            f"{path} must be {expected}, not {shortened(value)}", file=file, line=line_of(text, keys)
        ) from None


def _existing(content: Any, location: Sequence[str | int]) -> Iterator[str | int]:
    """The location without the kinds that pydantic tried in turn for a value."""
    for key in location:
        try:
            content = content[key]
        except (KeyError, IndexError, TypeError):
            return
        yield key
