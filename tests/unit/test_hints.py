"""A hint is a command that can be typed, or a sentence; never both in one."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

import beampermit
from beampermit.errors import is_command

SOURCE = Path(beampermit.__file__).parent


def _texts(node: ast.expr, constants: dict[str, ast.expr]) -> Iterator[str]:
    match node:
        case ast.Constant(value=str() as text):
            yield text
        case ast.JoinedStr(values=parts):
            yield "".join(str(part.value) if isinstance(part, ast.Constant) else "X" for part in parts)
        case ast.Name(id=name) if name in constants:
            yield from _texts(constants[name], constants)
        case ast.IfExp(body=body, orelse=orelse):
            yield from (*_texts(body, constants), *_texts(orelse, constants))


@cache
def _hints() -> tuple[tuple[str, str], ...]:
    texts = {path: path.read_text() for path in sorted(SOURCE.rglob("*.py"))}
    return tuple(hint for path, text in texts.items() if "hint=" in text for hint in _hints_in(path, text))


def _hints_in(path: Path, source: str) -> Iterator[tuple[str, str]]:
    tree = ast.parse(source)
    constants = {
        node.targets[0].id: node.value
        for node in tree.body
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.keyword) and node.arg == "hint":
            for text in _texts(node.value, constants):
                yield f"{path.relative_to(SOURCE)}:{node.value.lineno}", text


@pytest.mark.slow
def test_a_hint_that_is_a_command_is_nothing_else() -> None:
    hints = [(place, hint) for place, hint in _hints() if hint]
    assert len(hints) > 100
    mixed = [(place, hint) for place, hint in hints if is_command(hint) and re.search(r", | or | then |; ", hint)]
    assert mixed == []


def test_a_command_inside_a_sentence_stands_in_backquotes() -> None:
    bare = [
        (place, hint)
        for place, hint in _hints()
        if not is_command(hint) and re.search(r"\b(beampermit|git|dvc|uv) [a-z]", re.sub(r"`[^`]*`", "", hint))
    ]
    assert bare == []
