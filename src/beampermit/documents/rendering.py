"""Renders templates as Markdown, block by block; each value is escaped unless it is `Markdown` already."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache
from typing import Any

from beampermit.changes.flat import exact
from beampermit.datasets.dvc_lock import LockedOutput
from beampermit.documents import markdown
from beampermit.documents.markdown import Markdown
from beampermit.errors import counted

LIMIT = 65_536
"""Characters of a comment on GitHub."""
RESERVE = 1_536
"""Reserved for what is added when the comment is written: a watermark, a link to the run."""


def blocks(template: str, values: Mapping[str, Any]) -> dict[str, Markdown]:
    """The blocks of a template by name, in its order, without empty ones."""
    compiled = _environment().get_template(template)
    context = compiled.new_context(dict(values))
    made = {name: "".join(render(context)).strip() for name, render in compiled.blocks.items()}
    return {name: Markdown(f"{made[name]}\n") for name in _order(template, made) if made[name]}


def join(made: Mapping[str, str]) -> Markdown:
    """Blocks as one document."""
    return Markdown("\n".join(made.values()))


def length(text: str) -> int:
    """In UTF-16 units, which is at least what GitHub counts."""
    return len(text.encode("utf-16-le")) // 2


def size(text: str) -> int:
    """In bytes, which limit the summary of a run."""
    return len(text.encode())


def shorten(
    made: Mapping[str, Markdown],
    expendable: tuple[str, ...],
    titles: Mapping[str, str],
    where: str,
    limit: int = LIMIT,
    measure: Callable[[str], int] = length,
) -> Markdown:
    """Blocks as one document within a limit: whole blocks are left out, in the order of `expendable`.

    A note names them, and says `where` to find them. No block is cut.
    """
    kept = dict(made)
    gone: list[str] = []
    for name in expendable:
        if measure(_with_note(kept, gone, titles, where)) <= limit - RESERVE:
            break
        if kept.pop(name, None) is not None:
            gone.append(name)
    return _with_note(kept, gone, titles, where)


def _with_note(kept: Mapping[str, Markdown], gone: list[str], titles: Mapping[str, str], where: str) -> Markdown:
    if not gone:
        return join(kept)
    named = ", ".join(titles[name] for name in gone)
    return join(
        {**kept, "left out": f"> [!NOTE]\n> Left out, because a comment has a maximum length: {named}. {where}\n"}
    )


@cache
def _environment() -> Any:
    from jinja2 import Environment, PackageLoader, StrictUndefined

    # `finalize` escapes every value for Markdown, which covers HTML.
    environment = Environment(
        loader=PackageLoader("beampermit.documents", "templates"),
        autoescape=False,  # noqa: S701
        finalize=_final,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "code": markdown.code,
        "prose": markdown.prose,
        "block": markdown.block,
        "link": markdown.link,
        "number": markdown.number,
        "exact": exact,
        "signed": markdown.signed,
        "size": markdown.size,
        "duration": markdown.duration,
        "roughly": markdown.roughly,
        "bound": _bound,
    }
    return environment


def _final(value: Any) -> str:
    return value if isinstance(value, Markdown) else markdown.text("" if value is None else value)


def _bound(bound: LockedOutput | None) -> str:
    if bound is None:
        return "none"
    files = f", {counted(bound.files, 'file')}" if bound.files is not None else ""
    size = markdown.size(bound.size) if bound.size is not None else "size unknown"
    return f"{size}{files}, {bound.hash[:8]}"


def _order(template: str, made: Mapping[str, str]) -> list[str]:
    """jinja2 does not keep the order of blocks; the template's text does."""
    environment = _environment()
    text, _, _ = environment.loader.get_source(environment, template)
    return sorted(made, key=lambda name: text.index(f"block {name} "))
