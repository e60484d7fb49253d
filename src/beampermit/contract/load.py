"""Reads `contract.yaml`. Each error names file, line, key and the nearest known key."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError

from beampermit.contract.direction import model_in
from beampermit.contract.model import Contract
from beampermit.errors import BadInput, Problem, did_you_mean
from beampermit.reading import decode, parse_yaml, refuse_merge_markers, refuse_newer

FILE_NAME = "contract.yaml"
LARGEST = 2**20
FIX = "beampermit contract check"


def load_contract(path: Path) -> Contract:
    """Read the contract at `path` (a file, or the folder that holds it). Raises `BadInput`."""
    file = path / FILE_NAME if path.is_dir() else path
    if not file.is_file():
        raise BadInput("there is no contract", file=file, hint="beampermit init")
    if file.is_symlink():
        raise BadInput("the contract is a link; put the file in its place, which its owners review", file=file)
    return parse_contract(decode(file.read_bytes(), file, hint=FIX), file)


FORMAT = 1
"""Value of the key `beampermit`."""


def parse_contract(text: str, name: Path | str = FILE_NAME) -> Contract:
    """Parse YAML; errors call the file `name`. Raises `BadInput` with every error that the contract has."""
    return _sound(text) or _parse(text, name)


@lru_cache(maxsize=8)  # most often, head and base have the same text, under two names
def _sound(text: str) -> Contract | None:
    """The contract; None where it has errors, which are to have the file's name."""
    try:
        return _parse(text, FILE_NAME)
    except BadInput:
        return None


def _parse(text: str, name: Path | str) -> Contract:
    tree = _tree(text, name)
    if isinstance(tree, Mapping):
        refuse_newer(tree.get("beampermit"), FORMAT, name, line=_line(tree, ("beampermit",)))
    try:
        return Contract.model_validate(_plain(tree))
    except ValidationError as error:
        errors = [item for item in error.errors() if not _repeats(item, error.errors())]
        # An unknown key comes first: it is often why another one is missing.
        ordered = sorted(
            (item["type"] != "extra_forbidden", _line(tree, item["loc"]), *_message(item)) for item in errors
        )
        problems = [
            Problem(f"{key}: {message}" if key else message, str(name), line) for _, line, key, message in ordered
        ]
        first, *others = problems
        raise BadInput(first.message, file=name, line=first.line, hint=FIX, also=others) from None


def line_of(text: str, location: tuple[int | str, ...]) -> int:
    """The line, from 1, of the key or item at `location`, or of the deepest part of it that is in the text."""
    return _line(_tree(text, FILE_NAME), location)


@lru_cache(maxsize=8)  # a check asks for the lines of many keys
def _tree(text: str, name: Path | str) -> Any:
    if len(text) > LARGEST:
        raise BadInput(f"larger than {LARGEST} characters", file=name)
    refuse_merge_markers(text, name, hint="git mergetool")
    tree = parse_yaml(text, name, lines=True, hint=FIX)
    if not isinstance(tree, Mapping):
        raise BadInput("a contract is a mapping of keys to values", file=name, line=1, hint=FIX)
    return tree


def values_of(text: str) -> dict[str, Any]:
    """The keys and values of a contract of any version, which need not hold; often it is one that has been parsed."""
    return _plain(_tree(text, FILE_NAME))


def written_alike(one: str, other: str, key: str) -> bool:
    """Whether two contracts that have been parsed have the same value of a key at the top, as YAML has it."""
    return _tree(one, FILE_NAME)[key] == _tree(other, FILE_NAME)[key]


def _plain(node: Any) -> Any:
    if isinstance(node, Mapping):
        return {str(key): _plain(value) for key, value in node.items()}
    if isinstance(node, Sequence) and not isinstance(node, str):
        return [_plain(value) for value in node]
    if isinstance(node, bool) or node is None:
        return node
    for kind in (int, float, str):
        if isinstance(node, kind):
            return kind(node)
    return node


def _line(tree: Any, location: tuple[int | str, ...]) -> int:
    """The line of the deepest part of `location` that is in the file."""
    line = 1
    node = tree
    for part in location:
        marks = getattr(node, "lc", None)
        if marks is None:
            break
        try:
            line = (marks.key(part) if isinstance(node, Mapping) else marks.item(part))[0] + 1
            node = node[part]
        except (KeyError, IndexError, TypeError):
            break
    return line


def _repeats(item: Any, errors: Sequence[Any]) -> bool:
    """Whether an error follows from one deeper inside: without its wrong item, a list is too short."""
    depth = len(item["loc"])
    return any(len(other["loc"]) > depth and other["loc"][:depth] == item["loc"] for other in errors)


def _message(item: Any) -> tuple[str, str]:
    location = item["loc"]
    key = ".".join(str(part) for part in location)
    if item["type"] == "extra_forbidden":
        unknown = str(location[-1])
        return key, f"unknown key {unknown!r}{did_you_mean(unknown, _known_keys(location[:-1]))}"
    if item["type"] == "missing":
        return key, "this key is missing"
    return key, item["msg"].removeprefix("Value error, ")


def _known_keys(location: Sequence[int | str]) -> list[str]:
    """The keys of the part at `location`."""
    kind: type[BaseModel] | None = Contract
    for part in location:
        if kind is None or isinstance(part, int) or part not in kind.model_fields:
            continue
        kind = model_in(kind.model_fields[part].annotation)
    return list(kind.model_fields) if kind else []
