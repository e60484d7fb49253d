"""PRF003: every group of the evaluation's rows meets its gate; combinations of two groupings are measured as well."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import TYPE_CHECKING

from beampermit.contract import FILE_NAME, Contract, Metric
from beampermit.contract.judging import Subgroups
from beampermit.errors import Failed, counted, several
from beampermit.interlocks.interlock import PROJECT_CODE, Finding, Interlock, each, failed, passed
from beampermit.interlocks.model import Evaluators, Examined
from beampermit.interlocks.performance.gates import NAMES, format_gate, gates, join_columns, unevaluated
from beampermit.models.groups import (
    MOST_COUNTS,
    TAIL,
    dependent_columns,
    draw_counts,
    quantile_range,
    read_columns,
    row_groups,
)
from beampermit.models.metrics import format_number
from beampermit.project import Project
from beampermit.verdicts.evidence import Combinations, Subgroup
from beampermit.verdicts.evidence import Subgroups as Results

if TYPE_CHECKING:
    import numpy as np

By = tuple[str, ...]
"""The columns that rows are grouped by; several are a cross."""
MOST = 100
"""Groups in all crosses together: each costs an evaluation per resample, and a line in the model card."""
SHOWN = 5
FEWEST = 10
"""Groups of fewer rows are not measured."""
TIMES, FEWEST_TIMES = 200, 100
"""Resamples of each group; where time or memory allow fewer than the second number, there are no intervals."""
MOST_EVALUATIONS = 20_000


@dataclass(frozen=True)
class Cell:
    """The rows whose columns `by` have the values `group`; `members` is a mask, shape (rows,)."""

    by: By
    group: tuple[str, ...]
    members: np.ndarray

    @property
    def rows(self) -> int:
        return int(self.members.sum())


@dataclass(frozen=True)
class Cells:
    """All groups that are measured; `ungated` are the crosses among them that have no gate.

    Of crosses, the number of combinations that are `left_out`, being too many, and that are `empty`, having no row.
    """

    cells: tuple[Cell, ...]
    ungated: tuple[By, ...]
    left_out: dict[By, int]
    empty: dict[By, int]


def find_cells(project: Project, contract: Contract, inputs: Path, groupings: Iterable[By]) -> Cells:
    """The groups of the gated `groupings`, and those of each pair of columns that have a gate of their own.

    Raises `Failed` where the gated crosses alone are too many groups, or a column does not exist.
    """
    gated = list(dict.fromkeys(groupings))
    values = {
        name: row_groups(project, contract, inputs, name) for name in dict.fromkeys(name for by in gated for name in by)
    }
    column_sets = {frozenset(by) for by in gated}
    single = [by[0] for by in gated if len(by) == 1]
    ungated = [pair for pair in combinations(single, 2) if frozenset(pair) not in column_sets]
    cells: list[Cell] = []
    left_out: dict[By, int] = {}
    empty: dict[By, int] = {}
    crossed = 0
    for by in (*gated, *ungated):
        of_grouping = _cells(by, values)
        if len(by) > 1:
            if crossed + len(of_grouping) > MOST:
                if by in gated:
                    raise Failed(_too_many(by, len(of_grouping), crossed), file=FILE_NAME)
                left_out[by] = len(of_grouping)
                continue
            crossed += len(of_grouping)
            if without_rows := math.prod(len(set(values[name].tolist())) for name in by) - len(of_grouping):
                empty[by] = without_rows
        cells += of_grouping
    return Cells(tuple(cells), tuple(ungated), left_out, empty)


def _cells(by: By, values: dict[str, np.ndarray]) -> list[Cell]:
    """One for each combination of values that some row has."""
    import numpy as np

    groups, index = np.unique(np.stack([values[name] for name in by]), axis=1, return_inverse=True)
    index = index.ravel()
    return [Cell(by, tuple(group.tolist()), index == number) for number, group in enumerate(groups.T)]


def _too_many(by: By, count: int, before: int) -> str:
    others = f", and the crosses before it have {before}" if before else ""
    return (
        f"the gate by {join_columns(by)} has {count} combinations{others}; the limit for all crosses is {MOST}: "
        "cross fewer columns, or columns with fewer values"
    )


class PRF003(Interlock):
    "Every subgroup meets its gate"

    requires = frozenset({"ENV005", "MDL002"})
    decided_by = PROJECT_CODE

    def check(
        self,
        project: Project,
        contract: Contract,
        base_contract: Contract,
        examined: Examined,
        evaluators: Evaluators,
    ) -> Finding:
        """A group of rows misses its gate under `subgroups` in `contract.yaml`, or has too few rows to be measured.
        Train on more data of this group and run `dvc repro`, or add test rows for it. If the model is not meant for the
        group, state that under `model.use`. To change a gate, open a separate pull request."""
        required = gates(base_contract, contract)
        gated = [(metric, group) for metric in required for group in metric.subgroups]
        if not gated:
            return passed("the contract has no gates of subgroups", Results())
        cells = find_cells(project, contract, evaluators.judging.inputs, (group.columns for _, group in gated))
        resampling, own = evaluators.resampling, evaluators.own
        measured = _measure(base_contract, resampling.inputs, resampling.evaluate_weighted, examined, cells.cells)
        by_metric = [(metric, group, measured) for metric, group in gated]
        added = [metric for metric in required[len(base_contract.metrics) :] if metric.measure and metric.subgroups]
        if added:  # of a name in the base contract, it may be something else
            measured_own = _measure(base_contract, own.inputs, own.measure_weighted, examined, cells.cells)
            by_metric = [
                (metric, group, measured_own if any(metric is one for one in added) else measured)
                for metric, group in gated
            ]
        rows = [row for metric, group, of_metric in by_metric for row in _gated(metric, group, of_metric)]
        evidence = Results(
            subgroups=(*rows, *_ungated(((metric, of_metric) for metric, _, of_metric in by_metric), cells)),
            confidence=1 - 2 * TAIL,
            left_out=tuple(Combinations(by=by, count=count) for by, count in cells.left_out.items()),
            empty=tuple(Combinations(by=by, count=count) for by, count in cells.empty.items()),
        )
        if problems := list(dict.fromkeys(unmet for row in rows if (unmet := _unmet(row)))):
            places = each(problems, contract.evaluation.metrics)
            values = next((of_cell.values for of_cell in measured if of_cell.values), None)
            by_project = (metric for metric, _ in gated if metric.measure is None)
            fix = NAMES if values and unevaluated(by_project, values) else ""
            return failed(several(problems, SHOWN), *places, fix=fix, evidence=evidence)
        return passed("; ".join(_worst(metric, group, rows) for metric, group in gated), evidence)


@dataclass(frozen=True)
class Measured:
    """Metric -> values of a cell, first of all its rows, then of resamples, shape (times + 1,); empty for few rows."""

    cell: Cell
    values: dict[str, np.ndarray]

    def row(self, metric: str, required: str = "", gate: float | None = None) -> Subgroup:
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


Compute = Callable[[Path, "np.ndarray"], "dict[str, np.ndarray]"]
"""Metrics of a table of scores for each row of counts."""


def _measure(
    base_contract: Contract, inputs: Path, compute: Compute, examined: Examined, cells: Sequence[Cell]
) -> list[Measured]:
    """All cells at once: each with all its rows, and resampled."""
    import numpy as np

    large = [cell for cell in cells if cell.rows >= FEWEST]
    if not large:
        return [Measured(cell, {}) for cell in cells]
    drawn = _resamples(read_columns(inputs, dependent_columns(inputs, base_contract)), len(large))
    counts = np.concatenate([drawn * cell.members.astype(np.uint16) for cell in large])
    metrics = compute(examined.unchanged_scores(), counts)
    parts = {name: iter(np.split(values, len(large))) for name, values in metrics.items()}
    return [
        Measured(cell, {name: next(values) for name, values in parts.items()} if cell.rows >= FEWEST else {})
        for cell in cells
    ]


def _resamples(dependent: list[np.ndarray], cells: int) -> np.ndarray:
    """How often each row counts, shape (times + 1, rows); all rows once alone where resamples would cost too much."""
    import numpy as np

    rows = len(dependent[0])
    times = min(TIMES, MOST_EVALUATIONS // cells, MOST_COUNTS // (cells * rows))
    return draw_counts(dependent, times) if times >= FEWEST_TIMES else np.ones((1, rows), np.uint16)


def _gated(metric: Metric, group: Subgroups, measured: Iterable[Measured]) -> Iterable[Subgroup]:
    for of_cell in measured:
        if of_cell.cell.by == group.columns:
            row = of_cell.row(metric.name, format_gate(metric, group.gate), group.gate)
            met = row.value is not None and metric.met_by_group(row.value, group)
            yield row.model_copy(update={"met": met})


def _ungated(metrics: Iterable[tuple[Metric, list[Measured]]], cells: Cells) -> Iterable[Subgroup]:
    """Combinations without a gate, of every metric that has one for some group."""
    by_name = {metric.name: measured for metric, measured in reversed(list(metrics))}
    return (
        of_cell.row(name)
        for name, measured in reversed(by_name.items())
        for of_cell in measured
        if of_cell.cell.by in cells.ungated
    )


def _unmet(row: Subgroup) -> str:
    """Why a group misses its gate, empty if it meets it; a metric that is undefined for a group misses it."""
    if row.met:
        return ""
    where = f"{row.metric} where {_where(row)}"
    if row.few:
        return f"{where} is measured on {counted(row.rows, 'row')}, and {FEWEST} are needed"
    if row.value is None:
        return f"{where} is undefined on its {counted(row.rows, 'row')}"
    return f"{where} is {format_number(row.value, row.gate)} on {counted(row.rows, 'row')}, the gate is {row.required}"


def _where(row: Subgroup) -> str:
    return " and ".join(f"{by} is {group}" for by, group in zip(row.by, row.group, strict=True))


def _worst(metric: Metric, group: Subgroups, rows: list[Subgroup]) -> str:
    """Such as `auc by plane 0.98 at worst, where it is V (at least 0.95)`."""
    by, sign = group.columns, 1 if metric.better == "higher" else -1
    values = [(sign * row.value, row) for row in rows if row.value is not None and _is_of(row, metric, group)]
    value, worst = min(values, key=lambda pair: pair[0])
    where = f"it is {worst.group[0]}" if len(by) == 1 else _where(worst)
    return (
        f"{metric.name} by {join_columns(by)} {format_number(sign * value)} at worst, where {where} ({worst.required})"
    )


def _is_of(row: Subgroup, metric: Metric, group: Subgroups) -> bool:
    return (row.metric, row.by, row.gate) == (metric.name, group.columns, group.gate)
