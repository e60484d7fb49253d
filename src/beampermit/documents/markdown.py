"""Escapes values for Markdown on GitHub: text, code, blocks and links; and formats numbers.

GitHub looks for mentions, issue numbers and addresses *after* it has rendered a comment, so a backslash does not stop
them; a zero-width space does. Characters that a reader cannot see (controls, bidirectional marks, zero-width, ANSI)
are spelled out, because a reviewer must see what is there.
"""

from __future__ import annotations

import math
import re
import unicodedata
from datetime import UTC, datetime

ANSI = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)?|[@-_])")
UNSEEN = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})
FILLERS = frozenset("\u034f\u115f\u1160\u17b4\u17b5\u3164\uffa0")
"""Invisible characters that Unicode classes as letters or marks."""
SEEN = re.compile(
    "([\U0001f000-\U0001faff\U00020000-\U0002fffd\U00030000-\U0003fffd]"
    "|(?<=[\u2190-\u2bff\ufe0f\U0001f000-\U0001faff])\u200d(?=[\u2190-\u2bff\U0001f000-\U0001faff]))"
)
"""Emoji and ideographs, also those that this Python's Unicode does not know yet, and what joins two emoji to one."""
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
"""A zero-width space."""
BEGINNING = re.compile(r"(?P<bullet>[-+=])(?=\s|$|[-=])|(?P<number>\d{1,9})(?=[.)](?:\s|$))")
ADDRESS = re.compile(r"https?://[A-Za-z0-9.-]+(?::\d{1,5})?(?:/[A-Za-z0-9._~/?=&%+:,;-]*)?")
MARGIN = 1000


class Markdown(str):
    """Text that is Markdown already, which a template prints without escaping."""

    __slots__ = ()


def visible(value: object, *, lines: bool = False, limit: int = MARGIN) -> str:
    """`value` without invisible characters, at most `limit` long, on one line (with `lines`, on its own lines)."""
    plain = ANSI.sub("", str(value)).replace("\r\n", "\n").replace("\r", "\n")
    plain = plain.expandtabs(4) if lines else " ".join(plain.split())
    parts = SEEN.split(plain)
    shown = "".join(part if place % 2 else _spell_unseen(part) for place, part in enumerate(parts))
    return shown if len(shown) <= limit else shown[: limit - 1] + "…"


def logged(value: object, *, limit: int = MARGIN) -> str:
    """`value` as part of a line in a workflow's log, where the runner obeys `##[` anywhere."""
    return visible(value, limit=limit).replace("##[", "## [")


def text(value: object, *, limit: int = MARGIN) -> Markdown:
    """`value` as text of a paragraph, a list or a table cell."""
    return _line(_escaped(visible(value, limit=limit)))


def code(value: object, *, limit: int = MARGIN) -> Markdown:
    """`value` as inline code; nothing for an empty value."""
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
    """`value` as a fenced block, with a fence longer than any in it. `language` is not escaped."""
    plain = visible(value, lines=True, limit=limit)
    fence = "`" * max(3, _longest(plain, "`") + 1)
    return Markdown(f"{fence}{language}\n{plain.rstrip()}\n{fence}")


def prose(value: object, *, limit: int = MARGIN) -> Markdown:
    """Text in which `` `code` `` stays code, as in reasons and fixes."""
    plain = visible(value, limit=limit)
    parts = plain.split("`")
    if len(parts) % 2 == 0:
        return text(plain, limit=limit)
    return _line("".join(code(part) if place % 2 else _escaped(part) for place, part in enumerate(parts)).strip())


def link(value: object) -> Markdown:
    """A plain web address as a link; anything else as text."""
    plain = visible(value)
    return Markdown(f"<{plain}>") if ADDRESS.fullmatch(plain) else text(plain)


def _escaped(plain: str) -> str:
    return SPECIAL.sub(_escape, plain)


def _line(escaped: str) -> Markdown:
    """Safe at the beginning of a line, where a dash starts a list and `::` a runner's command."""
    if escaped.startswith("::"):
        return Markdown(f"&#58;{escaped[1:]}")
    return Markdown(BEGINNING.sub(r"\g<number>\\\g<bullet>", escaped, count=1) if BEGINNING.match(escaped) else escaped)


def _spell_unseen(plain: str) -> str:
    return "".join(
        character if character == "\n" or _seen(character) else f"⟨U+{ord(character):04X}⟩" for character in plain
    )


def _seen(character: str) -> bool:
    return unicodedata.category(character) not in UNSEEN and character not in FILLERS


def _escape(special: re.Match[str]) -> str:
    sign = special[0]
    match special.lastgroup:
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


UNITS = ("B", "kB", "MB", "GB", "TB")


def number(value: float, digits: int = 5) -> str:
    """A number without exponent, with `digits` significant digits where it is small: `0.9812`, `1234`, `0.00003`."""
    if not math.isfinite(value):
        return "not a finite number"
    if value == 0 or (value == int(value) and abs(value) < 1e15):
        return f"{int(value)}"
    if abs(value) >= 1e15 or abs(value) < 1e-12:
        return f"{value:.{digits - 1}e}"
    places = max(0, digits - 1 - math.floor(math.log10(abs(value))))
    rounded = f"{value:.{places}f}"
    return rounded.rstrip("0").rstrip(".") if "." in rounded else rounded


def signed(value: float) -> str:
    """A difference, with its sign: `+0.012`, `-0.5`, `0`."""
    shown = number(value, 3)
    return f"+{shown}" if value > 0 else shown


def size(value: float) -> str:
    """Bytes in the largest fitting decimal unit: `12.3 MB`."""
    amount = float(value)
    for unit in UNITS[:-1]:
        if abs(amount) < 1000:
            return f"{amount:.3g} {unit}"
        amount /= 1000
    return f"{amount:.3g} {UNITS[-1]}"


def moment(at: float) -> str:
    """s since 1970 as `2026-11-29 15:00:00 UTC`; a time in a file that anybody wrote may be none."""
    try:
        return f"{datetime.fromtimestamp(at, UTC):%Y-%m-%d %H:%M:%S} UTC"
    except (ValueError, OverflowError, OSError):
        return "a time that no clock shows"


def duration(seconds: float) -> str:
    """Such as `50 ms`, `10 s`, `5 min`, `1 h`."""
    for unit, length in (("d", 86400.0), ("h", 3600.0), ("min", 60.0)):
        if seconds >= length and seconds % length == 0:
            return f"{number(seconds / length)} {unit}"
    return f"{number(seconds)} s" if seconds >= 1 else f"{number(seconds * 1000)} ms"


def roughly(seconds: float) -> str:
    """A time that was measured, with two digits or so: `1.5 s`, `4.2 min`, `2.3 h`, `12 d`."""
    for unit, length in (("d", 86400.0), ("h", 3600.0), ("min", 60.0)):
        if seconds >= 2 * length:
            return f"{number(seconds / length, 2)} {unit}"
    return f"{number(seconds, 2)} s" if seconds >= 1 else f"{number(seconds * 1000, 2)} ms"
