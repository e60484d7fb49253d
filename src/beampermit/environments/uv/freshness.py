"""Whether `uv.lock` still is a solution of `pyproject.toml`: found by reading, without uv and without the network."""

from __future__ import annotations

from collections.abc import Iterator

from beampermit.environments.backend import Lock, Problem, Specification


def stale(specification: Specification, lock: Lock) -> Iterator[Problem]:
    """Each way in which the lock is not what the project asks for."""
    raise NotImplementedError
