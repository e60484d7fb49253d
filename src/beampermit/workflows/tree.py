"""A YAML file with the line of every key."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from beampermit.errors import BadInput
from beampermit.reading import naming_yaml_errors


def read_tree(text: str, file: str) -> Mapping[Any, Any]:
    """Read a workflow or action file; `file` is its name in errors. Raises `BadInput` with file and line.

    YAML aliases are allowed, as on GitHub: all of them share one value, so they cannot blow up the tree. What GitHub
    reads in another way than this reader, or not at all, is refused.
    """
    from ruamel.yaml import YAML

    with naming_yaml_errors(file):
        for line, oddity in _oddities(text):
            raise BadInput(
                f"{oddity}, which GitHub may read in another way; write the file without it", file=file, line=line
            )
        tree = YAML(typ="rt").load(text)
    if not isinstance(tree, Mapping):
        raise BadInput("not a mapping, so neither a workflow nor an action", file=file, line=1)
    return tree


_BREAKS = "\x85\u2028\u2029"
"""Line ends of YAML 1.1 that are none in YAML 1.2."""


def _oddities(text: str) -> Iterator[tuple[int, str]]:
    """Line and name of what two YAML readers may take for different values."""
    from ruamel.yaml import YAML
    from ruamel.yaml.events import AliasEvent, DocumentStartEvent, NodeEvent, ScalarEvent

    for number, line in enumerate(text.split("\n"), 1):
        if any(mark in line for mark in _BREAKS):
            yield number, "there is a Unicode line separator in this line"
    anchors: set[str] = set()
    for event in YAML(typ="safe", pure=True).parse(text):
        line = event.start_mark.line + 1
        if isinstance(event, DocumentStartEvent) and (event.version or event.tags):
            yield line, "there is a YAML directive (`%...`)"
        if isinstance(event, NodeEvent) and not isinstance(event, AliasEvent):
            if tag := getattr(event, "tag", None):
                yield line, f"there is the YAML tag {tag.replace('tag:yaml.org,2002:', '!!')!r}"
            if event.anchor in anchors:
                yield line, f"the YAML anchor {event.anchor!r} is given twice"
            anchors |= {event.anchor} if event.anchor else set()
        if isinstance(event, ScalarEvent) and event.value == "<<" and not event.style:
            yield line, "there is a YAML merge key (`<<`)"


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
