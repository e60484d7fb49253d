"""Pages in Markdown as GitHub reads them: their links, and the anchors of their headings."""

from __future__ import annotations

import re
from collections import Counter
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[2]
FENCED = re.compile(r"^ *```.*?^ *```$", re.MULTILINE | re.DOTALL)


def links(page: Path) -> list[str]:
    """Those to this repository."""
    text = re.sub(r"`[^`\n]*`", "", FENCED.sub("", page.read_text(encoding="utf-8")))
    return re.findall(r"\]\((?![a-z]+:)([^)\s]+)\)", text)


@cache
def anchors(page: Path) -> frozenset[str]:
    """Of each heading, and those that a page sets itself; the second of one name has `-1` behind it."""
    text = FENCED.sub("", page.read_text(encoding="utf-8"))
    seen, found = Counter[str](), set(re.findall(r'<a (?:id|name)="([^"]+)"', text))
    for title in re.findall(r"^#{1,6} (.+)$", text, re.MULTILINE):
        words = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", title.strip())
        slug = re.sub(r"[^\w\- ]", "", words.lower()).replace(" ", "-")
        found.add(f"{slug}-{seen[slug]}" if seen[slug] else slug)
        seen[slug] += 1
    return frozenset(found)
