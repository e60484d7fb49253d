"""Whether two spellings are one unit."""

from __future__ import annotations

import unicodedata

NONE = {"", "1", "none", "n/a", "-"}
"""How sources say that a number has no unit."""


def same(one: str, other: str) -> bool:
    """Equal but for white space, Unicode form (µ has two), and the many ways to say none. `mm` and `MM` are two."""
    one, other = (unicodedata.normalize("NFKC", unit).strip() for unit in (one, other))
    return one == other or (one.casefold() in NONE and other.casefold() in NONE)
