"""Whether the files that a check on data reads are in the work tree, and whether they are versioned."""

from __future__ import annotations

from collections.abc import Iterable

from beampermit.contract import FILE_NAME as CONTRACT
from beampermit.errors import more
from beampermit.interlocks.interlock import MissingInput
from beampermit.project import Project

SHOWN = 20
"""Problems and files that the evidence of a verdict names."""


def require_present(project: Project, paths: Iterable[str], named_in: str = CONTRACT) -> None:
    """Raises `MissingInput` for the first path that does not exist; `named_in` is the file that names it."""
    absent = [path for path in paths if not (project.root / path).exists()]
    if absent:
        raise missing(project, absent[0], f"{absent[0]} is missing{more(len(absent) - 1)}", named_in)


def missing(project: Project, path: str, reason: str = "", named_in: str = CONTRACT) -> MissingInput:
    """The error for a path that is not here, with what brings it."""
    from beampermit.datasets.pull import way_to_get

    return MissingInput(reason or f"{path} is missing", hint=way_to_get(project, path, named_in))


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
