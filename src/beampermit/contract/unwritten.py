"""What in a contract still waits for a person: lines that are marked TODO, in a value or in a comment."""

from __future__ import annotations

import re
from dataclasses import dataclass

MARK = re.compile(r"\bTODO\b[:\s]*(?P<what>(?:(?!\bTODO\b)[^}\"#])*)")
KEY = re.compile(r"^[\s-]*(?:\{)?(?P<key>[A-Za-z_]\w*)\s*:")


@dataclass(frozen=True)
class Todo:
    """A marked line, from 1, the key on it if there is one, and what its marks ask for."""

    line: int
    key: str
    what: str


def todos(text: str) -> tuple[Todo, ...]:
    """Every marked line of a contract's text."""
    return tuple(
        Todo(number, _key(line), "; ".join(filter(None, (mark["what"].strip() for mark in marks))))
        for number, line in enumerate(text.splitlines(), 1)
        if (marks := list(MARK.finditer(line)))
    )


def _key(line: str) -> str:
    found = KEY.match(line)
    return found["key"] if found else ""
