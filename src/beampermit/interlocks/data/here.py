"""What a check on data needs of the work tree: is it here, does a version of it stay, can it be read."""

from __future__ import annotations

from collections.abc import Iterable

from beampermit.errors import more
from beampermit.interlocks.interlock import MissingInput
from beampermit.project import Project

SHOWN = 20
"""Faults, and places of them, that the evidence of a verdict names."""


def present(project: Project, paths: Iterable[str]) -> None:
    """Go on only where all `paths` are here. Raises `Absent`."""
    absent = [path for path in paths if not (project.root / path).exists()]
    if absent:
        raise MissingInput(f"{absent[0]} is not here{more(len(absent) - 1)}", hint="beampermit data pull")


def unversioned(project: Project, paths: Iterable[str]) -> list[str]:
    """Those of `paths` that neither git tracks nor `dvc.lock` or a `.dvc` file binds. Raises `BadInput`."""
    from beampermit.changes.base_and_head import BaseAndHead
    from beampermit.changes.data import bound_outputs

    sides = BaseAndHead(project)
    bound = tuple(bound_outputs(sides))
    return [
        path
        for path in paths
        if path not in sides.tracked and not any(path == kept or path.startswith(f"{kept}/") for kept in bound)
    ]
