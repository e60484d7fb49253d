"""The lines of keys and strings in TOML that `tomllib` has read: it keeps none itself."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from itertools import takewhile

Keys = tuple[str | int, ...]
HEADER = re.compile(r"\s*(\[\[?)\s*([^\[\]]+?)\s*\]")
ASSIGNMENT = re.compile(r"\s*([\w.\"'-]+)\s*=(?!=)")
# A comment, or a string, which ends with its line even where it is not closed.
STRING = re.compile(r"""#.*|"((?:[^"\\]|\\.)*)(?:"|$)|'([^']*)(?:'|$)""")


def line_of(text: str, keys: Keys) -> int | None:
    """The line that sets `keys`, such as `("tool", "uv", "index", 0, "url")`; else the nearest that it is within."""
    nearest, depth = None, 0
    for number, there in _keys(text):
        common = _common(keys, there)
        if common > depth and common == min(len(keys), len(there)):
            nearest, depth = number, common
    return nearest


def keys_at(text: str, line: int) -> Keys:
    """The keys that are set in that line, or above it where a value has several lines."""
    keys: Keys = ()
    for number, there in _keys(text):
        if number > line:
            break
        keys = there
    return keys


def lines_of_strings(text: str) -> dict[str, int]:
    """The first line of each string."""
    lines: dict[str, int] = {}
    for number, line in enumerate(text.splitlines(), 1):
        for match in STRING.finditer(line):
            if (string := match[2] if match[1] is None else match[1].replace('\\"', '"')) is not None:
                lines.setdefault(string, number)
    return lines


def _keys(text: str) -> Iterator[tuple[int, Keys]]:
    table: Keys = ()
    tables: Counter[Keys] = Counter()
    for number, line in enumerate(text.splitlines(), 1):
        if header := HEADER.match(line):
            table = _split(header[2])
            if header[1] == "[[":
                tables[table] += 1
                table = (*table, tables[table] - 1)
            yield number, table
        elif assignment := ASSIGNMENT.match(line):
            yield number, (*table, *_split(assignment[1]))


def _split(keys: str) -> Keys:
    return tuple(key.strip(" \t\"'") for key in keys.split("."))


def _common(first: Keys, second: Keys) -> int:
    return len(list(takewhile(lambda pair: pair[0] == pair[1], zip(first, second, strict=False))))
