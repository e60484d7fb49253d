"""PRF001: the saved model, evaluated now, meets its gates."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from beampermit.changes.contract_changes import compare_contracts
from beampermit.contract import FILE_NAME, Contract, Metric
from beampermit.errors import BadInput, did_you_mean
from beampermit.interlocks.inputs import provides
from beampermit.interlocks.interlock import PROJECT_CODE, Finding, Interlock, failed, passed
from beampermit.interlocks.model import Evaluators, Examined
from beampermit.interlocks.performance.base_rows import ON_BASE_ROWS, BaseRows, OnBaseRows
from beampermit.models.metrics import format_number, read_metrics
from beampermit.project import Project
from beampermit.verdicts.verdict import Location

GATE = ("better", "gate", "champion_margin", "subgroups")
"""Keys of a metric that decide."""
NAMES = (
    "The contract and the evaluation name different metrics. Correct the name under `metrics` in `contract.yaml`, or "
    "let `evaluation.command` write a metric of this name; then run `dvc repro`. If the name is in the base branch's "
    "contract, the base branch decides: change the contract in a separate pull request."
)
"""The fix where no model would help."""


@provides
def judged(evaluators: Evaluators, evaluated: dict[str, float], examined: Examined) -> dict[str, float]:
    """The metrics of the saved model that gates are compared with, by the base branch's evaluation."""
    base = evaluators.base
    return base.evaluate(examined.unchanged_scores()) if base else evaluated


class PRF001(Interlock):
    "Every metric meets its gate in the base branch's contract"

    requires = frozenset({"ENV005", "MDL002"})
    decided_by = PROJECT_CODE

    def check(
        self,
        project: Project,
        contract: Contract,
        base_contract: Contract,
        evaluators: Evaluators,
        evaluated: dict[str, float],
        judged: dict[str, float],
        base_rows: BaseRows,
        on_base_rows: OnBaseRows | None,
    ) -> Finding:
        """The saved model was evaluated just now; the file of metrics does not count. Improve the model and run `dvc
        repro`. To change a gate, or how metrics are computed, open a separate pull request: the base branch's contract
        and code decide. Where other test rows are right, raise `dataset.request.version` in `contract.yaml`: reviewers
        then see what changed."""
        file = contract.evaluation.metrics
        changes = compare_contracts(base_contract, contract).lines("metrics", "evaluation", "reproducibility")
        note = (
            f" (this pull request changes {', '.join(changes)}; the base branch's contract decides)" if changes else ""
        )
        if base_rows.note:
            note += f"; {base_rows.note}"
        try:
            committed = read_metrics(project.path(file), file)
        except BadInput as error:
            return failed(f"{error}{note}", Location(file=file, line=error.line), contract_changes=changes)
        required = gates(base_contract, contract)
        evidence: dict[str, Any] = {
            "metrics": [_row(metric, judged.get(metric.name, evaluated.get(metric.name))) for metric in required],
            "contract_changes": changes,
            "judged_by": project.base or "this contract",
            "rows": base_rows.note or base_rows.problem,
        }
        problems = [
            *([base_rows.problem] if base_rows.problem else []),
            *_all_unmet(required, evaluated),
            *_edited(required, committed, evaluated, base_contract, file),
        ]
        if evaluators.base and judged != evaluated:
            problems += _all_unmet(base_contract.metrics, judged, f"{evaluators.base.origin}, ")
        if on_base_rows:
            evidence["on_base_rows"] = on_base_rows.metrics
            if base_rows.binding:
                problems += _all_unmet(base_contract.metrics, on_base_rows.metrics, ON_BASE_ROWS)
            note += f"; {_on_base_rows(on_base_rows, base_contract)}"
        if problems:
            misnamed = unevaluated(required, evaluated)
            files = (file, FILE_NAME) if changes or misnamed else (file,)
            reason = "; ".join(dict.fromkeys(problems)) + note
            return failed(reason, *files, fix=NAMES if misnamed else "", **evidence)
        values = ", ".join(
            f"{metric.name} {format_number(judged[metric.name])} ({format_gate(metric)})"
            for metric in base_contract.metrics
        )
        return passed(values + _otherwise(base_contract, judged, evaluated) + note, **evidence)


def gates(base_contract: Contract, contract: Contract) -> list[Metric]:
    """The base branch's metrics, and those whose gate this contract adds or changes: both must be met."""
    in_base = [_gate(metric) for metric in base_contract.metrics]
    return [*base_contract.metrics, *(metric for metric in contract.metrics if _gate(metric) not in in_base)]


def unevaluated(metrics: Iterable[Metric], values: Mapping[str, object]) -> list[str]:
    """Names of the contract that the evaluation does not write."""
    return [metric.name for metric in metrics if metric.name not in values]


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


def _all_unmet(metrics: Iterable[Metric], values: Mapping[str, float], where: str = "") -> list[str]:
    unmet = (_unmet(metric, values) for metric in metrics)
    return [f"{where}{problem}" for problem in unmet if problem]


def _unmet(metric: Metric, values: Mapping[str, float]) -> str:
    value = values.get(metric.name)
    if value is None:
        return f"{metric.name} is not in the metrics{did_you_mean(metric.name, values)}"
    if metric.met(value):
        return ""
    return f"{metric.name} is {format_number(value, metric.gate)}, the gate is {format_gate(metric)}"


def _edited(
    required: Iterable[Metric],
    committed: Mapping[str, float],
    evaluated: Mapping[str, float],
    rules: Contract,
    file: str,
) -> Iterable[str]:
    """Gated metrics whose number in the file is not that of the saved model."""
    for name in dict.fromkeys(metric.name for metric in required):
        one, other = committed.get(name), evaluated.get(name)
        if one is not None and other is not None and not rules.evaluation.agree(one, other):
            yield f"{file} says {name} {format_number(one, other)}, and the saved model has {format_number(other, one)}"


def _otherwise(base_contract: Contract, judged: Mapping[str, float], evaluated: Mapping[str, float]) -> str:
    """Where a pull request computes a gated metric in another way, what it computes."""
    others = [
        f"{name} {format_number(evaluated[name], judged[name])}"
        for name in (metric.name for metric in base_contract.metrics)
        if not base_contract.evaluation.agree(evaluated[name], judged[name])
    ]
    return f"; by this pull request's own evaluation {', '.join(others)}" if others else ""


def _on_base_rows(found: OnBaseRows, base_contract: Contract) -> str:
    if found.problem:
        return found.problem
    values = ", ".join(
        f"{metric.name} {format_number(found.metrics[metric.name])}"
        for metric in base_contract.metrics
        if metric.name in found.metrics
    )
    return f"{ON_BASE_ROWS}{values}"
