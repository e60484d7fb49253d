"""The packages that differ between two locks, for a terminal and for a pull request."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from beampermit.documents.markdown import code, text
from beampermit.documents.screen import format_columns
from beampermit.environments.difference import Change


def format_lock_changes(changes: Sequence[Change]) -> str:
    """For a pull request. Names and versions come from a lock that anyone may have written."""
    if not changes:
        return "No package changed.\n"
    rows = [
        f"| {text(change.kind)} | {code(change.name)} | {_version(change.before)} | {_version(change.after)} "
        f"| {text(', '.join(change.platforms))} |"
        for change in changes
    ]
    return "\n".join(("| | package | before | after | platforms |", "|---|---|---|---|---|", *rows, ""))


def table(changes: Sequence[Change]) -> Any:
    """A rich `Text` for a terminal."""
    rows = [(change.kind, change.name, change.before, change.after, ", ".join(change.platforms)) for change in changes]
    return format_columns(("", "package", "before", "after", "platforms"), rows)


def _version(version: str) -> str:
    return code(version) if version else ""
