"""How long work says what it is doing; the command line shows it."""

from __future__ import annotations

from typing import Protocol


class Progress(Protocol):
    """Called with each step, in words."""

    def __call__(self, step: str, done: int = 0, total: int = 0, /) -> None:
        """`done` of `total` where the step is counted; a total of 0 where it is not."""


def silent(step: str, done: int = 0, total: int = 0, /) -> None:
    """Show nothing."""
