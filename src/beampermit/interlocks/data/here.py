"""What a check on data needs of the work tree: is it here, does a version of it stay, can it be read."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from beampermit.errors import BadInput, Tripped
from beampermit.interlocks.data.words import more
from beampermit.interlocks.interlock import Absent


@contextmanager
def faulty() -> Iterator[None]:
    """A file of the pull request that cannot be read is its fault, not the caller's."""
    try:
        yield
    except BadInput as error:
        raise Tripped(error.message, file=error.file, line=error.line, hint=error.hint) from None


def present(project: Any, paths: Iterable[str]) -> None:
    """Go on only where all `paths` are here. Raises `Absent`."""
    absent = [path for path in paths if not (project.root / path).exists()]
    if absent:
        raise Absent(f"{absent[0]} is not here{more(len(absent) - 1)}", hint="beampermit data pull")


def unversioned(project: Any, paths: Iterable[str]) -> list[str]:
    """Those of `paths` that neither git tracks nor `dvc.lock` or a `.dvc` file binds. Raises `BadInput`."""
    from beampermit.documents.changes.data import after
    from beampermit.documents.changes.sides import Sides

    sides = Sides(project)
    bound = tuple(after(sides))
    return [
        path
        for path in paths
        if path not in sides.tracked and not any(path == kept or path.startswith(f"{kept}/") for kept in bound)
    ]
