"""Base model and value types of the contract."""

from __future__ import annotations

import re
from pathlib import PurePosixPath
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field

from beampermit.contract.direction import Loosens

DURATION = re.compile(r"(\d+(?:\.\d+)?)\s*(ms|s|min|h|d)")
VERSION = re.compile(r"\d{1,6}(\.\d{1,6}){0,3}")
SECONDS = {"ms": 0.001, "s": 1.0, "min": 60.0, "h": 3600.0, "d": 86400.0}


class Part(BaseModel):
    """A part of the contract: frozen; unknown keys, NaN and infinity are errors.

    A key is described by the docstring below it, which only the schema reads (`reference.py`).
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, defer_build=True)


def _seconds(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    match = DURATION.fullmatch(value.strip())
    if not match:
        raise ValueError("a duration is a number with a unit (ms, s, min, h, d), such as 5s")
    return float(match[1]) * SECONDS[match[2]]


def _inside(value: str) -> str:
    path = PurePosixPath(value)
    if path.is_absolute() or ".." in path.parts or "\\" in value or not path.parts or path.parts[0] == ".git":
        raise ValueError("a path must be relative to the project and inside it")
    return str(path)


def _version(value: Any) -> Any:
    if not isinstance(value, str) or not VERSION.fullmatch(value):
        raise ValueError('a version must be in quotes, such as "8.0"; without them, YAML reads a number')
    return value


def version(text: str) -> tuple[int, ...]:
    """A version as numbers, for comparison."""
    return tuple(int(number) for number in text.split("."))


Seconds = Annotated[float, BeforeValidator(_seconds), Field(gt=0, json_schema_extra={"type": ["number", "string"]})]
"""A duration such as `5s`, `200ms`, `1h`; a bare number is seconds."""
InsidePath = Annotated[str, AfterValidator(_inside), Loosens.NEVER]
Name = Annotated[str, Field(pattern=r"^[a-z][a-z0-9]*([-_][a-z0-9]+)*$", max_length=64), Loosens.NEVER]
Text = Annotated[str, Field(min_length=1, max_length=4000)]
Prose = Annotated[Text, Loosens.INFORMS]
Lines = Annotated[tuple[Text, ...], Loosens.INFORMS]
Version = Annotated[str, BeforeValidator(_version)]
"""Numbers separated by dots, such as `"535.104"`."""
Span = tuple[float, float]
