"""Markdown that no value can break: text, code, blocks and links, each escaped for what GitHub makes of it.

GitHub looks for mentions, issue numbers and addresses *after* it has rendered a comment, so a backslash does not stop
them: there an invisible space stands between the sign and what follows. Characters that a reader could not see
(controls, bidirectional marks, zero-width, ANSI) are spelled out, because a reviewer must see what is there.
"""

from __future__ import annotations

import re
import unicodedata

ANSI = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)?|[@-_])")
UNSEEN = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})
FILLERS = frozenset("\u034f\u115f\u1160\u17b4\u17b5\u3164\uffa0")
"""Characters that Unicode calls letters or marks and that show nothing."""
SPECIAL = re.compile(
    r"""(?P<entity>[&<>])
      | (?P<sign>[\\`*\[\]|~])
      | (?P<underscore>(?<![A-Za-z0-9])_|_(?![A-Za-z0-9]))
      | (?P<dollar>\$)
      | (?P<reference>[@]|(?<=GH)-(?=\d)|:(?=//))
      | (?P<hash>\#)
      | (?P<www>(?<=www)\.)""",
    re.VERBOSE | re.IGNORECASE,
)
ENTITIES = {"&": "&amp;", "<": "&lt;", ">": "&gt;"}
GAP = "&#8203;"
"""A zero-width space: keeps GitHub from joining what stands on its sides."""
BEGINNING = re.compile(r"(?P<bullet>[-+=])(?=\s|$|[-=])|(?P<number>\d{1,9})(?=[.)](?:\s|$))")
ADDRESS = re.compile(r"https?://[A-Za-z0-9.-]+(?::\d{1,5})?(?:/[A-Za-z0-9._~/?=&%+:,;-]*)?")
MARGIN = 1000


class Markdown(str):
    """Text that is Markdown already: what a template prints as it is. Everything else is escaped on its way in."""

    __slots__ = ()


def visible(value: object, *, lines: bool = False, limit: int = MARGIN) -> str:
    """`value` with nothing hidden in it, on one line (with `lines`, on its own), at most `limit` characters."""
    plain = ANSI.sub("", str(value)).replace("\r\n", "\n").replace("\r", "\n")
    plain = plain.expandtabs(4) if lines else " ".join(plain.split())
    shown = "".join(character if character == "\n" or _seen(character) else _spelled(character) for character in plain)
    return shown if len(shown) <= limit else shown[: limit - 1] + "…"


def logged(value: object, *, limit: int = MARGIN) -> str:
    """`value` as part of a line in the log of a workflow, whose runner obeys `##[` wherever it stands."""
    return visible(value, limit=limit).replace("##[", "## [")


def text(value: object, *, limit: int = MARGIN) -> Markdown:
    """`value` as running text: inside a paragraph, a list or a cell of a table."""
    return _line(_escaped(visible(value, limit=limit)))


def code(value: object, *, limit: int = MARGIN) -> Markdown:
    """`value` as code inside a line or a cell; nothing where there is nothing."""
    plain = visible(value, limit=limit)
    if not plain:
        return Markdown()
    if "|" in plain or "##[" in plain:
        # A pipe ends a cell even in a code span, and its escape would show outside a table; a runner obeys `##[`.
        return Markdown(f"<code>{_escaped(plain)}</code>")
    fence = "`" * (_longest(plain, "`") + 1)
    pad = " " if plain[0] == "`" or plain[-1] == "`" else ""
    return Markdown(f"{fence}{pad}{plain}{pad}{fence}")


def block(value: object, language: str = "", *, limit: int = 20_000) -> Markdown:
    """`value` as a fenced block whose fence is longer than any inside. `language` is ours, never a value."""
    plain = visible(value, lines=True, limit=limit)
    fence = "`" * max(3, _longest(plain, "`") + 1)
    return Markdown(f"{fence}{language}\n{plain.rstrip()}\n{fence}")


def prose(value: object, *, limit: int = MARGIN) -> Markdown:
    """Running text in which `` `code` `` stays code: reasons and mends name commands that way."""
    plain = visible(value, limit=limit)
    parts = plain.split("`")
    if len(parts) % 2 == 0:
        return text(plain, limit=limit)
    return _line("".join(code(part) if place % 2 else _escaped(part) for place, part in enumerate(parts)))


def link(value: object) -> Markdown:
    """A plain web address as a link; anything else as text."""
    plain = visible(value)
    return Markdown(f"<{plain}>") if ADDRESS.fullmatch(plain) else text(plain)


def _escaped(plain: str) -> str:
    return SPECIAL.sub(_escape, plain)


def _line(escaped: str) -> Markdown:
    """`escaped`, which may stand at the beginning of a line: a dash starts a list there, `::` a runner's command."""
    if escaped.startswith("::"):
        return Markdown(f"&#58;{escaped[1:]}")
    return Markdown(BEGINNING.sub(r"\g<number>\\\g<bullet>", escaped, count=1) if BEGINNING.match(escaped) else escaped)


def _seen(character: str) -> bool:
    return unicodedata.category(character) not in UNSEEN and character not in FILLERS


def _spelled(character: str) -> str:
    return f"⟨U+{ord(character):04X}⟩"


def _escape(found: re.Match[str]) -> str:
    sign = found[0]
    match found.lastgroup:
        case "entity":
            return ENTITIES[sign]
        case "sign" | "underscore":
            return f"\\{sign}"
        case "dollar":
            return f"<span>{sign}</span>"  # what GitHub documents against its mathematics
        case "hash":
            return f"\\{sign}{GAP}"
        case "www":
            return f"{GAP}{sign}"
        case _:
            return f"{sign}{GAP}"


def _longest(plain: str, sign: str) -> int:
    return max((len(run) for run in re.findall(f"{re.escape(sign)}+", plain)), default=0)
