"""Arrays in columns of tables: lists of numbers, and lists of lists, as SQL of duckdb."""

from __future__ import annotations

import math
import re

NUMBERS = re.compile(
    r"(U?(TINY|SMALL|BIG|HUGE)INT|U?INTEGER|FLOAT|DOUBLE|DECIMAL\(\d+,\d+\)|BOOLEAN)(?P<dimensions>(\[\d*\])*)"
)


def depth_of(kind: str) -> int | None:
    """0 for a column of numbers, 1 for lists of numbers, 2 for lists of lists; None for any other type of duckdb."""
    match = NUMBERS.fullmatch(kind)
    return match["dimensions"].count("[") if match else None


def flattened(column: str, depth: int) -> str:
    """A column of lists as one list of numbers a row; a list that is null has none."""
    for _ in range(depth - 1):
        column = f"flatten({column})"
    return column


def lengths(column: str, depth: int) -> list[tuple[str, str]]:
    """The shortest and the longest list of a row, from the outer dimension to the inner one."""
    whole = f"len({column})"
    inner = [f"[len(part) FOR part IN {flattened(column, level)}]" for level in range(1, depth)]
    return [(whole, whole), *((f"list_min({each})", f"list_max({each})") for each in inner)]


def has_shape(column: str, depth: int, shape: tuple[int, ...]) -> str:
    """SQL condition: a row has this shape, or is one flat list of as many numbers; null for a null.

    64 x 64 is not 32 x 128. `depth` is that of the column, 1 or that of the shape.
    """
    flat = f"len({flattened(column, depth)}) = {math.prod(shape)}"
    if depth == 1:
        return flat
    sides = zip(lengths(column, depth), shape, strict=True)
    return " AND ".join([flat, *(f"{low} = {length} AND {high} = {length}" for (low, high), length in sides)])
