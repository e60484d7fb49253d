"""Trees of settings as flat keys, and the keys that differ between two of them, or between base and head."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from functools import lru_cache
from typing import Any

from beampermit.changes.base_and_head import BaseAndHead
from beampermit.errors import BadInput
from beampermit.reading import parse_yaml

FILES = ("params.yaml", "dvc.yaml")
ABSENT: Any = object()
DEEPEST = 32
MOST = 10_000
KeyPath = tuple[str, ...]


@dataclass(frozen=True)
class Change:
    """A key whose value differs; None stands for absent. `looser`: the contract requires less than before."""

    key: str
    before: str | None
    after: str | None
    looser: bool = False


def flatten(tree: Any) -> dict[str, Any]:
    """`{"train.epochs": 20, "metrics.auc.gate": 0.98}`: an item of a list that has a name is keyed by it."""
    return {".".join(path): value for path, value in leaves(tree).items()}


def leaves(tree: Any) -> dict[KeyPath, Any]:
    """As `flatten`, each key as a path, for a name may contain a dot. At most `MOST` keys."""
    return dict(itertools.islice(_walk(tree, (), 0), MOST))


def compare_trees(before: Any, after: Any) -> tuple[Change, ...]:
    old, new = flatten(before), flatten(after)
    return tuple(
        Change(key, format_value(old.get(key, ABSENT)), format_value(new.get(key, ABSENT)))
        for key in sorted({*old, *new})
        if old.get(key, ABSENT) != new.get(key, ABSENT)
    )


def format_value(value: Any) -> str | None:
    """A value as a reviewer reads it; None for `ABSENT`."""
    if value is ABSENT:
        return None
    if isinstance(value, bool) or value is None:
        return {True: "true", False: "false", None: "nothing"}[value]
    if isinstance(value, float) and math.isfinite(value):
        return exact(value)
    if isinstance(value, list | tuple):
        return f"[{', '.join(format_value(item) or '' for item in value)}]"
    return str(value)


def exact(value: float) -> str:
    """A number as it was written, every digit, without exponent: limits and gates are never rounded."""
    return f"{Decimal(repr(float(value))).normalize():f}"


def compare_settings(base_and_head: BaseAndHead) -> dict[str, tuple[Change, ...]]:
    """Changed keys of each file that has some. Raises `BadInput` for a file of the work tree that cannot be read."""
    changes = {
        name: compare_trees(_before(base_and_head, name), _parse(base_and_head.after(name), name)) for name in FILES
    }
    return {name: changed for name, changed in changes.items() if changed}


def _walk(node: Any, path: KeyPath, depth: int) -> Iterator[tuple[KeyPath, Any]]:
    named = _named(node)
    if not named or depth > DEEPEST:
        yield path, node
        return
    for name, child in named.items():
        yield from _walk(child, (*path, str(name)), depth + 1)


def _named(node: Any) -> dict[Any, Any] | None:
    if isinstance(node, dict):
        return node
    if isinstance(node, list) and node and all(isinstance(item, dict) for item in node):
        names = [_item_name(item, place) for place, item in enumerate(node)]
        if len(set(names)) == len(names):
            return dict(zip(names, node, strict=True))
        return dict(enumerate(node))
    return None


def _item_name(item: dict[Any, Any], place: int) -> str:
    name = item.get("name", item.get("by", place))
    return "+".join(sorted(map(str, name))) if isinstance(name, list) else str(name)


def _before(base_and_head: BaseAndHead, name: str) -> Any:
    try:
        return _parse(base_and_head.before(name), name)
    except BadInput:
        return {}


@lru_cache(maxsize=2)  # what a pull request leaves as it was is read once
def _parse(text: str | None, name: str) -> Any:
    """To be read only. Raises `BadInput`."""
    return (parse_yaml(text, name, aliases=True) if text is not None else None) or {}
