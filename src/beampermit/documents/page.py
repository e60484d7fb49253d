"""A document as one self-contained HTML page: style, drawings and text in one file."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import cache
from itertools import pairwise
from typing import Any

from beampermit.documents.markdown import Markdown, block

DRAWING = "drawing"
"""Language of a fenced block that is replaced by a drawing; its text is the drawing's name."""
OURS = re.compile(r"<(?!/?(?:details|summary|span|code)>)")
"""HTML tags that our templates do not write. Escaping should let none through; this is the second defence."""
FRONT = re.compile(r"\A---\n.*?\n---\n", re.DOTALL)
ICONS = {"✅": "passed", "❌": "failed", "⏭️": "skipped", "⚠️": "error", "❔": "missing"}
"""Drawn by the page's style sheet: a control-room machine may have no font for them."""
ALERT = re.compile(r"<blockquote>\s*<p>\[!(NOTE|TIP|WARNING|CAUTION|IMPORTANT)\]\s*")


def drawing(name: str) -> Markdown:
    """A placeholder for the drawing `name`."""
    return block(name, DRAWING)


def page(text: Markdown, title: str, drawings: Mapping[str, str] | None = None) -> str:
    """The page of Markdown that our templates wrote; `drawings` by name are `data:` addresses, or SVG of ours."""
    from jinja2 import Environment, PackageLoader
    from markupsafe import Markup

    environment = Environment(
        loader=PackageLoader("beampermit.documents", "templates"), autoescape=True, trim_blocks=True, lstrip_blocks=True
    )
    style, _, _ = environment.loader.get_source(environment, "page.css")  # type: ignore[union-attr]
    parser = _parser()
    tokens = parser.parse(FRONT.sub("", text))
    _name_columns(tokens)
    body = parser.renderer.render(tokens, parser.options, {"drawings": drawings or {}})
    body = ALERT.sub(lambda match: f'<blockquote class="{match[1].lower()}">\n<p>', body)
    for sign, name in ICONS.items():
        body = body.replace(sign, f'<b class="icon {name}"></b>')
    return environment.get_template("page.html.j2").render(title=title, style=Markup(style), body=Markup(body))  # noqa: S704


@cache
def _parser() -> Any:
    from markdown_it import MarkdownIt

    parser = MarkdownIt("commonmark", {"html": True}).enable("table")
    renderer: Any = parser.renderer  # the protocol does not declare `rules`
    plain = renderer.rules["fence"]

    def fence(tokens: Any, place: int, options: Any, env: Any) -> str:
        name = tokens[place].content.strip()
        if tokens[place].info != DRAWING:
            return plain(tokens, place, options, env)
        address = env["drawings"].get(name)
        if address and address.startswith("<svg "):
            return f'<figure class="drawn">{address}</figure>\n'
        return f'<figure><img alt="{_attribute(name)}" src="{_attribute(address)}"></figure>\n' if address else ""

    def html(tokens: Any, place: int, _options: Any, _env: Any) -> str:
        return OURS.sub("&lt;", tokens[place].content)

    def table(tokens: Any, place: int, _options: Any, _env: Any) -> str:
        stacks = ' class="stacks"' if tokens[place].attrGet("class") else ""
        return f'<div class="table"><table{stacks}>\n'

    renderer.rules |= {
        "fence": fence,
        "html_block": html,
        "html_inline": html,
        "table_open": table,
        "table_close": lambda *_: "</table></div>\n",
    }
    return parser


def _name_columns(tokens: Sequence[Any]) -> None:
    """Give each cell of a table with a head the name of its column, which stands before it where rows stack."""
    names: list[str] = []
    column, table = 0, None
    for token, inside in pairwise(tokens):
        if token.type == "table_open":
            table, names = token, []
        elif token.type == "tbody_open" and table and any(names):
            table.attrSet("class", "stacks")
        elif token.type == "tr_open":
            column = 0
        elif token.type == "th_open":
            names.append("".join(child.content for child in inside.children or ()))
        elif token.type == "td_open":
            if column < len(names) and names[column]:
                token.attrSet("data-column", names[column])
            column += 1


def _attribute(value: str) -> str:
    return value.replace("&", "&amp;").replace('"', "&quot;").replace("<", "&lt;")
