"""PRF003: every group of the evaluation's rows passes its gate by itself."""

from __future__ import annotations

import math
from typing import Any

from beampermit.contract import FILE_NAME, Contract, Metric
from beampermit.contract.model import Subgroups
from beampermit.environments import Environment
from beampermit.interlocks.interlock import Finding, Interlock, closed, tripped
from beampermit.interlocks.model import Examined
from beampermit.interlocks.performance.gates import asks, gates
from beampermit.interlocks.performance.rows import groups
from beampermit.metrics import said
from beampermit.project import Project

SHOWN = 5


class PRF003(Interlock):
    "Every subgroup meets its gate"

    requires = frozenset({"ENV005", "MDL002"})
    slow = True

    def check(
        self, project: Project, contract: Contract, judge: Contract, environment: Environment, examined: Examined
    ) -> Finding:
        """A group of rows does worse than `contract.yaml` allows it to under `subgroups`. Train on more of its kind and
        run `dvc repro`, or say under `model.use` that the model is not for it; a gate is changed in a pull request of
        its own."""
        asked = [(metric, group) for metric in gates(judge, contract) for group in metric.subgroups]
        if not asked:
            return closed("the contract gates no subgroup", subgroups=[])
        measured = _measured(project, contract, judge, environment, examined, [group.by for _, group in asked])
        rows = [row for metric, group in asked for row in _rows(metric, group, measured[group.by])]
        if problems := list(dict.fromkeys(words for row in rows if (words := _unmet(row)))):
            more = f"; and {len(problems) - SHOWN} more" if len(problems) > SHOWN else ""
            return tripped("; ".join(problems[:SHOWN]) + more, contract.evaluation.metrics, FILE_NAME, subgroups=rows)
        return closed("; ".join(_worst(metric, group, rows) for metric, group in asked), subgroups=rows)


def _measured(
    project: Project,
    contract: Contract,
    judge: Contract,
    environment: Environment,
    examined: Examined,
    columns: list[str],
) -> dict[str, dict[str, tuple[int, dict[str, float]]]]:
    """Column -> group -> its rows and its metrics, all by one run of the project's own evaluation."""
    import numpy as np

    from beampermit.probe import weigh

    members = {by: groups(project, contract, by) for by in dict.fromkeys(columns)}
    named = [(by, name) for by, column in members.items() for name in sorted(set(column.tolist()))]
    counts = np.stack([members[by] == name for by, name in named]).astype(np.uint16)
    command = judge.evaluation.weighted or contract.evaluation.weighted
    found = weigh(environment, project.root, contract.evaluation.inputs, command, examined.scores, counts)
    measured: dict[str, dict[str, tuple[int, dict[str, float]]]] = {by: {} for by in members}
    for place, (by, name) in enumerate(named):
        metrics = {metric: float(values[place]) for metric, values in found.items()}
        measured[by][name] = int(counts[place].sum()), metrics
    return measured


def _rows(metric: Metric, group: Subgroups, measured: dict[str, tuple[int, dict[str, float]]]) -> list[dict[str, Any]]:
    return [
        {
            "metric": metric.name,
            "by": group.by,
            "group": name,
            "rows": rows,
            "value": value if math.isfinite(value := found.get(metric.name, math.nan)) else None,
            "asks": asks(metric, group.gate),
            "gate": group.gate,
            "met": math.isfinite(value) and metric.met_by_group(value, group),
        }
        for name, (rows, found) in measured.items()
    ]


def _unmet(row: dict[str, Any]) -> str:
    """In words, where a group does not pass; a metric that has no meaning for a group passes no gate."""
    if row["met"]:
        return ""
    where = f"{row['metric']} where {row['by']} is {row['group']}"
    if row["value"] is None:
        return f"{where} has no meaning on its {row['rows']} rows"
    return f"{where} is {said(row['value'], row['gate'])} on {row['rows']} rows, the gate asks for {row['asks']}"


def _worst(metric: Metric, group: Subgroups, rows: list[dict[str, Any]]) -> str:
    """Such as `auc by plane 0.98 at worst, where it is V (at least 0.95)`."""
    of_this = [row for row in rows if (row["metric"], row["by"], row["gate"]) == (metric.name, group.by, group.gate)]
    worst = (min if metric.better == "higher" else max)(of_this, key=lambda row: row["value"])
    words = f"{metric.name} by {group.by} {said(worst['value'])} at worst, where it is {worst['group']}"
    return f"{words} ({asks(metric, group.gate)})"
