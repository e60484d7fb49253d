"""PRF001: the committed metrics pass their gates; and which gates a pull request changes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from beampermit.contract import FILE_NAME, Contract, Metric
from beampermit.errors import BadInput
from beampermit.interlocks.interlock import Finding, Interlock, failed, passed
from beampermit.models.metrics import read_metrics, said
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
        changed, rules = gates_changed(base_contract, contract), rules_changed(base_contract, contract)
        note = _note(changed, rules)
        try:
            metrics = read_metrics(project.path(file), file)
        except BadInput as error:
            where = Location(file=file, line=error.line)
            return failed(f"{error}{note}", where, gates_changed=changed, rules_changed=rules)
        asked = gates(base_contract, contract)
        rows = [_row(metric, metrics.get(metric.name)) for metric in asked]
        evidence = {
            "metrics": rows,
            "gates_changed": changed,
            "rules_changed": rules,
            "judged_by": project.base or "this contract",
        }
        problems = [words for metric in asked if (words := _unmet(metric, metrics.get(metric.name)))]
        if problems:
            places = (file, FILE_NAME) if changed else (file,)
            return failed("; ".join(dict.fromkeys(problems)) + note, *places, **evidence)
        values = ", ".join(
            f"{metric.name} {said(metrics[metric.name])} ({asks(metric)})" for metric in base_contract.metrics
        )
        return passed(values + note, **evidence)


def gates_changed(base: Contract, here: Contract) -> list[dict[str, Any]]:
    """Metrics whose gate, direction or margin a pull request changes: name, kind of change, and both sides."""
    before = {metric.name: metric for metric in base.metrics}
    after = {metric.name: metric for metric in here.metrics}
    found: list[dict[str, Any]] = []
    for name in [*before, *(name for name in after if name not in before)]:
        old, new = _sides(before.get(name)), _sides(after.get(name))
        if old != new:
            change = "added" if old is None else "removed" if new is None else "changed"
            found.append({"metric": name, "change": change, "base": old, "here": new})
    return found


def _sides(metric: Metric | None) -> dict[str, Any] | None:
    return metric and metric.model_dump(mode="json", include=set(GATE))


def gates(base_contract: Contract, here: Contract) -> list[Metric]:
    """The base branch's gates, and those that this contract adds or changes: a promise of one's own must hold too."""
    known = [(metric.name, _sides(metric)) for metric in base_contract.metrics]
    return [*base_contract.metrics, *(metric for metric in here.metrics if (metric.name, _sides(metric)) not in known)]


def rules_changed(base: Contract, here: Contract) -> list[dict[str, Any]]:
    """What else of the judging a pull request changes: keys of `evaluation` and `reproducibility`, and both sides."""
    found: list[dict[str, Any]] = []
    for part in ("evaluation", "reproducibility"):
        old, new = (getattr(contract, part).model_dump(mode="json") for contract in (base, here))
        found += [{"key": f"{part}.{key}", "base": old[key], "here": new[key]} for key in old if old[key] != new[key]]
    return found


def _note(gates: list[dict[str, Any]], rules: list[dict[str, Any]]) -> str:
    """` (gates changed in this pull request: auc 0.95 -> 0.9; the base branch's count)`, and other rules."""
    words: list[str] = []
    if gates:
        changes = ", ".join(f"{item['metric']} {_change(item)}" for item in gates)
        words.append(f"gates changed in this pull request: {changes}; the base branch's count")
    if rules:
        words.append(f"also changed here: {', '.join(item['key'] for item in rules)}")
    return f" ({'; '.join(words)})" if words else ""


def _change(item: dict[str, Any]) -> str:
    if item["change"] != "changed":
        return item["change"]
    keys = [key for key in GATE if item["base"][key] != item["here"][key]]
    return " and ".join(f"{key} {_plain(item['base'][key])} -> {_plain(item['here'][key])}" for key in keys)


def _plain(value: Any) -> str:
    if isinstance(value, list):
        return " ".join(f"{_by(group['by'])} {group['gate']:g}" for group in value) or "none"
    return f"{value:g}" if isinstance(value, float) else str(value)


def _by(columns: str | list[str]) -> str:
    return columns if isinstance(columns, str) else crossed(columns)


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
    return "" if metric.met(value) else f"{metric.name} is {said(value, metric.gate)}, the gate asks for {asks(metric)}"
