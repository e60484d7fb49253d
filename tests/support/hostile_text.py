"""What people put where a value belongs, and how Markdown that survived it looks."""

from __future__ import annotations

import re
from functools import cache
from typing import Any

from hypothesis import strategies as st
from markdown_it import MarkdownIt

FRAGMENTS = (
    *("@octocat", "#12", "GH-7", "owner/repo#3", "https://evil.example/x", "www.evil.example", "a@evil.example"),
    *("<script>alert(1)</script>", "<!--", "-->", "<details>", "</td>", "&lt;", "&#64;", "<img src=x>"),
    *("[x](https://evil.example)", "![x](https://evil.example/i.png)", "[x]: https://evil.example"),
    *("[^1]", "[!WARNING]"),
    *("|", "\\|", "\\", "`", "``", "```", "````", "~~~", "~~", "**", "__", "_", "*", "$x$", "$$", "$`x`$"),
    *("\n", "\r\n", "\r", "\n\n", "\n| a | b |\n", "\t", " ", "    ", "\u2028", "\u2029", "\x85", "\x0b", "\x0c"),
    *("# ", "> ", "- ", "+ ", "1. ", "1) ", "===", "---", "- [ ] ", ":--", "\n```\n", "\n</details>\n\n"),
    *("\u202e", "\u2066", "\u200b", "\u200d", "\ufeff", "\u00ad", "\x1b[31m", "\x1b]0;t\x07"),
    *("\x00", "\x07", "\ud800", "\u3164"),
    *("::error::x", "\n::error::x", "##[error]x", "::add-mask::x", "%0A", "{{ x }}", "{% x %}"),
    *("ä", "β", "🦊", "word", "0", "0.5"),
)  # fmt: skip
HOSTILE_VALUES = st.one_of(st.text(), st.lists(st.sampled_from(FRAGMENTS), max_size=8).map("".join))
OURS = re.compile(r"</?details>(\n<summary>[\w ()',-]+</summary>)?")
KINDS = {"text", "text_special", "code_inline", "softbreak", "strong_open", "strong_close", "html_inline"}
UNSEEN = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u200d\u202a-\u202e\u2028\u2029\u2066-\u2069\ufeff\ud800-\udfff]")


@cache
def github() -> MarkdownIt:
    """A parser that sees what GitHub sees."""
    parser = MarkdownIt("gfm-like", {"html": True})
    assert parser.linkify is not None
    parser.linkify.set({"fuzzy_link": False})  # GitHub links what has a scheme, `www.` or an @
    return parser


def assert_harmless(markdown: str) -> None:
    """One heading of the first level, our HTML alone, fences closed, no link, image, mention or hidden character."""
    found = github().parse(markdown)
    assert [token.tag for token in found if token.type == "heading_open"].count("h1") == 1
    assert {token.info for token in found if token.type == "fence"} <= {"mermaid"}
    assert markdown.count("\n```") % 2 == 0
    raw = [token.content.strip() for token in found if token.type == "html_block"]
    assert all(OURS.fullmatch(content) for content in raw), raw
    assert sum(content.startswith("<details>") for content in raw) == raw.count("</details>")
    assert not UNSEEN.search(markdown)
    children: list[Any] = [child for token in found if token.type == "inline" for child in token.children or ()]
    assert {child.type for child in children} <= KINDS
    html = {child.content for child in children if child.type == "html_inline"}
    assert html <= {"<span>", "</span>", "<code>", "</code>"}, html
    said = [child.content for child in children if child.type.startswith("text")]
    assert not any(re.search(r"@\w|#\w|GH-\d|www\.|://", text) for text in said), said
    assert not re.search(r"^::", markdown, re.MULTILINE)
