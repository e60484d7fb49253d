"""What `beampermit init` does with each file: add it, or keep the existing one and show the difference."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path, PurePosixPath

from beampermit.contract import FILE_NAME
from beampermit.errors import BadInput
from beampermit.files import write_text
from beampermit.retrofit.additions import Addition

ELSEWHERE = {"CODEOWNERS": (".github/CODEOWNERS", "docs/CODEOWNERS")}
"""Other places where GitHub looks for the same file; it uses the first it finds."""
OWN_CALL = "/.github/workflows/ml-"
"""A workflow that calls one of Beampermit's came from Beampermit, even if it was changed."""


class State(StrEnum):
    ADD = "add"
    SAME = "same"
    KEPT = "kept"


@dataclass(frozen=True)
class Step:
    """One file. `difference` is a unified diff from the existing file to Beampermit's."""

    name: str
    path: str
    state: State
    text: str
    difference: str = ""


def plan(root: Path, additions: Iterable[Addition]) -> tuple[Step, ...]:
    """Decide what to do with each file; nothing is written."""
    return tuple(_step(root, addition) for addition in additions)


def apply(root: Path, step: Step) -> None:
    """Write the file of a step, unless it exists. Raises `BadInput` for a folder that leads out of the repository."""
    file = root / step.path
    if not file.parent.resolve().is_relative_to(root.resolve()):
        raise BadInput("this folder is a link that leads out of the repository", file=step.path)
    if step.state is State.ADD and not file.exists():
        write_text(file, step.text)


def _step(root: Path, addition: Addition) -> Step:
    path = _path(root, addition)
    file = root / path
    if not (file.exists() or file.is_symlink()):
        return Step(addition.step, path, State.ADD, addition.text)
    existing = file.read_text(encoding="utf-8", errors="replace") if file.is_file() else ""
    if existing == addition.text:
        return Step(addition.step, path, State.SAME, addition.text)
    # A contract is expected to differ from its first draft.
    difference = "" if path == FILE_NAME else _difference(path, existing, addition.text)
    return Step(addition.step, path, State.KEPT, addition.text, difference)


def _path(root: Path, addition: Addition) -> str:
    """Where to add the file; a workflow of the repository with the same name is kept, and ours gets another name."""
    path = addition.path
    for other in ELSEWHERE.get(path, ()):
        if (root / other).exists():
            return other
    file = root / path
    if addition.step != "workflows" or not file.is_file():
        return path
    if OWN_CALL in file.read_text(encoding="utf-8", errors="replace"):
        return path
    return str(PurePosixPath(path).with_name(f"beampermit-{PurePosixPath(path).name}"))


def _difference(path: str, existing: str, own: str) -> str:
    lines = difflib.unified_diff(
        existing.splitlines(), own.splitlines(), path, f"{path} (Beampermit's)", lineterm="", n=1
    )
    return "\n".join(lines)
