"""Every interlock with its fix, as Markdown, from the classes themselves: `docs/interlocks.md` is this text."""

from __future__ import annotations

from collections.abc import Iterable

from beampermit.interlocks.interlock import Interlock
from beampermit.interlocks.runner import FAMILIES

OPENING = """# The interlocks

Made by `beampermit check --list --format markdown`. A model goes into service only when all of them pass;
`skipped` and `error` never count as passed. Below each: what a user is told when it does not pass.
"""


def interlock_reference(interlocks: Iterable[type[Interlock]]) -> str:
    """A section for each family, in it each interlock with its title, what it requires, and its fix."""
    chosen = list(interlocks)
    families = [(prefix, [cls for cls in chosen if cls.id()[:3] == prefix]) for prefix in FAMILIES]
    return "\n".join([OPENING, *(_family(prefix, found) for prefix, found in families if found)])


def _family(prefix: str, interlocks: list[type[Interlock]]) -> str:
    return "\n".join([f"## {FAMILIES[prefix].capitalize()}\n", *map(_entry, interlocks)])


def _entry(cls: type[Interlock]) -> str:
    after = f" *After {', '.join(sorted(cls.requires))}.*" if cls.requires else ""
    return f"### {cls.id()} {cls.title()}\n\n{cls.fix()}{after}\n"
