"""The cells that rows are judged in: the groups of one column, and those of several that cross, bounded in number."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import combinations
from typing import TYPE_CHECKING

from beampermit.contract import FILE_NAME, Contract
from beampermit.errors import Tripped
from beampermit.interlocks.performance.gates import crossed
from beampermit.interlocks.performance.rows import groups
from beampermit.project import Project

if TYPE_CHECKING:
    import numpy as np

By = tuple[str, ...]
"""The columns that make groups."""
MOST = 100
"""Cells of all crosses together: each costs an evaluation a resample, and a line in the card."""


@dataclass(frozen=True)
class Cell:
    """The rows, by a mask of shape (rows,), in which the columns `by` have the values `group`."""

    by: By
    group: tuple[str, ...]
    members: np.ndarray

    @property
    def rows(self) -> int:
        """How many."""
        return int(self.members.sum())


@dataclass(frozen=True)
class Cells:
    """What is measured, and what is not: crosses that would be too many cells, and how many they would be; crosses of
    whose combinations some have no row, and how many. `shown` are crosses that no gate asks for.
    """

    cells: tuple[Cell, ...]
    shown: tuple[By, ...]
    left_out: dict[By, int]
    empty: dict[By, int]


def cells(project: Project, contract: Contract, gated: Iterable[By]) -> Cells:
    """The groups that are gated, and the combinations of each two columns that have a gate of their own.

    Raises `Tripped` where the gated crosses alone are too many cells, or a column is nowhere.
    """
    asked = list(dict.fromkeys(gated))
    values = {name: groups(project, contract, name) for name in dict.fromkeys(name for by in asked for name in by)}
    known = {frozenset(by) for by in asked}
    single = [by[0] for by in asked if len(by) == 1]
    shown = [pair for pair in combinations(single, 2) if frozenset(pair) not in known]
    found: list[Cell] = []
    left_out: dict[By, int] = {}
    empty: dict[By, int] = {}
    crosses = 0
    for by in (*asked, *shown):
        made = _of(by, values)
        if len(by) > 1:
            if crosses + len(made) > MOST:
                if by in asked:
                    raise Tripped(_too_many(by, len(made), crosses), file=FILE_NAME)
                left_out[by] = len(made)
                continue
            crosses += len(made)
            empty |= {by: none} if (none := _combinations(by, values) - len(made)) else {}
        found += made
    return Cells(tuple(found), tuple(shown), left_out, empty)


def _of(by: By, values: dict[str, np.ndarray]) -> list[Cell]:
    """A cell for each combination that some row has."""
    import numpy as np

    names, place = np.unique(np.stack([values[name] for name in by]), axis=1, return_inverse=True)
    place = place.ravel()
    return [Cell(by, tuple(group.tolist()), place == number) for number, group in enumerate(names.T)]


def _combinations(by: By, values: dict[str, np.ndarray]) -> int:
    found = 1
    for name in by:
        found *= len(set(values[name].tolist()))
    return found


def _too_many(by: By, cells: int, before: int) -> str:
    more = f", and the crosses before it {before}" if before else ""
    return (
        f"the gate by {crossed(by)} has {cells} combinations{more}; {MOST} at most in all crosses: "
        "gate fewer columns at once, or a column with fewer values"
    )
