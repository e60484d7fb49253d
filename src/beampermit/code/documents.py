"""What a Markdown document names: pieces of code, and links to files of the project that are not there."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Any
from urllib.parse import unquote, urlsplit

from beampermit.code.sources import Sources
from beampermit.errors import Problem, did_you_mean


@dataclass(frozen=True)
class Document:
    """Code spans, lines of code blocks, and the addresses of links, each with its line from 1."""

    code: tuple[tuple[str, int], ...]
    links: tuple[tuple[str, int], ...]


@lru_cache(maxsize=256)
def read_document(text: str) -> Document:
    from markdown_it import MarkdownIt

    code: list[tuple[str, int]] = []
    links: list[tuple[str, int]] = []
    for token in MarkdownIt("commonmark").enable("table").parse(text):
        start = token.map[0] + 1 if token.map else 1
        if token.type in ("fence", "code_block"):
            first = start + (token.type == "fence")
            code += [(line, number) for number, line in enumerate(token.content.splitlines(), first)]
        for child, line in _children(token, start):
            if child.type == "code_inline":
                code.append((child.content, line))
            elif child.type in ("link_open", "image"):
                links.append((str(child.attrGet("href") or child.attrGet("src") or ""), line))
    return Document(tuple(code), tuple(links))


def _children(token: Any, line: int) -> Iterator[tuple[Any, int]]:
    """The parts of a paragraph, each with its line."""
    for child in token.children or ():
        yield child, line
        line += child.type in ("softbreak", "hardbreak") or child.content.count("\n") * (child.type == "code_inline")


def broken_links(sources: Sources, exists: Callable[[str], bool]) -> Iterator[Problem]:
    """Links to files of the project that neither git has nor a stage makes. `exists` is asked about each path."""
    for path, text in sources.documents.items():
        for address, line in read_document(text).links:
            target = _target(path, address)
            if target and target not in sources.paths | sources.folders and not exists(target):
                what = f"it links to {target}, which is not there{did_you_mean(target, sources.paths)}"
                yield Problem(what, path, line, "Link to what replaces it, or remove the link.")


def _target(path: str, address: str) -> str:
    """The path in the project that a link leads to; empty for one that leads elsewhere, such as to a page of GitHub."""
    if not address or re.match(r"[A-Za-z][\w+.-]*:|//|[/#?]", address):
        return ""
    place = posixpath.normpath(posixpath.join(posixpath.dirname(path), unquote(urlsplit(address).path)))
    return "" if place.startswith("..") or place == "." else place
