"""What a pull request changes in data: the outputs that `dvc.lock` and `.dvc` files bind."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import Field

from beampermit.documents.changes.sides import Sides
from beampermit.errors import BadInput
from beampermit.reading import parse_yaml
from beampermit.verdict import Verdict

LOCK = "dvc.lock"
LARGEST = 2**63
"""More bytes, files or rows than any disk holds."""
Count = Annotated[int, Field(ge=0, lt=LARGEST)]


@dataclass(frozen=True)
class Bound:
    """A file or folder that DVC binds: its hash, bytes, and files where it is a folder."""

    path: str
    hash: str
    size: Count | None = None
    files: Count | None = None


@dataclass(frozen=True)
class Swap:
    """Data that is not what it was; None stands for absent."""

    path: str
    before: Bound | None
    after: Bound | None


def data(sides: Sides) -> tuple[Swap, ...]:
    """Outputs outside git that differ between the two sides; what git has itself, its own diff shows.

    Raises `BadInput` for a lock of the work tree that cannot be read.
    """
    old, new, shown = _before(sides), after(sides), sides.tracked
    return tuple(
        Swap(path, old.get(path), new.get(path))
        for path in sorted({*old, *new})
        if path not in shown and _hash(old.get(path)) != _hash(new.get(path))
    )


def rows(verdicts: Iterable[Verdict]) -> dict[str, int]:
    """Rows of each split as DAT004 counted them; empty where it did not."""
    evidence = next((verdict.evidence for verdict in verdicts if verdict.id == "DAT004"), {})
    splits = evidence.get("splits")
    counted = [split for split in splits if isinstance(split, dict)] if isinstance(splits, list) else []
    counts = {str(split.get("split")): _count(split.get("rows")) for split in counted}
    return {name: count for name, count in counts.items() if count is not None}


def after(sides: Sides) -> dict[str, Bound]:
    """All outputs that the work tree binds, by path."""
    found = _locked(sides.after(LOCK), LOCK)
    for pointer in sides.pointers():
        found |= _pointed(sides.after(pointer), pointer)
    return found


def _before(sides: Sides) -> dict[str, Bound]:
    try:
        found = _locked(sides.before(LOCK), LOCK)
        for pointer in sides.pointers():
            found |= _pointed(sides.before(pointer), pointer)
    except BadInput:
        return {}  # the base branch is not this pull request's fault; all its data then reads as new
    return found


def _locked(text: str | None, name: str) -> dict[str, Bound]:
    tree = parse_yaml(text, name) if text is not None else None
    stages = tree.get("stages") if isinstance(tree, dict) else None
    if not isinstance(stages, dict):
        return {}
    outs = [out for stage in stages.values() if isinstance(stage, dict) for out in stage.get("outs") or ()]
    return _bound(outs, "")


def _pointed(text: str | None, name: str) -> dict[str, Bound]:
    tree = parse_yaml(text, name) if text is not None else None
    outs = tree.get("outs") if isinstance(tree, dict) else None
    return _bound(outs if isinstance(outs, list) else [], name.rpartition("/")[0])


def _bound(outs: list[Any], folder: str) -> dict[str, Bound]:
    found = {}
    for out in outs:
        if not isinstance(out, dict) or not isinstance(out.get("path"), str):
            continue
        path = f"{folder}/{out['path']}" if folder else out["path"]
        value = out.get("md5") or out.get("etag") or out.get("checksum") or ""
        found[path] = Bound(path, str(value), _count(out.get("size")), _count(out.get("nfiles")))
    return found


def _count(value: Any) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < LARGEST else None


def _hash(bound: Bound | None) -> str | None:
    return bound.hash if bound else None
