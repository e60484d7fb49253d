"""The shape of those tables of `pyproject.toml` that a lock depends on; uv validates their values."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from reprlib import repr as shortened
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from beampermit.environments.uv.toml_lines import line_of
from beampermit.errors import BadInput

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


def validate(content: dict[str, Any], text: str) -> None:
    """Raise `BadInput`, with the line in `text`, where a table, list or string is something else."""
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
            f"{path} must be {expected}, not {shortened(value)}", file=FILE, line=line_of(text, keys)
        ) from None


def _existing(content: Any, location: Sequence[str | int]) -> Iterator[str | int]:
    """The location without the kinds that pydantic tried in turn for a value."""
    for key in location:
        try:
            content = content[key]
        except (KeyError, IndexError, TypeError):
            return
        yield key
