"""GitHub's patterns of branches: which names one lets in. `*` and `?` stand for no `/`, and `**/` for any folders."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from fnmatch import fnmatchcase

from beampermit.errors import Failed

ODD = frozenset("[]{}\\")
"""Signs of patterns for which no name is made up here."""
WILD = re.compile(r"\*\*/|\*+|\?")
MEANS = {"**/": "(?:[^/]+/)*", "?": "[^/]"}


def example_names(pattern: str) -> Iterator[str]:
    """The name itself, or two that nobody has protected by their own."""
    if not WILD.search(pattern):
        yield pattern
        return
    for letter in "qz":
        yield pattern.replace("**/", f"{letter}/").replace("*", f"{letter}-beampermit-{letter}").replace("?", letter)


def lets_in(pattern: str, name: str) -> bool:
    """Whether a pattern has this branch; one with `ODD` is read as a shell does."""
    if ODD.intersection(pattern):
        return fnmatchcase(name, pattern)
    literal, wild = WILD.split(pattern), WILD.findall(pattern)
    middle = zip(map(re.escape, literal), [*(MEANS.get(sign, "[^/]*") for sign in wild), ""], strict=True)
    return re.fullmatch("".join(part for pair in middle for part in pair), name) is not None


def names_left_out(pattern: str, excluded: Iterable[str]) -> Iterator[str]:
    """Names that `pattern` lets in and one of `excluded` takes out again.

    Raises `Failed` where there may be one, and none is found.
    """
    if not WILD.search(pattern):
        return  # GitHub told the rules of just this name
    for other in excluded:
        names = [] if ODD.intersection(other) else [name for name in example_names(other) if lets_in(pattern, name)]
        if not names and _may_meet(pattern, other):
            raise Failed(f"a ruleset leaves {other} out, and whether that is one of them is not seen")
        yield from names


def _may_meet(one: str, other: str) -> bool:
    """Whether both may have a name: what stands before and behind the first and the last sign does not differ."""
    if not ODD.intersection(other) and not WILD.search(other):
        return False  # it is a name, and was asked for
    parts = [re.split(r"[*?\[\]{}\\]", pattern) for pattern in (one, other)]
    head, longer_head = sorted((part[0] for part in parts), key=len)
    tail, longer_tail = sorted((part[-1] for part in parts), key=len)
    return longer_head.startswith(head) and longer_tail.endswith(tail)
