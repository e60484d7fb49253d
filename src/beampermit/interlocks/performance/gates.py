"""PRF001: the committed metrics meet their gates."""

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
"""Keys of a metric that decide."""


class PRF001(Interlock):
    "Every metric meets its gate in the base branch's contract"

    def check(self, project: Project, contract: Contract, base_contract: Contract) -> Finding:
        """Improve the model and run `dvc repro`. To change a gate, open a separate pull request: the base branch's
        contract decides."""
        file = contract.evaluation.metrics
        changes = compare_contracts(base_contract, contract).lines("metrics", "evaluation", "reproducibility")
        note = (
            f" (this pull request changes {', '.join(changes)}; the base branch's contract decides)" if changes else ""
        )
        try:
            metrics = read_metrics(project.path(file), file)
        except BadInput as error:
            return failed(f"{error}{note}", Location(file=file, line=error.line), contract_changes=changes)
        required = gates(base_contract, contract)
        evidence = {
            "metrics": [_row(metric, metrics.get(metric.name)) for metric in required],
            "contract_changes": changes,
            "judged_by": project.base or "this contract",
        }
        problems = [unmet for metric in required if (unmet := _unmet(metric, metrics.get(metric.name)))]
        if problems:
            files = (file, FILE_NAME) if changes else (file,)
            return failed("; ".join(dict.fromkeys(problems)) + note, *files, **evidence)
        values = ", ".join(
            f"{metric.name} {format_number(metrics[metric.name])} ({format_gate(metric)})"
            for metric in base_contract.metrics
        )
        return passed(values + note, **evidence)


def gates(base_contract: Contract, contract: Contract) -> list[Metric]:
    """The base branch's metrics, and those whose gate this contract adds or changes: both must be met."""
    in_base = [_gate(metric) for metric in base_contract.metrics]
    return [*base_contract.metrics, *(metric for metric in contract.metrics if _gate(metric) not in in_base)]


def _gate(metric: Metric) -> dict[str, Any]:
    return metric.model_dump(mode="json", include={"name", *GATE})


def join_columns(columns: Sequence[str]) -> str:
    return " and ".join(columns)


def format_gate(metric: Metric, gate: float | None = None) -> str:
    """Such as `at least 0.95`."""
    return f"at {'least' if metric.better == 'higher' else 'most'} {metric.gate if gate is None else gate:g}"


def _row(metric: Metric, value: float | None) -> dict[str, Any]:
    met = value is not None and metric.met(value)
    return {"name": metric.name, "value": value, "gate": metric.gate, "better": metric.better, "met": met}


def _unmet(metric: Metric, value: float | None) -> str:
    if value is None:
        return f"{metric.name} is not in the metrics"
    if metric.met(value):
        return ""
    return f"{metric.name} is {format_number(value, metric.gate)}, the gate is {format_gate(metric)}"
