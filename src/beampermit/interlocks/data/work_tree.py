"""Whether the files that a check on data reads are in the work tree, and whether they are versioned."""

from __future__ import annotations

from collections.abc import Iterable

from beampermit.errors import more
from beampermit.interlocks.interlock import MissingInput
from beampermit.project import Project

SHOWN = 20
"""Problems and files that the evidence of a verdict names."""


def require_present(project: Project, paths: Iterable[str]) -> None:
    """Raises `MissingInput` for the first path that does not exist."""
    absent = [path for path in paths if not (project.root / path).exists()]
    if absent:
        raise MissingInput(f"{absent[0]} is missing{more(len(absent) - 1)}", hint="beampermit data pull")


def find_unversioned(project: Project, paths: Iterable[str]) -> list[str]:
    """Those of `paths` that neither git tracks nor `dvc.lock` or a `.dvc` file binds. Raises `BadInput`."""
    from beampermit.changes.base_and_head import BaseAndHead
    from beampermit.changes.data import bound_outputs
    from beampermit.datasets.repository import is_below

    base_and_head = BaseAndHead(project)
    outputs = tuple(bound_outputs(base_and_head))
    return [
        path
        for path in paths
        if path not in base_and_head.tracked and not any(is_below(path, output) for output in outputs)
    ]
