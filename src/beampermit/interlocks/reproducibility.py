"""REP: the committed model and its metrics can be reproduced."""

from __future__ import annotations

import tempfile
from typing import TYPE_CHECKING

from beampermit.contract import FILE_NAME, Contract, Metric
from beampermit.contract.judging import SAME, Evaluation
from beampermit.contract.tolerance import allowed, in_words
from beampermit.environments import Environment
from beampermit.errors import BadInput, Failed, counted, several
from beampermit.interlocks.inputs import provides
from beampermit.interlocks.interlock import PROJECT_CODE, Finding, Interlock, each, failed, passed, skipped
from beampermit.interlocks.model import Evaluators, Examined
from beampermit.models.metrics import format_number, read_project_metrics
from beampermit.progress import silent
from beampermit.project import Project
from beampermit.reproduction.reproduce import Reproduction
from beampermit.verdicts.verdict import Location

if TYPE_CHECKING:
    from beampermit.trials.cross_validation import CrossValidation, Spread

IN_REASON = 3
"""Metrics in a reason."""


@provides
def evaluated(evaluators: Evaluators, examined: Examined) -> dict[str, float]:
    """The metrics of the saved model, evaluated now by the work tree's code, outside the work tree."""
    return evaluators.own.evaluate(examined.unchanged_scores())


@provides
def retrained(project: Project, contract: Contract, base_contract: Contract, environment: Environment) -> Reproduction:  # noqa: ARG001 - a broken contract is reported, not trained
    """The model of the work tree trained again, and with each of `reproducibility.seeds` where those are due."""
    from beampermit.reproduction.reproduce import reproduce
    from beampermit.reproduction.tree import commit_of_work_tree

    rules = base_contract.reproducibility
    seeds = rules.seeds if project.merged or rules.spread == "pull-request" else ()
    with project.apart() as apart:
        return reproduce(apart, base_contract, commit_of_work_tree(apart.git), lambda _: environment, seeds=seeds)


class REP001(Interlock):
    "The stages, run again, give the same data, model and plots"

    requires = frozenset({"ENV005", "MDL002"})
    decided_by = PROJECT_CODE
    put_off_by = "retrain"

    def check(self, contract: Contract, retrained: Reproduction) -> Finding:
        """Run `beampermit reproduce` to see what differs. If data, code or results changed, run `dvc repro`, then
        `dvc push`, and commit `dvc.lock` with the files in git. Training must not read the test split: let a later
        stage evaluate. If two trainings with one seed differ, set every random seed and use deterministic operations.
        If a training is stuck, change its initialization or learning rate."""
        diagnosis = retrained.diagnosis
        if diagnosis.kind.sound:
            return passed("; ".join((diagnosis.text, *retrained.notes)), **retrained.as_json())
        file = diagnosis.file or ("dvc.lock" if retrained.compared is None else contract.evaluation.metrics)
        return failed(diagnosis.text, *each(diagnosis.because, file), **retrained.as_json())


class REP002(Interlock):
    "Metrics vary between seeds by less than the tolerance"

    requires = frozenset({"ENV005", "MDL002"})
    decided_by = PROJECT_CODE
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
            metrics = ", ".join(f"{metric.text} ({metric.allowed} allowed)" for metric in spread.metrics)
            return passed(f"{seeds} seeds: {metrics}", **evidence)
        wide = [f"{metric.text}, {metric.allowed} allowed" for metric in spread.metrics if not metric.within]
        reason = f"over {seeds} seeds: {'; '.join(wide)}"
        return failed("; ".join((reason, *spread.because)), contract.evaluation.metrics, **evidence)


class REP003(Interlock):
    "Evaluating the saved model gives the committed metrics"

    requires = frozenset({"ENV005", "MDL002"})
    decided_by = PROJECT_CODE

    def check(
        self, project: Project, contract: Contract, base_contract: Contract, evaluated: dict[str, float]
    ) -> Finding:
        """The metrics in git belong to another model, or were edited. Run `dvc repro` and commit the metrics together
        with `dvc.lock`. Where the checker computes a metric (`measure`) and the project's code writes another number of
        this name, correct the code, or let it use another name. If two evaluations of one model differ, say why and how
        far under `evaluation.tolerance` in `contract.yaml`, in a separate pull request."""
        file = contract.evaluation.metrics
        measured = {metric.name for metric in contract.metrics if metric.measure}
        try:
            committed = read_project_metrics(project.path(file), file, contract.metrics)
        except BadInput as error:
            return failed(error.message, Location(file=file, line=error.line))
        if evaluated.keys() <= measured and not committed:
            return passed(f"the checker computes every metric: {', '.join(sorted(measured))}")
        rules = base_contract.evaluation
        problems = [
            difference
            for name in sorted(committed.keys() | (evaluated.keys() - measured))
            if (difference := _difference(name, committed.get(name), evaluated.get(name), rules))
        ]
        tolerance = rules.tolerance.relative if rules.tolerance else SAME
        evidence = {"tolerance": tolerance, "committed": committed, "evaluated": evaluated}
        if problems:
            return failed(several(problems, IN_REASON), *each(problems, file), **evidence)
        largest = max(abs(committed[name] - evaluated[name]) for name in committed)
        because = f", because of this: {rules.tolerance.because}" if rules.tolerance else ""
        reason = f"{counted(len(committed), 'metric')} evaluated again: at most {format_number(largest)} apart"
        return passed(f"{reason}; {tolerance:g} of each is allowed{because}", **evidence)


def _difference(name: str, committed: float | None, evaluated: float | None, rules: Evaluation) -> str:
    """How a metric differs by more than two evaluations of the same model may; else empty."""
    if committed is None:
        return f"{name} evaluates to {format_number(evaluated or 0.0)} and is not committed"
    if evaluated is None:
        return f"{name} is committed as {format_number(committed)}, and evaluation does not give it"
    if rules.agree(committed, evaluated):
        return ""
    before, now = format_number(committed, evaluated), format_number(evaluated, committed)
    relative = rules.tolerance.relative if rules.tolerance else SAME
    return f"{name} is committed as {before} and evaluates to {now}, more than {relative:g} of it apart"


@provides
def validated(project: Project, contract: Contract, base_contract: Contract) -> CrossValidation | None:
    """The model of the work tree fitted on each fold of `reproducibility.folds`; None where the contract has none.

    Here and now: units that an earlier command kept lie where the project's own code could write them.
    """
    from beampermit.compute.local import gpus_here
    from beampermit.compute.resources import Resources
    from beampermit.trials.cross_validation import AGAIN, cross_validate

    folds = base_contract.reproducibility.folds
    if folds is None:
        return None
    gpus = int("cuda" in contract.environment.accelerators and bool(gpus_here()))
    with project.apart() as apart, tempfile.TemporaryDirectory(prefix="beampermit-folds-") as work:
        place = Resources(work=work, gpus=gpus)
        try:
            return cross_validate(apart, folds.count, folds.by, place, silent, rules=base_contract)
        except BadInput as error:  # its hint is about options of the command
            raise Failed(error.message, file=error.file or FILE_NAME, line=error.line) from None
        except Failed as error:
            hint = "" if error.hint == AGAIN else error.hint
            raise Failed(error.message, file=error.file, line=error.line, hint=hint) from None


class REP004(Interlock):
    "Cross-validation was done, and scores vary within tolerance"

    requires = frozenset({"ENV005", "MDL002"})
    decided_by = PROJECT_CODE
    put_off_by = "folds.at"

    def check(self, base_contract: Contract, validated: CrossValidation | None) -> Finding:
        """Run `beampermit validate` to see each fold's metrics, and the rows that no fold holds out. Where a fold is
        much worse, look at what is special in its groups or its time, and request more data of this kind. What is wrong
        with the folds themselves, such as fewer groups than folds, is corrected in `reproducibility.folds`."""
        if validated is None:
            return passed("the contract asks for no cross-validation: it has no reproducibility.folds")
        count = len(validated.folds)
        problems = [
            problem
            for metric in base_contract.metrics
            if metric.fold_tolerance is not None
            and (problem := _too_wide(metric, metric.fold_tolerance, validated.metrics.get(metric.name), count))
        ]
        evidence = validated.model_dump(mode="json")
        where = f"{count} folds by {validated.by}"
        if problems:
            return failed(f"{where}: {several(problems, IN_REASON)}", *each(problems, FILE_NAME), **evidence)
        said = [_fold_text(metric, validated.metrics.get(metric.name), count) for metric in base_contract.metrics]
        left = f"; {validated.never_held_out} of {validated.rows} rows are never held out"
        return passed(f"{where}: {', '.join(said)}{left if validated.never_held_out else ''}", **evidence)


def _too_wide(metric: Metric, tolerance: float | str, spread: Spread | None, folds: int) -> str:
    if spread is None or spread.folds < folds:
        return f"{metric.name} is defined in {spread.folds if spread else 0} of {folds} folds, which cannot be compared"
    scale = max(abs(spread.low), abs(spread.high))
    if spread.high - spread.low <= allowed(tolerance, scale):
        return ""
    low, high = format_number(spread.low, spread.high), format_number(spread.high, spread.low)
    return f"{metric.name} from {low} to {high}, {in_words(tolerance, scale)} allowed"


def _fold_text(metric: Metric, spread: Spread | None, folds: int) -> str:
    if spread is None:
        return f"{metric.name} is not measured"
    low, high = format_number(spread.low, spread.high), format_number(spread.high, spread.low)
    own = "" if metric.measure else " by the project's own code"
    return f"{metric.name} {low} to {high}{own}" + (f" in {spread.folds} folds" if spread.folds < folds else "")
