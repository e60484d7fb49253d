"""REP: what is committed can be made again."""

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

TOLD = 3
"""Metrics that a reason names."""


@provides
def evaluated(project: Project, contract: Contract, environment: Environment, examined: Examined) -> dict[str, float]:
    """The metrics of the saved model as evaluation gives them now, outside the work tree."""
    from beampermit.models.evaluation import evaluate

    return evaluate(environment, project.root, contract, examined.scores)


@provides
def retrained(project: Project, contract: Contract, base_contract: Contract, environment: Environment) -> Reproduction:  # noqa: ARG001 - a broken contract is reported, not trained
    """The model of the work tree trained again; with each of the seeds where those are due."""
    from beampermit.reproduction.preparation import commit_of_work_tree
    from beampermit.reproduction.reproduce import reproduce

    rules = base_contract.reproducibility
    seeds = rules.seeds if project.merged or rules.spread == "pull-request" else ()
    return reproduce(project, base_contract, commit_of_work_tree(project.git), lambda _: environment, seeds=seeds)


class REP001(Interlock):
    "Trained again from the same commit and lock, the model is the same"

    requires = frozenset({"ENV005", "MDL002"})
    slow = True
    put_off_by = "retrain"

    def check(self, contract: Contract, retrained: Reproduction) -> Finding:
        """What is committed was not made by this commit, or cannot be made again. Run `beampermit reproduce`: it says
        which, and what tells. Different data or code: run `dvc repro`, then `dvc push`, and commit `dvc.lock`. A
        training that does not repeat itself lacks a seed; one that is stuck wants another start or learning rate."""
        found = retrained.diagnosis
        if found.kind.sound:
            return passed(found.text, **retrained.as_json())
        file = "dvc.lock" if retrained.compared is None else contract.evaluation.metrics
        return failed(found.text, file, **retrained.as_json())


class REP002(Interlock):
    "The metrics spread over seeds within tolerance"

    requires = frozenset({"ENV005", "MDL002"})
    slow = True
    put_off_by = "spread"

    def check(self, contract: Contract, retrained: Reproduction) -> Finding:
        """How good the model is hangs on the seed. Run `beampermit reproduce --seeds all` to see each; give the
        training a better start, a smaller learning rate or more epochs, then run `dvc repro`."""
        found = retrained.spread
        if found is None:
            return skipped(f"nothing was trained: {retrained.diagnosis.text}")
        evidence = found.model_dump(mode="json")
        seeds = len(found.metrics[0].values)
        if found.within:
            words = ", ".join(metric.text for metric in found.metrics)
            return passed(f"{seeds} seeds: {words}; {found.tolerance:g} allowed", **evidence)
        wide = [metric.text for metric in found.metrics if not metric.within]
        reason = f"{', '.join(wide)} over {seeds} seeds, more than {found.tolerance:g} apart"
        return failed("; ".join((reason, *found.because)), contract.evaluation.metrics, **evidence)


class REP003(Interlock):
    "Committed metrics are what evaluation gives now"

    requires = frozenset({"ENV005", "MDL002"})
    slow = True

    def check(
        self, project: Project, contract: Contract, base_contract: Contract, evaluated: dict[str, float]
    ) -> Finding:
        """The numbers in git are not those of the saved model. Run `dvc repro` and commit the metrics with `dvc.lock`;
        never edit them by hand."""
        file = contract.evaluation.metrics
        try:
            committed = read_metrics(project.path(file), file)
        except BadInput as error:
            return failed(error.message, Location(file=file, line=error.line))
        tolerance = base_contract.reproducibility.metric_tolerance
        problems = [
            words
            for name in sorted(committed.keys() | evaluated.keys())
            if (words := _difference(name, committed.get(name), evaluated.get(name), tolerance))
        ]
        evidence = {"tolerance": tolerance, "committed": committed, "evaluated": evaluated}
        if problems:
            return failed(several(problems, TOLD), file, **evidence)
        largest = max(abs(committed[name] - evaluated[name]) for name in committed)
        return passed(
            f"{len(committed)} metrics evaluated again differ by {format_number(largest)} at most, {tolerance:g} allowed",
            **evidence,
        )


def _difference(name: str, committed: float | None, evaluated: float | None, tolerance: float) -> str:
    """How a metric differs by more than `tolerance`: absolute, and relative where the numbers are larger than one."""
    if committed is None:
        return f"{name} is {format_number(evaluated or 0.0)} by evaluation and not committed"
    if evaluated is None:
        return f"{name} is committed as {format_number(committed)} and evaluation does not give it"
    if abs(committed - evaluated) <= tolerance * max(1.0, abs(committed), abs(evaluated)):
        return ""
    here, now = format_number(committed, evaluated), format_number(evaluated, committed)
    return f"{name} is committed as {here} and evaluates to {now}, more than {tolerance:g} apart"
