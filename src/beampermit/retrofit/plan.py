"""What `beampermit init` does to each file: add it, or leave what is there and say how it differs."""

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
"""Other places where GitHub looks for the same file; the first it finds counts."""
OURS = "/.github/workflows/ml-"
"""A workflow that calls one of ours is ours, however it was changed."""


class State(StrEnum):
    """What is done with a file."""

    ADD = "add"
    SAME = "same"
    KEPT = "kept"


@dataclass(frozen=True)
class Step:
    """One file. `difference` is what ours says and the kept one does not, as a unified diff."""

    name: str
    path: str
    state: State
    text: str
    difference: str = ""


def plan(root: Path, wanted: Iterable[Addition]) -> tuple[Step, ...]:
    """What is to be done with each addition; nothing is written, nothing that is there will ever be."""
    return tuple(_step(root, addition) for addition in wanted)


def apply(root: Path, step: Step) -> None:
    """Write a file that is to be added, whole or not at all. Raises `BadInput` for a folder that leads elsewhere."""
    file = root / step.path
    if not file.parent.resolve().is_relative_to(root.resolve()):
        raise BadInput("this folder is a link out of the repository", file=step.path)
    if step.state is State.ADD and not file.exists():
        write_text(file, step.text)


def _step(root: Path, addition: Addition) -> Step:
    path = _place(root, addition)
    file = root / path
    if not (file.exists() or file.is_symlink()):
        return Step(addition.step, path, State.ADD, addition.text)
    there = file.read_text(encoding="utf-8", errors="replace") if file.is_file() else ""
    if there == addition.text:
        return Step(addition.step, path, State.SAME, addition.text)
    # A contract is its owners'; that it is not our first draft any more says nothing.
    difference = "" if path == FILE_NAME else _difference(path, there, addition.text)
    return Step(addition.step, path, State.KEPT, addition.text, difference)


def _place(root: Path, addition: Addition) -> str:
    """Where the file goes: beside another of that name where that one is a workflow of the repository's own."""
    path = addition.path
    for other in ELSEWHERE.get(path, ()):
        if (root / other).exists():
            return other
    file = root / path
    if addition.step != "workflows" or not file.is_file():
        return path
    if OURS in file.read_text(encoding="utf-8", errors="replace"):
        return path
    return str(PurePosixPath(path).with_name(f"beampermit-{PurePosixPath(path).name}"))


def _difference(path: str, there: str, ours: str) -> str:
    lines = difflib.unified_diff(
        there.splitlines(), ours.splitlines(), path, f"{path} (Beampermit's)", lineterm="", n=1
    )
    return "\n".join(lines)
