"""Which rows each fold of a cross-validation is fitted on, and which are held out: no group is on both sides."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

import numpy as np

from beampermit.errors import BadInput, Failed, counted

By = Literal["group", "time"]
NONE = -1
"""The code of a null."""


@dataclass(frozen=True)
class Fold:
    """Marks rows: of `fitted` the model is trained, on `held_out` it is measured; others are left out."""

    number: int
    fitted: np.ndarray
    held_out: np.ndarray


def by_group(groups: Mapping[str, np.ndarray], count: int) -> list[Fold]:
    """Each row is held out once, with its whole group, unless its groups belong to different folds.

    `groups` has the codes of each column's values, `NONE` for a null. Raises `BadInput` for fewer groups than folds.
    """
    columns = coarsest(groups)
    parts = [_dealt(name, groups[name], count) for name in columns]
    known = np.all([part != NONE for part in parts], axis=0)
    folds = []
    for number in range(count):
        held_out = known & np.all([part == number for part in parts], axis=0)
        fitted = known & np.all([part != number for part in parts], axis=0)
        folds.append(Fold(number + 1, fitted, held_out))
    return folds


def by_time(times: np.ndarray, groups: Mapping[str, np.ndarray], count: int) -> list[Fold]:
    """Each fold holds out the next stretch of time, and is fitted on all before it, as splits may not overlap in time.

    `times` are whole numbers. Groups that follow each other in time, such as runs, are left out where they reach into
    what is held out; of others, such as devices, each fold holds out some. Raises `BadInput`.
    """
    stretch = _stretches(times, count)
    known = np.all([codes != NONE for codes in groups.values()], axis=0)
    parts = [_dealt(name, groups[name], count) for name in _across(times, groups)]
    folds = []
    for number in range(1, count + 1):
        held_out = known & (stretch == number) & np.all([known, *(part == number - 1 for part in parts)], axis=0)
        reaching = np.any([np.isin(codes, codes[held_out]) for codes in groups.values()], axis=0)
        folds.append(Fold(number, known & (stretch < number) & ~reaching, held_out))
    return folds


def never_held_out(
    folds: Sequence[Fold], groups: Mapping[str, np.ndarray], times: np.ndarray | None = None
) -> dict[str, int]:
    """Why rows are in no fold's held-out part -> how many; `times` are those of folds in time."""
    left = ~np.any([fold.held_out for fold in folds], axis=0)
    nowhere = left & np.any([codes == NONE for codes in groups.values()], axis=0)
    first = left & ~nowhere & (_stretches(times, len(folds)) == 0) if times is not None else np.zeros_like(left)
    across = coarsest(groups) if times is None else _across(times, groups)
    why = {
        "first in time": first,
        f"of another fold by {' or '.join(across)}": left & ~nowhere & ~first,
        f"without {' or '.join(groups)}": nowhere,
    }
    return {reason: int(rows.sum()) for reason, rows in why.items() if rows.any()}


def coarsest(groups: Mapping[str, np.ndarray]) -> list[str]:
    """Of the columns, those that the others follow from: what no two sites share, no two devices of sites share."""
    left = list(groups)
    for name in reversed(list(left)):
        others = [other for other in left if other != name]
        if any(_follows(groups[other], groups[name]) for other in others):
            left.remove(name)
    return left


def require_fitting(folds: Sequence[Fold], target: np.ndarray | None, name: str) -> list[str]:
    """Raise `BadInput` for a fold that nothing can be fitted or measured on; what else is odd, as notes.

    `target` has the codes of the values of the column that the model learns.
    """
    notes = []
    for fold in folds:
        for rows, what in ((fold.fitted, "fit"), (fold.held_out, "measure")):
            if not rows.any():
                raise BadInput(f"fold {fold.number} has no row to {what} the model on", hint=FEWER)
        if target is None:
            continue
        if len(np.unique(target[fold.fitted])) < 2:
            rows = counted(int(fold.fitted.sum()), "row")
            raise BadInput(
                f"fold {fold.number}: {name} has one value in all {rows} that the model is fitted on", hint=FEWER
            )
        if len(np.unique(target[fold.held_out])) < 2:
            rows = counted(int(fold.held_out.sum()), "row")
            notes.append(f"fold {fold.number}: {name} has one value in all {rows} that are held out")
    return notes


FEWER = "give fewer --folds, or request more data"


def require_apart(fold: Fold, groups: Mapping[str, np.ndarray]) -> None:
    """Raise `Failed` where a group is on both sides of a fold: what it scores would be remembered, not learned."""
    for name, codes in groups.items():
        both = np.intersect1d(codes[fold.fitted], codes[fold.held_out])
        if len(both):
            raise Failed(f"fold {fold.number}: {counted(len(both), 'value')} of {name} are fitted on and held out")


def require_later(fold: Fold, times: np.ndarray) -> None:
    """Raise `Failed` where what is held out is not later than all that is fitted on: no model knows its future."""
    early = int((times[fold.held_out] <= times[fold.fitted].max()).sum())
    if early:
        raise Failed(f"fold {fold.number}: {counted(early, 'row')} held out, not later than all that is fitted on")


def _stretches(times: np.ndarray, count: int) -> np.ndarray:
    """Of each row, the fold whose time it is of; 0 before the first. Raises `BadInput`."""
    distinct, rows = np.unique(times, return_counts=True)
    if len(distinct) <= count:
        raise BadInput(
            f"there are {counted(len(distinct), 'moment')} in time, and {count} folds need {count + 1}",
            hint=f"beampermit validate --folds {max(len(distinct) - 1, 2)}",
        )
    # They have about as many rows each, and at least one moment.
    ends = np.searchsorted(np.cumsum(rows), len(times) * np.arange(1, count + 1) / (count + 1))
    ends = np.minimum(np.maximum(ends, np.arange(count)), len(distinct) - 1 - np.arange(count, 0, -1))
    ends = np.maximum.accumulate(ends - np.arange(count)) + np.arange(count)
    return np.searchsorted(distinct[ends], times, side="left")


def _across(times: np.ndarray, groups: Mapping[str, np.ndarray]) -> list[str]:
    """Columns of groups that lie across time, such as devices."""
    return [name for name in coarsest(groups) if not _follow_each_other(groups[name], times)]


def _follows(coarse: np.ndarray, fine: np.ndarray) -> bool:
    """Whether each value of `fine` is found with one value of `coarse` alone."""
    pairs = np.unique(np.stack([fine, coarse]), axis=1)
    return len(np.unique(pairs[0])) == pairs.shape[1]


def _follow_each_other(codes: np.ndarray, times: np.ndarray) -> bool:
    spans = sorted((times[codes == code].min(), times[codes == code].max()) for code in np.unique(codes[codes != NONE]))
    return all(start > end for (_, end), (start, _) in pairwise(spans))


def _dealt(name: str, codes: np.ndarray, count: int) -> np.ndarray:
    """The fold of each row: groups go to the fold that has fewest rows, the largest group first."""
    values, rows = np.unique(codes[codes != NONE], return_counts=True)
    if len(values) < count:
        raise BadInput(
            f"{name} has {counted(len(values), 'value')}, and {count} folds need as many",
            hint=f"beampermit validate --folds {len(values)}" if len(values) > 1 else FEWER,
        )
    of_value, filled = dict[int, int](), [0] * count
    for place in np.argsort(-rows, kind="stable"):
        fold = min(range(count), key=filled.__getitem__)
        of_value[int(values[place])] = fold
        filled[fold] += int(rows[place])
    return np.array([of_value.get(int(code), NONE) for code in codes])
