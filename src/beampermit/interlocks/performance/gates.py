"""PRF001: the committed metrics pass their gates; and which gates a pull request changes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from beampermit.changes.contract_changes import compare_contracts
from beampermit.contract import FILE_NAME, Contract, Metric
from beampermit.errors import BadInput
from beampermit.interlocks.interlock import Finding, Interlock, failed, passed
from beampermit.models.metrics import format_number, read_metrics
from beampermit.project import Project
from beampermit.verdicts.verdict import Location

GATE = ("better", "gate", "champion_margin", "subgroups")
"""What of a metric decides."""


class PRF001(Interlock):
    "Every gate is met, as the base branch's contract sets it"

    def check(self, project: Project, contract: Contract, base_contract: Contract) -> Finding:
        """The committed metrics do not pass. Make the model better and run `dvc repro`; a gate is changed in a pull
        request of its own, for it is the base branch's contract that judges."""
        file = contract.evaluation.metrics
        changes = compare_contracts(base_contract, contract).lines("metrics", "evaluation", "reproducibility")
        note = (
            f" (this pull request changes {', '.join(changes)}; the base branch's contract decides)" if changes else ""
        )
        try:
            metrics = read_metrics(project.path(file), file)
        except BadInput as error:
            where = Location(file=file, line=error.line)
            return failed(f"{error}{note}", where, contract_changes=changes)
        asked = gates(base_contract, contract)
        evidence = {
            "metrics": [_row(metric, metrics.get(metric.name)) for metric in asked],
            "contract_changes": changes,
            "judged_by": project.base or "this contract",
        }
        problems = [words for metric in asked if (words := _unmet(metric, metrics.get(metric.name)))]
        if problems:
            places = (file, FILE_NAME) if changes else (file,)
            return failed("; ".join(dict.fromkeys(problems)) + note, *places, **evidence)
        values = ", ".join(
            f"{metric.name} {format_number(metrics[metric.name])} ({asks(metric)})" for metric in base_contract.metrics
        )
        return passed(values + note, **evidence)


def _sides(metric: Metric | None) -> dict[str, Any] | None:
    return metric and metric.model_dump(mode="json", include=set(GATE))


def gates(base_contract: Contract, here: Contract) -> list[Metric]:
    """The base branch's gates, and those that this contract adds or changes: a promise of one's own must hold too."""
    known = [(metric.name, _sides(metric)) for metric in base_contract.metrics]
    return [*base_contract.metrics, *(metric for metric in here.metrics if (metric.name, _sides(metric)) not in known)]


def crossed(columns: Sequence[str]) -> str:
    """Such as `plane and family`."""
    return " and ".join(columns)


def asks(metric: Metric, gate: float | None = None) -> str:
    """Such as `at least 0.95`."""
    return f"at {'least' if metric.better == 'higher' else 'most'} {metric.gate if gate is None else gate:g}"


def _row(metric: Metric, value: float | None) -> dict[str, Any]:
    met = value is not None and metric.met(value)
    return {"name": metric.name, "value": value, "gate": metric.gate, "better": metric.better, "met": met}


def _unmet(metric: Metric, value: float | None) -> str:
    if value is None:
        return f"{metric.name} is not among the metrics"
    return (
        ""
        if metric.met(value)
        else f"{metric.name} is {format_number(value, metric.gate)}, the gate asks for {asks(metric)}"
    )
