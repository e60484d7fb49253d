"""A report within the bounds of its file: texts cut, long lists cut and counted, whatever a project holds."""

from __future__ import annotations

import json
from typing import Any

STEPS = ((2_000, 20_000), (500, 4_000), (100, 1_000), (20, 200))
"""Rows of a list and characters of a text, generous first."""
WHOLE = ("judged", "plots")
"""Fields whose lists are never cut: each verdict counts, and half a curve misleads."""


def bounded(tree: dict[str, Any], limit: int) -> dict[str, Any]:
    """`tree` as JSON of at most `limit` bytes, cut by the first of `STEPS` that does it; `cut` counts rows by field."""
    made = tree
    for rows, length in STEPS:
        cut: dict[str, int] = {}
        made = {key: _cut(value, key, rows, length, cut) for key, value in tree.items()} | {"cut": cut}
        if len(json.dumps(made, ensure_ascii=False, default=str).encode()) <= limit:
            break
    return made


def _cut(node: Any, field: str, rows: int, length: int, cut: dict[str, int]) -> Any:
    if isinstance(node, str):
        return _text(node, length)
    if isinstance(node, dict):
        items = _first(list(node.items()), field, rows, cut)
        return {_text(str(key), length): _cut(value, field, rows, length, cut) for key, value in items}
    if isinstance(node, list | tuple):
        return [_cut(value, field, rows, length, cut) for value in _first(list(node), field, rows, cut)]
    return node


def _first(items: list[Any], field: str, rows: int, cut: dict[str, int]) -> list[Any]:
    if len(items) <= rows or field in WHOLE:
        return items
    cut[field] = cut.get(field, 0) + len(items) - rows
    return items[:rows]


def _text(value: str, length: int) -> str:
    """Without halves of character pairs, which no file can hold."""
    whole = value.encode("utf-8", "replace").decode() if not value.isascii() else value
    return whole if len(whole) <= length else whole[: length - 1] + "…"
