"""What a pull request changes in data: the outputs that `dvc.lock` and `.dvc` files bind, and the splits' rows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from beampermit.changes.base_and_head import Sides
from beampermit.datasets.bound import Bound, bound
from beampermit.errors import BadInput, BeampermitError
from beampermit.project import Project
from beampermit.verdicts.evidence import SplitChanges

if TYPE_CHECKING:
    from beampermit.datasets.differences import Difference

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


def split_changes(project: Project) -> tuple[SplitChanges, ...]:
    """How the splits of the work tree differ from the base branch's; empty where that cannot be found out here."""
    from beampermit.datasets.differences import HERE, differences, version

    try:
        sides = Sides(project)
        if sides.fork is None or not data(sides):
            return ()
        found = differences(version(project, sides.fork), version(project, HERE))
    except BeampermitError:
        return ()  # other interlocks report what is wrong with the data
    return tuple(summarize(difference) for difference in found if not difference.same)


def summarize(difference: Difference) -> SplitChanges:
    """A difference as a reader sees it: sentences, and small histograms where something changed."""
    from beampermit.datasets.differences import bars

    before, after = difference.before, difference.after
    histograms: dict[str, tuple[str, str]] = {}
    if before and after and not difference.same:
        for name in sorted(before.signals.keys() & after.signals.keys()):
            histograms[name] = (bars(before.signals[name].bins), bars(after.signals[name].bins))
    return SplitChanges(split=difference.split, changes=difference.words, histograms=histograms)


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
