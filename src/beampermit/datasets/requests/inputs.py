"""Input files of a request: regular files inside the project."""

from __future__ import annotations

import os
from pathlib import Path

from beampermit.contract import FILE_NAME
from beampermit.datasets.manifests import path_fault
from beampermit.datasets.workspace import irregular_files
from beampermit.errors import BadInput


def plain_file(root: Path, path: str) -> Path:
    """The file at `path` below `root`. Raises `BadInput` if it is missing, a link, a pipe, or outside."""
    shown = path.encode("utf-8", "backslashreplace").decode()
    if what := path_fault(path):
        raise BadInput(f"the path {what}", file=shown)
    file = root / path
    if not os.path.lexists(file):
        raise BadInput("the file is missing", file=shown)
    for odd, what in irregular_files(file, root):
        raise BadInput(f"is {what}, not a file", file=odd)
    if not file.is_file():
        raise BadInput("is a folder, not a file", file=shown)
    return file


def plain_files(root: Path, pattern: str) -> list[str]:
    """The sorted paths that match a pattern such as `recordings/*.parquet`, at least one. Raises `BadInput`."""
    if not any(sign in pattern for sign in "*?["):
        plain_file(root, pattern)
        return [pattern]
    if Path(pattern).is_absolute() or ".." in Path(pattern).parts:
        raise BadInput(f"the pattern {pattern!r} leaves the project", file=FILE_NAME)
    paths = sorted(file.relative_to(root).as_posix() for file in root.glob(pattern))
    if not paths:
        raise BadInput(f"no file matches {pattern!r}", file=FILE_NAME)
    for path in paths:
        plain_file(root, path)
    return paths
