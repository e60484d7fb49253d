"""What a pull request changes in the environment: packages that came, went or moved in the lock."""

from __future__ import annotations

from beampermit.changes.base_and_head import Sides
from beampermit.changes.flat import Move
from beampermit.environments.backend import Backend
from beampermit.environments.choice import BACKENDS, lock_files
from beampermit.errors import BadInput


def packages(sides: Sides) -> tuple[Move, ...]:
    """Packages by name with their versions before and after, of each accelerator; a changed index is shown with them.

    Raises `BadInput` for a lock of the work tree that cannot be read.
    """
    found: list[Move] = []
    for backend in BACKENDS:
        for file in lock_files(sides.names(), backend):
            old, new = _before(sides, backend, file), _versions(sides.after(file), backend, file)
            variant = "" if file == backend.lock_file else f" ({file.removesuffix(f'.{backend.lock_file}')})"
            found += [Move(f"{name}{variant}", old.get(name), new.get(name)) for name in sorted({*old, *new})]
    return tuple(move for move in found if move.before != move.after)


def _before(sides: Sides, backend: Backend, file: str) -> dict[str, str]:
    try:
        return _versions(sides.before(file), backend, file)
    except BadInput:
        return {}


def _versions(text: str | None, backend: Backend, file: str) -> dict[str, str]:
    if text is None:
        return {}
    lock = backend.parse(text, file)
    several: dict[str, dict[str, None]] = {}
    for package in lock.packages:
        if not package.own:
            several.setdefault(package.name, {})[package.version] = None
    versions = {name: ", ".join(found) for name, found in several.items()}
    return versions | ({"(index)": ", ".join(lock.sources)} if lock.sources else {})
