"""REP: the committed model and its metrics can be reproduced."""

from __future__ import annotations

from beampermit.contract import Contract
from beampermit.environments import Environment
from beampermit.errors import BadInput, several
from beampermit.interlocks.inputs import provides
from beampermit.interlocks.interlock import Finding, Interlock, failed, passed, skipped
from beampermit.interlocks.model import Examined
from beampermit.models.metrics import format_number, read_metrics
from beampermit.project import Project
from beampermit.reproduction.reproduce import Reproduction
from beampermit.verdicts.verdict import Location

IN_REASON = 3
"""Metrics in a reason."""


@provides
def evaluated(project: Project, contract: Contract, environment: Environment, examined: Examined) -> dict[str, float]:
    """The metrics of the saved model, evaluated now and outside the work tree."""
    from beampermit.models.evaluation import evaluate

    return evaluate(environment, project.root, contract, examined.scores)


@provides
def retrained(project: Project, contract: Contract, base_contract: Contract, environment: Environment) -> Reproduction:  # noqa: ARG001 - a broken contract is reported, not trained
    """The model of the work tree trained again, and with each of `reproducibility.seeds` where those are due."""
    from beampermit.reproduction.preparation import commit_of_work_tree
    from beampermit.reproduction.reproduce import reproduce

    rules = base_contract.reproducibility
    seeds = rules.seeds if project.merged or rules.spread == "pull-request" else ()
    return reproduce(project, base_contract, commit_of_work_tree(project.git), lambda _: environment, seeds=seeds)


class REP001(Interlock):
    "Training the same commit and lock again gives the same model"

    requires = frozenset({"ENV005", "MDL002"})
    slow = True
    put_off_by = "retrain"

    def check(self, contract: Contract, retrained: Reproduction) -> Finding:
        """Run `beampermit reproduce` to see what differs. If data or code changed, run `dvc repro`, then `dvc push`,
        and commit `dvc.lock`. If two trainings with one seed differ, set every random seed and use deterministic
        operations. If a training is stuck, change its initialization or learning rate."""
        diagnosis = retrained.diagnosis
        if diagnosis.kind.sound:
            return passed(diagnosis.text, **retrained.as_json())
        file = "dvc.lock" if retrained.compared is None else contract.evaluation.metrics
        return failed(diagnosis.text, file, **retrained.as_json())


class REP002(Interlock):
    "Metrics vary between seeds by less than the tolerance"

    requires = frozenset({"ENV005", "MDL002"})
    slow = True
    put_off_by = "spread"

    def check(self, contract: Contract, retrained: Reproduction) -> Finding:
        """The quality of the model depends on the random seed. Run `beampermit reproduce --seeds all` to see the
        metrics of each. Improve the initialization, lower the learning rate or train longer, then run `dvc repro`."""
        spread = retrained.spread
        if spread is None:
            return skipped(f"nothing was trained: {retrained.diagnosis.text}")
        evidence = spread.model_dump(mode="json")
        seeds = len(spread.metrics[0].values)
        if spread.within:
            metrics = ", ".join(metric.text for metric in spread.metrics)
            return passed(f"{seeds} seeds: {metrics}; tolerance {spread.tolerance:g}", **evidence)
        wide = [metric.text for metric in spread.metrics if not metric.within]
        reason = f"{', '.join(wide)} over {seeds} seeds, more than {spread.tolerance:g} apart"
        return failed("; ".join((reason, *spread.because)), contract.evaluation.metrics, **evidence)


class REP003(Interlock):
    "Evaluating the saved model gives the committed metrics"

    requires = frozenset({"ENV005", "MDL002"})
    slow = True

    def check(
        self, project: Project, contract: Contract, base_contract: Contract, evaluated: dict[str, float]
    ) -> Finding:
        """The metrics in git belong to another model, or were edited. Run `dvc repro` and commit the metrics together
        with `dvc.lock`."""
        file = contract.evaluation.metrics
        try:
            committed = read_metrics(project.path(file), file)
        except BadInput as error:
            return failed(error.message, Location(file=file, line=error.line))
        tolerance = base_contract.reproducibility.metric_tolerance
        problems = [
            difference
            for name in sorted(committed.keys() | evaluated.keys())
            if (difference := _difference(name, committed.get(name), evaluated.get(name), tolerance))
        ]
        evidence = {"tolerance": tolerance, "committed": committed, "evaluated": evaluated}
        if problems:
            return failed(several(problems, IN_REASON), file, **evidence)
        largest = max(abs(committed[name] - evaluated[name]) for name in committed)
        reason = f"{len(committed)} metrics evaluated again differ by at most {format_number(largest)}"
        return passed(f"{reason}, tolerance {tolerance:g}", **evidence)


def _difference(name: str, committed: float | None, evaluated: float | None, tolerance: float) -> str:
    """How a metric differs by more than `tolerance`: absolute, or relative to numbers larger than one; else empty."""
    if committed is None:
        return f"{name} evaluates to {format_number(evaluated or 0.0)} and is not committed"
    if evaluated is None:
        return f"{name} is committed as {format_number(committed)}, and evaluation does not give it"
    if abs(committed - evaluated) <= tolerance * max(1.0, abs(committed), abs(evaluated)):
        return ""
    before, now = format_number(committed, evaluated), format_number(evaluated, committed)
    return f"{name} is committed as {before} and evaluates to {now}, more than {tolerance:g} apart"
