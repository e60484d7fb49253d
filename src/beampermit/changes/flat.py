"""Trees of settings as flat keys, and what moved between two of them."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

ABSENT: Any = object()
DEEPEST = 32
MOST = 10_000
KeyPath = tuple[str, ...]


@dataclass(frozen=True)
class Move:
    """One key that is not what it was; None stands for absent. `looser`: less is asked than before."""

    key: str
    before: str | None
    after: str | None
    looser: bool = False


def flat(tree: Any) -> dict[str, Any]:
    """`{"train.epochs": 20, "metrics.auc.gate": 0.98}`: items of a list that have a name are known by it."""
    return {".".join(path): value for path, value in leaves(tree).items()}


def leaves(tree: Any) -> dict[KeyPath, Any]:
    """The same with each key as a path: a name may have a point in it. At most `MOST`."""
    return dict(itertools.islice(_walk(tree, (), 0), MOST))


def moves(before: Any, after: Any) -> tuple[Move, ...]:
    """What differs between two trees, by key."""
    old, new = flat(before), flat(after)
    return tuple(
        Move(key, shown(old.get(key, ABSENT)), shown(new.get(key, ABSENT)))
        for key in sorted({*old, *new})
        if old.get(key, ABSENT) != new.get(key, ABSENT)
    )


def shown(value: Any) -> str | None:
    """A value as a reviewer reads it; None for one that is absent."""
    if value is ABSENT:
        return None
    if isinstance(value, bool) or value is None:
        return {True: "true", False: "false", None: "nothing"}[value]
    if isinstance(value, float) and math.isfinite(value):
        return exact(value)
    if isinstance(value, list | tuple):
        return f"[{', '.join(shown(item) or '' for item in value)}]"
    return str(value)


def exact(value: float) -> str:
    """A number as it was written, every digit, without exponent: limits and gates are never rounded."""
    return f"{Decimal(repr(float(value))).normalize():f}"


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
        names = [item.get("name", item.get("by", place)) for place, item in enumerate(node)]
        if len({str(name) for name in names}) == len(names):
            return dict(zip(map(str, names), node, strict=True))
        return dict(enumerate(node))
    return None
