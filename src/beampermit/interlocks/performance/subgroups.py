"""PRF003: every group of the evaluation's rows passes its gate by itself; combinations of groups are measured too."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import TYPE_CHECKING

from beampermit.contract import FILE_NAME, Contract, Metric
from beampermit.contract.judging import Subgroups
from beampermit.environments import Environment
from beampermit.errors import Failed, several
from beampermit.interlocks.interlock import Finding, Interlock, failed, passed
from beampermit.interlocks.model import Examined
from beampermit.interlocks.performance.gates import asks, crossed, gates
from beampermit.models.groups import dependent_columns, read_columns, row_groups
from beampermit.models.metrics import format_number
from beampermit.models.resampling import MOST_COUNTS, TAIL, draw_counts, quantile_range
from beampermit.project import Project
from beampermit.verdicts.evidence import Combinations, Subgroup
from beampermit.verdicts.evidence import Subgroups as Results

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

    Raises `Failed` where the gated crosses alone are too many cells, or a column is nowhere.
    """
    asked = list(dict.fromkeys(gated))
    values = {name: row_groups(project, contract, name) for name in dict.fromkeys(name for by in asked for name in by)}
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
                    raise Failed(_too_many(by, len(made), crosses), file=FILE_NAME)
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


SHOWN = 5
FEWEST = 10
"""Rows below which a number says nothing of a group."""
TIMES, FEWEST_TIMES = 200, 100
"""Resamples of each group; where there is time or memory for fewer than the second number, there are no intervals."""
MOST_EVALUATIONS = 20_000


class PRF003(Interlock):
    "Every subgroup meets its gate"

    requires = frozenset({"ENV005", "MDL002"})
    slow = True

    def check(
        self,
        project: Project,
        contract: Contract,
        base_contract: Contract,
        environment: Environment,
        examined: Examined,
    ) -> Finding:
        """A group of rows does worse than `contract.yaml` allows it to under `subgroups`, or has too few rows to tell.
        Train on more of its kind and run `dvc repro`, judge on more test rows, or say under `model.use` that the model
        is not for it; a gate is changed in a pull request of its own."""
        asked = [(metric, group) for metric in gates(base_contract, contract) for group in metric.subgroups]
        if not asked:
            return passed("the contract gates no subgroup", Results())
        found = cells(project, contract, (group.columns for _, group in asked))
        measured = _measured(project, contract, base_contract, environment, examined, found.cells)
        rows = [row for metric, group in asked for row in _gated(metric, group, measured)]
        evidence = Results(
            subgroups=(*rows, *_shown([metric for metric, _ in asked], found, measured)),
            confidence=1 - 2 * TAIL,
            left_out=tuple(Combinations(by=by, count=number) for by, number in found.left_out.items()),
            empty=tuple(Combinations(by=by, count=number) for by, number in found.empty.items()),
        )
        if problems := list(dict.fromkeys(words for row in rows if (words := _unmet(row)))):
            return failed(several(problems, SHOWN), contract.evaluation.metrics, FILE_NAME, evidence=evidence)
        return passed("; ".join(_worst(metric, group, rows) for metric, group in asked), evidence)


@dataclass(frozen=True)
class Measured:
    """A cell's metrics: name -> all its rows once, then resampled, shape (times + 1,); nothing of too few rows."""

    cell: Cell
    values: dict[str, np.ndarray]

    def row(self, metric: str, required: str = "", gate: float | None = None) -> Subgroup:
        """One metric, without a judgement."""
        values = self.values.get(metric)
        value = float(values[0]) if values is not None else math.nan
        low, high = (values is not None and quantile_range(values)) or (None, None)
        return Subgroup(
            metric=metric,
            by=self.cell.by,
            group=self.cell.group,
            rows=self.cell.rows,
            few=self.cell.rows < FEWEST,
            value=value if math.isfinite(value) else None,
            low=low,
            high=high,
            required=required,
            gate=gate,
        )


def _measured(
    project: Project,
    contract: Contract,
    base_contract: Contract,
    environment: Environment,
    examined: Examined,
    found: Sequence[Cell],
) -> list[Measured]:
    """All cells by one run of the project's own evaluation: each once as it is, and resampled."""
    import numpy as np

    from beampermit.models.evaluation import evaluate_weighted

    large = [place for place, cell in enumerate(found) if cell.rows >= FEWEST]
    measured = [Measured(cell, {}) for cell in found]
    if large:
        inputs = project.path(contract.evaluation.inputs)
        drawn = _resamples(read_columns(inputs, dependent_columns(inputs, base_contract)), len(large))
        each = np.concatenate([drawn * found[place].members.astype(np.uint16) for place in large])
        command = base_contract.evaluation.weighted or contract.evaluation.weighted
        given = evaluate_weighted(environment, project.root, contract.evaluation.inputs, command, examined.scores, each)
        for turn, place in enumerate(large):
            own = slice(turn * len(drawn), (turn + 1) * len(drawn))
            measured[place] = Measured(found[place], {name: values[own] for name, values in given.items()})
    return measured


def _resamples(dependent: list[np.ndarray], cells: int) -> np.ndarray:
    """How often each row counts, shape (times + 1, rows); all rows once alone where resamples would cost too much."""
    import numpy as np

    rows = len(dependent[0])
    times = min(TIMES, MOST_EVALUATIONS // cells, MOST_COUNTS // (cells * rows))
    return draw_counts(dependent, times) if times >= FEWEST_TIMES else np.ones((1, rows), np.uint16)


def _gated(metric: Metric, group: Subgroups, measured: Iterable[Measured]) -> Iterable[Subgroup]:
    for one in measured:
        if one.cell.by == group.columns:
            row = one.row(metric.name, asks(metric, group.gate), group.gate)
            met = row.value is not None and metric.met_by_group(row.value, group)
            yield row.model_copy(update={"met": met})


def _shown(metrics: Iterable[Metric], found: Cells, measured: Iterable[Measured]) -> Iterable[Subgroup]:
    """Combinations without a gate, of every metric that has one for some group."""
    names = dict.fromkeys(metric.name for metric in metrics)
    for one in measured:
        if one.cell.by in found.shown:
            yield from (one.row(name) for name in names)


def _unmet(row: Subgroup) -> str:
    """In words, where a group does not pass; a metric that has no meaning for a group passes no gate."""
    if row.met:
        return ""
    where = f"{row.metric} where {_where(row)}"
    if row.few:
        return f"{where} is measured on {row.rows} rows, and {FEWEST} are needed"
    if row.value is None:
        return f"{where} is undefined on its {row.rows} rows"
    return f"{where} is {format_number(row.value, row.gate)} on {row.rows} rows, the gate is {row.required}"


def _where(row: Subgroup) -> str:
    return " and ".join(f"{by} is {group}" for by, group in zip(row.by, row.group, strict=True))


def _worst(metric: Metric, group: Subgroups, rows: list[Subgroup]) -> str:
    """Such as `auc by plane 0.98 at worst, where it is V (at least 0.95)`."""
    by, sign = group.columns, 1 if metric.better == "higher" else -1
    values = [(sign * row.value, row) for row in rows if row.value is not None and _is_of(row, metric, group)]
    value, worst = min(values, key=lambda pair: pair[0])
    where = f"it is {worst.group[0]}" if len(by) == 1 else _where(worst)
    return f"{metric.name} by {crossed(by)} {format_number(sign * value)} at worst, where {where} ({worst.required})"


def _is_of(row: Subgroup, metric: Metric, group: Subgroups) -> bool:
    return (row.metric, row.by, row.gate) == (metric.name, group.columns, group.gate)
