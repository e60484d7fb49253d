"""A YAML file with the line of every key."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from beampermit.errors import BadInput
from beampermit.reading import naming_yaml_errors


def read_tree(text: str, file: str) -> Mapping[Any, Any]:
    """Read a workflow or action file; `file` is its name in errors. Raises `BadInput` with file and line.

    YAML aliases are allowed, as on GitHub: all of them share one value, so they cannot blow up the tree.
    """
    from ruamel.yaml import YAML

    with naming_yaml_errors(file):
        tree = YAML(typ="rt").load(text)
    if not isinstance(tree, Mapping):
        raise BadInput("not a mapping, so neither a workflow nor an action", file=file, line=1)
    return tree


def line_of(holder: Any, key: Any) -> int:
    """The line of a key in its mapping; 1 where it is unknown."""
    try:
        return holder.lc.key(key)[0] + 1
    except (AttributeError, KeyError):
        return 1


def lines_of(holder: Mapping[Any, Any], prefix: str = "") -> dict[str, int]:
    """`prefix` + key -> line."""
    return {f"{prefix}{key}": line_of(holder, key) for key in holder}


def line_of_item(holder: Any, number: int) -> int:
    try:
        return holder.lc.item(number)[0] + 1
    except (AttributeError, KeyError):
        return 1


def mapping(value: Any) -> Mapping[str, Any]:
    """`value` if it is a mapping, otherwise an empty one."""
    return value if isinstance(value, Mapping) else {}
