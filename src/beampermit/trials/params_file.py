"""Writes values into `params.yaml` where the old ones stand: comments, order and all other lines stay as they are."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from beampermit.errors import BadInput
from beampermit.reading import naming_yaml_errors, parse_yaml

FILE = "params.yaml"
PLAIN = re.compile(r"[A-Za-z_][A-Za-z0-9_./-]*")
"""Text that is written without quotes, unless it is one of `WORDS`."""
WORDS = frozenset(("true", "false", "yes", "no", "on", "off", "y", "n", "null"))
"""What a reader of YAML 1.1 or 1.2 takes for something else than text."""


def with_values(text: str, values: Mapping[str, Any]) -> str:
    """`text` with other values at some paths, such as `train.hidden`; what is equal already is not touched.

    Raises `BadInput` for a path that is not there, and where a value cannot be replaced alone: one that an alias
    repeats.
    """
    tree = parse_yaml(text, FILE, aliases=True)
    root = _composed(text)
    changed = {path: value for path, value in values.items() if not same(value_at(tree, path), value)}
    spans = sorted(((*_span(root, path), path) for path in changed), reverse=True)
    for begin, after, column, path in spans:
        end = begin + len(text[begin:after].rstrip())  # a block of text ends with its line
        written = _written(changed[path], column, block="\n" in text[begin:end] and text[begin] == "-")
        text = text[:begin] + (" " if begin == end else "") + written + text[end:]
    for path, value in changed.items():
        _put(tree, path, value)
    if _read_again(text) != tree:
        path = next(iter(changed))
        raise BadInput(
            f"{path} cannot be replaced alone: an anchor, an alias or a tag is part of it",
            file=FILE,
            line=text.count("\n", 0, spans[-1][0]) + 1,
            hint="write the value where it is used, without an alias",
        )
    return text


def _read_again(text: str) -> Any:
    try:
        return parse_yaml(text, FILE, aliases=True)
    except BadInput:
        return None  # the anchor of an alias was replaced


def value_at(tree: Any, path: str) -> Any:
    """The value at a path. Raises `BadInput` where there is none."""
    node = tree
    for part in path.split("."):
        if not isinstance(node, Mapping) or part not in node:
            raise BadInput(f"there is no parameter {path}", file=FILE)
        node = node[part]
    return node


def same(one: Any, other: Any) -> bool:
    """Whether two values mean the same to a training: 1 is 1.0, and true is not 1."""
    if isinstance(one, list) and isinstance(other, list | tuple):
        return len(one) == len(other) and all(map(same, one, other))
    return one == other and isinstance(one, bool) == isinstance(other, bool)


def _put(tree: Any, path: str, value: Any) -> None:
    *above, last = path.split(".")
    for part in above:
        tree = tree[part]
    tree[last] = value


def _composed(text: str) -> Any:
    from ruamel.yaml import YAML

    with naming_yaml_errors(FILE):
        return YAML(typ="rt", pure=True).compose(text)


def _span(root: Any, path: str) -> tuple[int, int, int]:
    """Where the value at a path begins and ends in the text, and in which column it begins."""
    key = node = root
    for part in path.split("."):
        found = [(key, value) for key, value in node.value if getattr(key, "value", None) == part]
        if not found:
            raise BadInput(f"{path} stands behind an alias: write it where it is used", file=FILE)
        key, node = found[-1]
    begin, end = node.start_mark.index, _end(node)
    if begin == end:  # nothing, which is somewhere behind the colon
        begin = end = key.end_mark.index + 1
    return begin, end, node.start_mark.column


def _end(node: Any) -> int:
    """A collection in lines ends with its last item; its own mark is that of what comes next."""
    from ruamel.yaml import MappingNode, ScalarNode

    if isinstance(node, ScalarNode) or node.flow_style or not node.value:
        return node.end_mark.index
    last = node.value[-1]
    return _end(last[1] if isinstance(node, MappingNode) else last)


def _written(value: Any, column: int, block: bool) -> str:
    if block and isinstance(value, list) and value:
        return f"\n{' ' * column}".join(f"- {_flow(item)}" for item in value)
    return _flow(value)


def _flow(value: Any) -> str:
    """On one line, and read alike as YAML 1.1, which Python's reader knows, and as 1.2."""
    if isinstance(value, list):
        return f"[{', '.join(map(_flow, value))}]"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{_flow(key)}: {_flow(inner)}" for key, inner in value.items()) + "}"
    if isinstance(value, float):
        shown = repr(value)
        return shown.replace("e", ".0e") if "e" in shown and "." not in shown else shown
    if isinstance(value, str):
        return value if PLAIN.fullmatch(value) and value.lower() not in WORDS else json.dumps(value, ensure_ascii=False)
    return json.dumps(value)
