"""PRF001: the saved model, evaluated now, meets its gates."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from beampermit.changes.contract_changes import compare_contracts
from beampermit.contract import FILE_NAME, Contract, Metric
from beampermit.contract.measured import measured_metrics
from beampermit.errors import BadInput, did_you_mean
from beampermit.interlocks.inputs import provides
from beampermit.interlocks.interlock import PROJECT_CODE, Finding, Interlock, failed, passed
from beampermit.interlocks.model import Evaluators, Examined
from beampermit.interlocks.performance.base_rows import ON_BASE_ROWS, BaseRows, OnBaseRows
from beampermit.models.metrics import format_number, read_project_metrics
from beampermit.project import Project
from beampermit.verdicts.evidence import Gate, Gates
from beampermit.verdicts.verdict import Location

GATE = ("measure", "output", "threshold", "quantile", "better", "gate", "champion_margin", "subgroups")
"""Keys of a metric that decide."""
JUDGED = ("metrics", "evaluation", "reproducibility")
"""Parts of the contract whose changes are named in the reason."""
NAMES = (
    "The contract and the evaluation name different metrics. Correct the name under `metrics` in `contract.yaml`, or "
    "let `evaluation.command` write a metric of this name; then run `dvc repro`. If the name is in the base branch's "
    "contract, the base branch decides: change the contract in a separate pull request."
)
"""The fix where no model would help."""


@provides
def judged(evaluators: Evaluators, evaluated: dict[str, float], examined: Examined) -> dict[str, float]:
    """The metrics of the saved model that gates are compared with, by the base branch's evaluation and measures."""
    judging = evaluators.judging
    if evaluators.base or judging.measured != evaluators.own.measured:
        return judging.evaluate(examined.unchanged_scores())
    return evaluated


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
        """The saved model was evaluated just now; the file of metrics does not count. Where it could not be evaluated,
        correct what the reason names. Else improve the model and run `dvc repro`. To change a gate, or how metrics are
        computed, open a separate pull request: the base branch's contract and code decide. Where other test rows are
        right, raise `dataset.request.version` in `contract.yaml`: reviewers then see what changed."""
        file = contract.evaluation.metrics
        changes = judged_changes(base_contract, contract)
        note = (
            f" (this pull request changes {', '.join(changes)}; the base branch's contract decides)" if changes else ""
        )
        if base_rows.note:
            note += f"; {base_rows.note}"
        required = gates(base_contract, contract)
        by_project = [metric for metric in required if metric.measure is None]
        try:
            committed = read_project_metrics(project.path(file), file, required)
        except BadInput as error:
            problem = Gates(contract_changes=tuple(changes))
            return failed(f"{error}{note}", Location(file=file, line=error.line), evidence=problem)
        in_base = len(base_contract.metrics)
        values = [(metric, judged) for metric in required[:in_base]]
        values += [(metric, evaluated) for metric in required[in_base:]]
        evidence = Gates(
            metrics=tuple(_row(metric, of.get(metric.name, evaluated.get(metric.name))) for metric, of in values),
            contract_changes=tuple(changes),
            judged_by=project.base or "this contract",
            rows=base_rows.note or base_rows.problem,
            on_base_rows=on_base_rows.metrics if on_base_rows else None,
        )
        problems = [
            *([base_rows.problem] if base_rows.problem else []),
            *(unmet for metric, of in values if (unmet := _unmet(metric, of if metric.measure else evaluated))),
            *_edited(by_project, committed, evaluated, base_contract, file),
        ]
        if evaluators.base and judged != evaluated:
            of_base = (metric for metric in base_contract.metrics if metric.measure is None)
            problems += _all_unmet(of_base, judged, f"{evaluators.base.origin}, ")
        if on_base_rows:
            if base_rows.binding:
                problems += _all_unmet(base_contract.metrics, on_base_rows.metrics, ON_BASE_ROWS)
            note += f"; {_on_base_rows(on_base_rows, base_contract)}"
        if problems:
            misnamed = unevaluated(by_project, evaluated)
            files = (file, FILE_NAME) if changes or misnamed else (file,)
            reason = "; ".join(dict.fromkeys(problems)) + note
            return failed(reason, *files, fix=NAMES if misnamed else "", evidence=evidence)
        shown = ", ".join(
            f"{metric.name} {format_number(judged[metric.name])} ({format_gate(metric)})"
            for metric in base_contract.metrics
        )
        return passed(shown + _otherwise(base_contract, judged, evaluated) + note, evidence)


def gates(base_contract: Contract, contract: Contract) -> list[Metric]:
    """The base branch's metrics, and those whose gate this contract adds or changes: both must be met."""
    in_base = [(_gate(metric), _target(metric, base_contract)) for metric in base_contract.metrics]
    own = [metric for metric in contract.metrics if (_gate(metric), _target(metric, contract)) not in in_base]
    return [*base_contract.metrics, *own]


def judged_changes(base_contract: Contract, contract: Contract) -> list[str]:
    """Changed keys that decide about metrics, with those of the outputs that the checker measures."""
    changes = compare_contracts(base_contract, contract)
    measured = {
        metric.output
        for served in (base_contract, contract)
        for metric in measured_metrics(base_contract, served.signals)
    }
    keys = tuple(f"signals.outputs.{output}.{key} " for output in measured for key in ("target", "high"))
    return [*changes.lines(*JUDGED), *(line for line in changes.lines("signals.outputs") if line.startswith(keys))]


def unevaluated(metrics: Iterable[Metric], values: Mapping[str, object]) -> list[str]:
    """Names of the contract that the evaluation does not write."""
    return [metric.name for metric in metrics if metric.name not in values]


def _gate(metric: Metric) -> dict[str, Any]:
    return metric.model_dump(mode="json", include={"name", *GATE})


def _target(metric: Metric, contract: Contract) -> str | None:
    """What a measure compares with; None of a metric of the project's own."""
    of_checker = (measured for measured in measured_metrics(contract, contract.signals) if measured.name == metric.name)
    return next((measured.target for measured in of_checker), None)


def join_columns(columns: Sequence[str]) -> str:
    return " and ".join(columns)


def format_gate(metric: Metric, gate: float | None = None) -> str:
    """Such as `at least 0.95`."""
    return f"at {'least' if metric.better == 'higher' else 'most'} {metric.gate if gate is None else gate:g}"


def _row(metric: Metric, value: float | None) -> Gate:
    met = value is not None and metric.met(value)
    by = "checker" if metric.measure else "project"
    return Gate(name=metric.name, value=value, gate=metric.gate, better=metric.better, met=met, by=by)


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
        if name in evaluated and not base_contract.evaluation.agree(evaluated[name], judged[name])
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
