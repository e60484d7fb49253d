"""What a pull request changes in data: the outputs that `dvc.lock` and `.dvc` files bind."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from beampermit.changes.base_and_head import Sides
from beampermit.datasets.bound import Bound, bound, counted
from beampermit.errors import BadInput
from beampermit.verdicts.verdict import Verdict

LOCK = "dvc.lock"


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
    known = [split for split in splits if isinstance(split, dict)] if isinstance(splits, list) else []
    counts = {str(split.get("split")): counted(split.get("rows")) for split in known}
    return {name: count for name, count in counts.items() if count is not None}


def after(sides: Sides) -> dict[str, Bound]:
    """All outputs that the work tree binds, by path."""
    found = _bound(sides.after(LOCK), LOCK)
    for pointer in sides.pointers():
        found |= _bound(sides.after(pointer), pointer)
    return found


def _before(sides: Sides) -> dict[str, Bound]:
    try:
        found = _bound(sides.before(LOCK), LOCK)
        for pointer in sides.pointers():
            found |= _bound(sides.before(pointer), pointer)
    except BadInput:
        return {}  # the base branch is not this pull request's fault; all its data then reads as new
    return found


def _bound(text: str | None, name: str) -> dict[str, Bound]:
    return {} if text is None else bound(text, name)


def _hash(bound: Bound | None) -> str | None:
    return bound.hash if bound else None
