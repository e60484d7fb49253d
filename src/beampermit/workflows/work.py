"""A limit of work for what repositories write: matrices and expressions can ask for any amount."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass

from beampermit.errors import BadInput

MOST_WORK = 2_000_000
"""Steps of work, about a microsecond each, for the workflows of one repository."""


@dataclass
class Work:
    """What may still be done, and the file that it is done for."""

    left: int = MOST_WORK
    file: str = ""


class _TooMuch(Exception):
    pass


_work: ContextVar[Work | None] = ContextVar("work", default=None)


@contextmanager
def limited_work() -> Iterator[Work]:
    """Raises `BadInput` for workflows that take more than `MOST_WORK` or nest too deeply: they may hide anything."""
    work = Work()
    token = _work.set(work)
    try:
        yield work
    except (_TooMuch, RecursionError):
        message = "this workflow repeats or nests too much to be judged: its matrices, expressions or `needs`"
        raise BadInput(message, file=work.file) from None
    finally:
        _work.reset(token)


def spend(steps: int) -> None:
    """Count work against the limit, if one is set."""
    if work := _work.get():
        work.left -= steps
        if work.left < 0:
            raise _TooMuch
