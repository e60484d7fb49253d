"""What a pull request changes in data: the outputs that `dvc.lock` and `.dvc` files bind, and rows of the splits."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from beampermit.changes.base_and_head import BaseAndHead
from beampermit.datasets import dvc_lock
from beampermit.datasets.dvc_lock import LockedOutput
from beampermit.errors import BadInput, BeampermitError
from beampermit.project import Project
from beampermit.record import printable
from beampermit.verdicts.evidence import SplitChanges

if TYPE_CHECKING:
    from beampermit.datasets.differences import SplitDifference


@dataclass(frozen=True)
class OutputChange:
    """An output with another hash than before; None stands for absent."""

    path: str
    before: LockedOutput | None
    after: LockedOutput | None


def compare_data(base_and_head: BaseAndHead) -> tuple[OutputChange, ...]:
    """Outputs outside git that differ between base and head; git shows its own.

    Raises `BadInput` for a lock of the work tree that cannot be read.
    """
    old, new, tracked = _outputs_before(base_and_head), bound_outputs(base_and_head), base_and_head.tracked
    return tuple(
        OutputChange(path, old.get(path), new.get(path))
        for path in sorted({*old, *new})
        if path not in tracked and _hash(old.get(path)) != _hash(new.get(path))
    )


def compare_splits(project: Project) -> tuple[SplitChanges, ...]:
    """How the splits of the work tree differ from the base branch's; empty where that cannot be found out here."""
    from beampermit.datasets.differences import WORK_TREE, compare_versions, load_version

    try:
        base_and_head = BaseAndHead(project)
        if base_and_head.merge_base is None or not compare_data(base_and_head):
            return ()
        differences = compare_versions(
            load_version(project, base_and_head.merge_base), load_version(project, WORK_TREE)
        )
    except BeampermitError:
        return ()  # other interlocks report what is wrong with the data
    return tuple(summarize_difference(difference) for difference in differences if not difference.same)


def summarize_difference(difference: SplitDifference) -> SplitChanges:
    """A difference as a reader sees it: sentences, and a small histogram of each signal where something changed."""
    from beampermit.datasets.differences import bars

    before, after = difference.before, difference.after
    histograms: dict[str, tuple[str, str]] = {}
    if before and after and not difference.same:
        for name in sorted(before.signals.keys() & after.signals.keys()):
            histograms[name] = (bars(before.signals[name].bins), bars(after.signals[name].bins))
    return SplitChanges(split=difference.split, changes=difference.changes, histograms=histograms)


def bound_outputs(base_and_head: BaseAndHead) -> dict[str, LockedOutput]:
    """All outputs that the work tree binds, by path. Raises `BadInput`."""
    return dvc_lock.bound_outputs(base_and_head.files_after, base_and_head.after)


def changed_output(base_and_head: BaseAndHead, path: str) -> bool:
    """Whether data at a path, or in what lies above or below it, are others than before, or new. Raises `BadInput`."""
    from beampermit.datasets.repository import is_below, overlap

    here, there = bound_outputs(base_and_head), _outputs_before(base_and_head)
    outputs = {output for output in (*here, *there) if overlap(output, path)}
    if any(_hash(here.get(output)) != _hash(there.get(output)) for output in outputs):
        return True
    place, *bound = (printable(base_and_head.prefix + of) for of in (path, *outputs))
    of_git = (changed for changed in base_and_head.changed_paths() if overlap(changed, place))
    return any(not any(is_below(changed, output) for output in bound) for changed in of_git)


def _outputs_before(base_and_head: BaseAndHead) -> dict[str, LockedOutput]:
    try:
        return dvc_lock.bound_outputs(base_and_head.files_before, base_and_head.before)
    except BadInput:
        return {}  # the base branch is not this pull request's fault; all its data then reads as new


def _hash(output: LockedOutput | None) -> str | None:
    return output.hash if output else None
