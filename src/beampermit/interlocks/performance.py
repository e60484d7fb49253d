"""PRF: the model is good enough, and not worse than the one in service."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

from beampermit.contract import FILE_NAME, Contract, Metric
from beampermit.digest import digest_folder
from beampermit.environments import Environment
from beampermit.errors import BadInput, Tripped
from beampermit.interlocks.inputs import provides
from beampermit.interlocks.interlock import Finding, Interlock, closed, tripped
from beampermit.metrics import read_metrics, said
from beampermit.project import Project
from beampermit.saved_model import SavedModel
from beampermit.verdict import Location

GATE = ("better", "gate", "champion_margin")
"""What of a metric decides."""


@provides
def champion(project: Project, judge: Contract) -> Any:
    """The ledger's event of the version in service; None where nothing was promoted. The base names the model."""
    from beampermit.registry.ledger import Ledger

    ledger = Ledger(project.git)
    ledger.fetch()
    return ledger.champion(judge.model.name)


class PRF001(Interlock):
    "Every gate is met, as the base branch's contract sets it"

    def check(self, project: Project, contract: Contract, judge: Contract) -> Finding:
        """The committed metrics do not pass. Make the model better and run `dvc repro`; a gate is changed in a pull
        request of its own, for it is the base branch's contract that judges."""
        file = contract.evaluation.metrics
        changed, rules = gates_changed(judge, contract), rules_changed(judge, contract)
        note = _note(changed, rules)
        try:
            metrics = read_metrics(project.path(file), file)
        except BadInput as error:
            where = Location(file=file, line=error.line)
            return tripped(f"{error}{note}", where, gates_changed=changed, rules_changed=rules)
        gates = _gates(judge, contract)
        rows = [_row(metric, metrics.get(metric.name)) for metric in gates]
        evidence = {
            "metrics": rows,
            "gates_changed": changed,
            "rules_changed": rules,
            "judged_by": project.base or "this contract",
        }
        problems = [words for metric in gates if (words := _unmet(metric, metrics.get(metric.name)))]
        if problems:
            places = (file, FILE_NAME) if changed else (file,)
            return tripped("; ".join(dict.fromkeys(problems)) + note, *places, **evidence)
        passed = ", ".join(f"{metric.name} {said(metrics[metric.name])} ({_asks(metric)})" for metric in judge.metrics)
        return closed(passed + note, **evidence)


class PRF002(Interlock):
    "Not worse than the champion, evaluated again on the same data"

    requires = frozenset({"ENV005", "MDL002"})
    slow = True

    def check(
        self,
        project: Project,
        contract: Contract,
        judge: Contract,
        environment: Environment,
        model: SavedModel,
        champion: Any,
        evaluated: dict[str, float],
    ) -> Finding:
        """The model in service does better on these data. Keep it, or make this one better and run `dvc repro`."""
        challenger = {"metrics": evaluated}
        if champion is None:
            return closed("no champion yet: nothing was promoted", champion=None, challenger=challenger)
        version = {"version": champion.version, "digest": champion.digest}
        if digest_folder(model.folder) == champion.digest:
            found = {**version, "metrics": evaluated}
            return closed(
                f"this model is the champion, version {champion.version}", champion=found, challenger=challenger
            )
        metrics = _evaluated_again(project, contract, environment, champion)
        evidence = {"champion": {**version, "metrics": metrics}, "challenger": challenger}
        pairs = [(metric, evaluated.get(metric.name), metrics.get(metric.name)) for metric in judge.metrics]
        if problems := [words for pair in pairs if (words := _worse(*pair, champion.version))]:
            return tripped("; ".join(problems), contract.evaluation.metrics, **evidence)
        compared = ", ".join(
            f"{metric.name} {_against(evaluated[metric.name], metrics[metric.name])}" for metric, *_ in pairs
        )
        return closed(f"not worse than version {champion.version}: {compared}", **evidence)


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
    return metric and {key: getattr(metric, key) for key in GATE}


def _gates(judge: Contract, here: Contract) -> list[Metric]:
    """The base branch's gates, and those that this contract adds or changes: a promise of one's own must hold too."""
    known = [(metric.name, _sides(metric)) for metric in judge.metrics]
    return [*judge.metrics, *(metric for metric in here.metrics if (metric.name, _sides(metric)) not in known)]


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
    return f"{value:g}" if isinstance(value, float) else str(value)


def _asks(metric: Metric) -> str:
    return f"at {'least' if metric.better == 'higher' else 'most'} {metric.gate:g}"


def _against(value: float, best: float) -> str:
    return f"{said(value, best)} against {said(best, value)}"


def _row(metric: Metric, value: float | None) -> dict[str, Any]:
    met = value is not None and metric.met(value)
    return {"name": metric.name, "value": value, "gate": metric.gate, "better": metric.better, "met": met}


def _unmet(metric: Metric, value: float | None) -> str:
    if value is None:
        return f"{metric.name} is not among the metrics"
    return (
        "" if metric.met(value) else f"{metric.name} is {said(value, metric.gate)}, the gate asks for {_asks(metric)}"
    )


def _worse(metric: Metric, value: float | None, best: float | None, version: int) -> str:
    if value is None or best is None:
        return f"{metric.name} is not among the metrics that evaluation gives"
    if metric.not_worse(value, best):
        return ""
    return (
        f"{metric.name} is {said(value, best)}, worse than the champion's {said(best, value)} (version {version}) "
        f"by more than {metric.champion_margin:g}"
    )


def _evaluated_again(project: Project, contract: Contract, environment: Environment, champion: Any) -> dict[str, float]:
    """The champion's own bytes, scored and evaluated as the challenger's were."""
    from beampermit import probe
    from beampermit.registry.mlflow import registry_uri
    from beampermit.registry.models import fetch

    folder = fetch(champion, project.own / "champion", registry_uri(project.root))
    columns = [signal.name for signal in contract.signals.inputs]
    try:
        with tempfile.TemporaryDirectory(prefix="beampermit-champion-") as scratch:
            scores = Path(scratch, "scores.parquet")
            probe.score(environment, folder, project.path(contract.evaluation.inputs), scores, columns)
            return probe.evaluate(environment, project.root, contract, scores)
    except Tripped as error:
        raise Tripped(f"the champion, version {champion.version}, cannot be evaluated on these data: {error}") from None
