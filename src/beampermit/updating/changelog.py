"""The lines of the changelog between two versions."""

from __future__ import annotations

import re

from packaging.version import InvalidVersion, Version

HEADING = re.compile(r"^## +\[?v?(?P<version>[^\s\]]+)\]?.*$", re.MULTILINE)
UNRELEASED = "unreleased"


def changes_between(changelog: str, old: str, new: str, known: str = "") -> list[str]:
    """The lines of all versions after `old` up to `new`, and those of no version yet; without those of `known`.

    `known` is the changelog that the old version came with, if it is at hand.
    """
    lines: list[str] = []
    after, until, seen = _version(old), _version(new), set(known.splitlines())
    headings = list(HEADING.finditer(changelog))
    for heading, following in zip(headings, [*headings[1:], None], strict=False):
        version = _version(heading["version"])
        unreleased = heading["version"].lower() == UNRELEASED
        newer = version and (after is None or version > after) and (until is None or version <= until)
        if not (unreleased or newer):
            continue
        body = changelog[heading.end() : following.start() if following else None].splitlines()
        found = [line for line in body if line.strip() and line not in seen]
        lines += [heading.group().removeprefix("## "), *found] if any(line[0] in "-* " for line in found) else []
    return lines


def _version(text: str) -> Version | None:
    try:
        return Version(text)
    except InvalidVersion:
        return None
