"""Work that several projects have in common, done once: those of one laboratory have the same workflows."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import lru_cache
from threading import Lock
from typing import TypeVar

from beampermit.workflows.labels import Runners, find_runners
from beampermit.workflows.required import RequiredCheck, find_permit
from beampermit.workflows.uses import Use, find_uses
from beampermit.workflows.workflow import own_workflows

T = TypeVar("T")
Texts = tuple[tuple[str, str], ...]


def once(work: Callable[[Texts], T]) -> Callable[[Mapping[str, str]], T]:
    """`work` on the texts of files, by path. Threads that ask for the same at the same moment wait for the first."""
    kept, lock = lru_cache(maxsize=256)(work), Lock()

    def asked(texts: Mapping[str, str]) -> T:
        with lock:
            return kept(tuple(sorted(texts.items())))

    return asked


@once
def uses_of(texts: Texts) -> tuple[Use, ...]:
    """Raises `BadInput` with file and line."""
    return tuple(use for file, text in texts for use in find_uses(text, file))


@once
def permit_of(texts: Texts) -> RequiredCheck:
    """As `find_permit`."""
    return find_permit(dict(texts), own_workflows())


@once
def runners_of(texts: Texts) -> Runners:
    """As `find_runners`."""
    return find_runners(dict(texts), own_workflows())
