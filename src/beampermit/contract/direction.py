"""Whether a change of a contract key loosens it: declared on each key, read by reports and interlocks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any, Literal, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo


class Loosens(Enum):
    """When a new value requires less than the old one; removing the key does too.

    `WHEN_SET`: without a value something else decides. `NEVER`: no value is looser than another. `INFORMS`: people read
    the key, and no gate compares it.
    """

    WHEN_LARGER = "larger"
    WHEN_SMALLER = "smaller"
    WHEN_WIDER = "wider"
    WHEN_LATER = "later"
    WHEN_OLDER = "an older version"
    WHEN_WORSE = "worse, as `better` says"
    WHEN_CHANGED = "changed"
    WHEN_SET = "set or changed"
    WHEN_REMOVED = "removed"
    WHEN_ENTRY_REMOVED = "an entry is removed"
    WHEN_ENTRY_ADDED = "an entry is added"
    WHEN_LATER_CHOICE = "a choice further right"
    NEVER = "never"
    INFORMS = "informs"

    def __get_pydantic_json_schema__(self, core_schema: Any, handler: Any) -> dict[str, Any]:
        schema: dict[str, Any] = handler(core_schema)
        return schema if self in (Loosens.NEVER, Loosens.INFORMS) else schema | {"looser": self.value}


@dataclass(frozen=True)
class Absent:
    """What counts where the key is absent: a number, a percentage, or another key, looked up from its part upwards."""

    counts_as: float | str


@dataclass(frozen=True)
class Direction:
    """What a key declares; `choices` are the values of a `Literal`, in its order."""

    loosens: Loosens
    absent: Absent | None = None
    choices: tuple[Any, ...] = ()


def model_in(annotation: Any) -> type[BaseModel] | None:
    """The model that an annotation is or holds: of `Owner` and of `tuple[Owner, ...]`, `Owner`."""
    kinds = (annotation, *get_args(annotation))
    return next((kind for kind in kinds if isinstance(kind, type) and issubclass(kind, BaseModel)), None)


def direction(model: type[BaseModel], path: Sequence[str]) -> Direction:
    """What the key at `path` declares, where an item of a list stands as its name. `NEVER` for a part as a whole."""
    parts = iter(path)
    for part in parts:
        field = model.model_fields[part]
        below = model_in(field.annotation)
        if below is None:
            return declared(field) or Direction(Loosens.NEVER)
        model = below
        if get_origin(field.annotation) is tuple:
            next(parts, None)
    return Direction(Loosens.NEVER)


def declared(field: FieldInfo) -> Direction | None:
    """What a key declares itself; it overrides what its type declares."""
    loosens = [item for item in field.metadata if isinstance(item, Loosens)]
    if not loosens:
        return None
    absent = next((item for item in field.metadata if isinstance(item, Absent)), None)
    choices = get_args(field.annotation) if get_origin(field.annotation) is Literal else ()
    return Direction(loosens[-1], absent, choices)
