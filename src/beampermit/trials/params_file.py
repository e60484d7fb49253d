"""Writes values into `params.yaml` where the old ones stand: comments, order and all other lines stay as they are."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

from beampermit.errors import BadInput
from beampermit.reading import naming_yaml_errors, parse_yaml

FILE = "params.yaml"
PLAIN = re.compile(r"[A-Za-z_][A-Za-z0-9_./-]*")
"""Text that is written without quotes, unless it is one of `WORDS`."""
ESCAPED = re.compile("[\x7f-\x9f\u2028\u2029\ufeff\ufffe\uffff]")
"""What JSON has as it is, and YAML has not, or takes for the end of a line."""
WORDS = frozenset(("true", "false", "yes", "no", "on", "off", "y", "n", "null"))
"""What a reader of YAML 1.1 or 1.2 takes for something else than text."""


def with_values(text: str, values: Mapping[str, Any]) -> str:
    """`text` with other values at some paths, such as `train.hidden`; what is equal already is not touched.

    Line ends stay as they are. Raises `BadInput` for a path that is not there, and where a value cannot be replaced
    alone: one that an alias repeats.
    """
    tree = parse_yaml(text, FILE, aliases=True)
    root = _composed(text)
    changed = {path: value for path, value in values.items() if not same(value_at(tree, path), value)}
    for path, value in changed.items():
        _refuse_unwritable(path, value)
    made = text
    edits = [edit for path, value in changed.items() for edit in _edits(text, root, path, value_at(tree, path), value)]
    for begin, end, written in sorted(edits, reverse=True):
        made = made[:begin] + written + made[end:]
    wanted = _apart(tree)  # an alias is the same object here: a change of one would be expected in both
    for path, value in changed.items():
        _put(wanted, path, value)
    if _read_again(made) != wanted:
        raise _why(root, [*changed])
    return made


def _apart(node: Any) -> Any:
    """A copy in which nothing is there twice, as aliases are."""
    if isinstance(node, dict):
        return {key: _apart(value) for key, value in node.items()}
    return [*map(_apart, node)] if isinstance(node, list) else node


def _read_again(text: str) -> Any:
    try:
        return parse_yaml(text, FILE, aliases=True)
    except BadInput:
        return None  # the anchor of an alias was replaced


def _why(root: Any, paths: list[str]) -> BadInput:
    for path in paths:
        if anchored := next((node for node in _nodes(root, path) if node.anchor), None):
            return BadInput(
                f"{path} cannot be replaced alone: what stands at &{anchored.anchor} is repeated by an alias",
                file=FILE,
                line=anchored.start_mark.line + 1,
                hint="write the value where it is used, without an alias",
            )
    line = _found(root, paths[0])[1].start_mark.line + 1
    return BadInput(f"{paths[0]} cannot be replaced where it stands", file=FILE, line=line, hint="write it by hand")


def _nodes(root: Any, path: str) -> Iterator[Any]:
    """Those that a path leads through, and what is in its value."""
    node = root
    for part in path.split("."):
        node = next(value for key, value in node.value if getattr(key, "value", None) == part)
        yield node
    inside = [node]
    while inside:
        node = inside.pop()
        yield node
        if not isinstance(node.value, str):
            inside += [one for item in node.value for one in (item if isinstance(item, tuple) else (item,))]


def _refuse_unwritable(path: str, value: Any) -> None:
    try:
        json.dumps(value, ensure_ascii=False, allow_nan=False).encode()
    except UnicodeEncodeError:
        raise BadInput(
            f"{path} has half of a character (a lone surrogate), which no file can have", file=FILE
        ) from None
    except ValueError:
        raise BadInput(f"{path} has a number that is not finite", file=FILE) from None


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


def _found(root: Any, path: str) -> tuple[Any, Any]:
    """Key and value at a path."""
    key = node = root
    for part in path.split("."):
        found = [(key, value) for key, value in node.value if getattr(key, "value", None) == part]
        if not found:
            raise BadInput(f"{path} stands behind an alias: write it where it is used", file=FILE)
        key, node = found[-1]
    return key, node


def _edits(text: str, root: Any, path: str, old: Any, value: Any) -> list[tuple[int, int, str]]:
    """Where something else is written for the value at a path: begin, end, text."""
    key, node = _found(root, path)
    begin, end = node.start_mark.index, _end(node)
    if begin == end:  # nothing, which is somewhere behind the colon
        colon = text.find(":", key.end_mark.index) + 1
        return [(colon, colon, f" {_flow(value)}")]
    end = begin + len(text[begin:end].rstrip())  # a block of text ends with its line
    if text[begin] != "-" or not _is_block(node):
        return [(begin, end, _flow(value))]
    lines = _Lines(text, node, old)
    if isinstance(value, list) and value:
        return [lines.replaced(value)]
    colon = text.find(":", key.end_mark.index) + 1  # where the list was may be too far left
    return [(colon, colon, f" {_flow(value)}"), lines.removed]


def _is_block(node: Any) -> bool:
    from ruamel.yaml import SequenceNode

    return isinstance(node, SequenceNode) and not node.flow_style


class _Lines:
    """A list with a line, or some, for each item: what stands above an item and behind it goes where the item goes."""

    def __init__(self, text: str, node: Any, values: list[Any]):
        self._begin = text.rfind("\n", 0, node.start_mark.index) + 1
        self._indent = text[self._begin : node.start_mark.index]
        self._newline = "\r\n" if text[: self._begin].endswith("\r\n") else "\n"
        self._items: list[tuple[Any, str]] = []
        """Value and lines of each, without the last line end."""
        self._end = self._begin
        for item, value in zip(node.value, values, strict=True):
            begin = self._end + (len(self._newline) if self._items else 0)
            last = item.start_mark.index + len(text[item.start_mark.index : _end(item)].rstrip())
            until = text.find("\n", last)
            self._end = len(text) if until < 0 else until - (text[until - 1] == "\r")
            self._items.append((value, text[begin : self._end]))
        self.removed = (self._begin - len(self._newline), self._end, "")

    def replaced(self, values: list[Any]) -> tuple[int, int, str]:
        left = [*self._items]
        lines: list[str] = []
        for value in values:
            old = next((one for one in left if same(one[0], value)), None)
            if old:
                left.remove(old)
            lines.append(old[1] if old else f"{self._indent}- {_flow(value)}")
        return self._begin, self._end, self._newline.join(lines)


def _end(node: Any) -> int:
    """A collection in lines ends with its last item; its own mark is that of what comes next."""
    from ruamel.yaml import MappingNode, ScalarNode

    if isinstance(node, ScalarNode) or node.flow_style or not node.value:
        return node.end_mark.index
    last = node.value[-1]
    return _end(last[1] if isinstance(node, MappingNode) else last)


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
        if PLAIN.fullmatch(value) and value.lower() not in WORDS:
            return value
        return ESCAPED.sub(lambda found: f"\\u{ord(found[0]):04x}", json.dumps(value, ensure_ascii=False))
    return json.dumps(value)
