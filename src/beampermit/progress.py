"""Progress of long work, which the command line shows."""

from __future__ import annotations

from typing import Protocol


class Progress(Protocol):
    """Called with each step."""

    def __call__(self, step: str, done: int = 0, total: int = 0, /) -> None:
        """`done` of `total`; a total of 0 for a step that is not counted."""


def silent(step: str, done: int = 0, total: int = 0, /) -> None:
    """Show nothing."""
