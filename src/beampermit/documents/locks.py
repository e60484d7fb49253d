"""What moved between two locks, for people: a table of rich, and one of Markdown."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from beampermit.documents.markdown import code, text
from beampermit.environments.difference import Change


def as_markdown(changes: Sequence[Change]) -> str:
    """A table for a pull request; names and versions come from a lock that anyone may have written."""
    if not changes:
        return "No package moved.\n"
    rows = [
        f"| {text(change.kind)} | {code(change.name)} | {_version(change.before)} | {_version(change.after)} "
        f"| {text(', '.join(change.platforms))} |"
        for change in changes
    ]
    return "\n".join(("| | package | before | after | platforms |", "|---|---|---|---|---|", *rows, ""))


def table(changes: Sequence[Change]) -> Any:
    """A rich table for a terminal."""
    from rich.table import Table
    from rich.text import Text

    found = Table("", "package", "before", "after", "platforms", box=None)
    for change in changes:
        cells = (change.kind, change.name, change.before, change.after, ", ".join(change.platforms))
        found.add_row(*(Text(cell) for cell in cells))
    return found


def _version(words: str) -> str:
    return code(words) if words else ""
