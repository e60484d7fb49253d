"""A YAML file as a tree whose every key knows its line."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from beampermit.errors import BadInput
from beampermit.reading import naming_yaml_errors


def read_tree(text: str, file: str) -> Mapping[Any, Any]:
    """Read a workflow or action file; `file` is what errors call it. Raises `BadInput` with file and line.

    Aliases are taken, since GitHub takes them: each is one and the same value here, and nobody copies the tree.
    """
    from ruamel.yaml import YAML

    with naming_yaml_errors(file):
        tree = YAML(typ="rt").load(text)
    if not isinstance(tree, Mapping):
        raise BadInput("neither a workflow nor an action: not a mapping", file=file, line=1)
    return tree


def line_of(holder: Any, key: Any) -> int:
    """The line of a key in the mapping that holds it; 1 where it is not known."""
    try:
        return holder.lc.key(key)[0] + 1
    except (AttributeError, KeyError):
        return 1


def lines_of(holder: Mapping[Any, Any], prefix: str = "") -> dict[str, int]:
    """Key -> line, each key after `prefix`."""
    return {f"{prefix}{key}": line_of(holder, key) for key in holder}


def line_of_item(holder: Any, number: int) -> int:
    """The line of an item in the list that holds it."""
    try:
        return holder.lc.item(number)[0] + 1
    except (AttributeError, KeyError):
        return 1


def mapping(found: Any) -> Mapping[str, Any]:
    """What was found if it is a mapping, and an empty one otherwise."""
    return found if isinstance(found, Mapping) else {}
