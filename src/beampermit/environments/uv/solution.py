"""What the lock means on one machine: the packages that its Python and system get."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from beampermit.environments.backend import Lock, Problem


def installed(lock: Lock, prefix: Path) -> Iterator[Problem]:
    """Where the environment at `prefix` is not the lock."""
    raise NotImplementedError
