"""How many faults are told in a line, and how many in the evidence."""

from __future__ import annotations

SHOWN = 20


def several(words: list[str]) -> str:
    """The first of some faults, and how many more there are."""
    return words[0] + more(len(words) - 1)


def more(count: int) -> str:
    """Such as ` (and 3 more)`; nothing where there are none."""
    return f" (and {count} more)" if count else ""
