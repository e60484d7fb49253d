"""The test deployment: the challenger as the registry gives it out, loaded in a clean process, judged once more."""

from __future__ import annotations

import tempfile
from pathlib import Path

from beampermit.contract import Contract
from beampermit.digest import digest_file
from beampermit.environments import Environment
from beampermit.errors import BadInput, Failed
from beampermit.models import evaluation, scoring
from beampermit.models.metrics import format_number
from beampermit.models.replay import compare_scores
from beampermit.permit.statement import Statement
from beampermit.project import Project


def deploy(project: Project, environment: Environment, permit: Statement, model: Path) -> None:
    """Replay the recorded inputs through the saved model in `model`: scores, metrics, time and memory are as judged.

    Raises `Failed` when the model does not load, a score is not the one that training gave, a metric is not the one
    that the permit names, or a prediction costs more than the budget; `BadInput` where the recorded inputs or scores
    are not here.
    """
    contract = project.contract
    inputs, recorded = contract.evaluation.inputs, contract.evaluation.scores
    for file in (inputs, recorded):
        if file is not None:
            _same_bytes(project, permit, file)
    columns = [signal.name for signal in contract.signals.inputs]
    with tempfile.TemporaryDirectory(prefix="beampermit-") as scratch:
        scores = Path(scratch, "scores.parquet")
        scored = scoring.score(environment, model, project.path(inputs), scores, columns)
        if recorded is not None:
            _same_scores(scores, project.path(recorded), contract.evaluation.score_tolerance)
        found = evaluation.evaluate(environment, project.root, contract, scores)
    _same_metrics(permit.predicate.metrics, found, contract)
    _within_budget(scored, contract)


def _same_bytes(project: Project, permit: Statement, file: str) -> None:
    if not project.path(file).is_file():
        raise BadInput("what the evaluation recorded is not here", file=file, hint="beampermit data pull")
    if digest_file(project.path(file)) != permit.predicate.dataset.get(file):
        raise Failed("these are not the bytes that the permit binds", file=file, hint="beampermit data pull")


def _same_scores(scores: Path, recorded: Path, tolerance: float) -> None:
    problem = compare_scores(scores, recorded, tolerance).problem
    if problem:
        raise Failed(f"as deployed, {problem}, more than {tolerance:g} apart", hint="beampermit check MDL005")


def _same_metrics(judged: dict[str, float], found: dict[str, float], contract: Contract) -> None:
    for metric in contract.metrics:
        then, now = judged.get(metric.name), found.get(metric.name)
        if then is None or now is None or abs(now - then) > contract.reproducibility.metric_tolerance:
            raise Failed(
                f"as deployed, {metric.name} is {_said(now)}; the permit says {_said(then)}",
                hint="beampermit check REP PRF",
            )


def _within_budget(scored: scoring.Scores, contract: Contract) -> None:
    problems = scored.over_budget(contract.budget)
    if problems:
        raise Failed(f"as deployed, {problems[0]}", hint="beampermit check MDL004")


def _said(value: float | None) -> str:
    return "missing" if value is None else format_number(value)
