"""What a command is doing, on stderr: a changing line on a terminal, a line now and then in the log of a job."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from beampermit.cli.output import progress_console

EVERY = 10.0
"""Seconds between two lines of a log that differ in their numbers alone."""


@contextmanager
def steps() -> Iterator[Callable[[str], None]]:
    """Give the function that is told each step, in words."""
    from rich.text import Text

    target = progress_console()
    if not target.is_terminal:
        yield _Lines(target)
        return
    with target.status("") as status:
        yield lambda words: status.update(Text(words))


@contextmanager
def counted() -> Iterator[Callable[[str, int, int], None]]:
    """Give the function that is told what is being done, how much of it is done, and of how much."""
    from rich.markup import escape
    from rich.progress import Progress

    target = progress_console()
    if not target.is_terminal:
        lines = _Lines(target)
        yield lambda what, done, total: lines(f"{what}: {done} of {total}")
        return
    with Progress(console=target, transient=True) as progress:
        task = progress.add_task("", total=None)
        yield lambda what, done, total: progress.update(task, description=escape(what), completed=done, total=total)


class _Lines:
    """A line for each new step. One whose numbers alone moved waits its turn: a thousand files are a few lines."""

    def __init__(self, target: Any):
        self._target = target
        self._step = ""
        self._next = 0.0

    def __call__(self, words: str) -> None:
        step, now = re.sub(r"\d+", "", words), time.monotonic()
        if not words or (step == self._step and now < self._next):
            return
        self._step, self._next = step, now + EVERY
        self._target.print(words, markup=False, style="dim", soft_wrap=True)
