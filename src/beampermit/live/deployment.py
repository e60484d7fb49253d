"""The test deployment: the challenger, downloaded from the registry and loaded in a clean process, is judged again."""

from __future__ import annotations

import tempfile
from pathlib import Path

from beampermit.contract import Contract
from beampermit.datasets.pull import PULL, absence
from beampermit.digest import digest_file
from beampermit.environments import Environment
from beampermit.errors import Failed
from beampermit.models import scoring
from beampermit.models.evaluation import Evaluator
from beampermit.models.metrics import format_number
from beampermit.models.replay import compare_scores
from beampermit.permit.statement import Statement
from beampermit.project import Project


def deploy(project: Project, environment: Environment, permit: Statement, model: Path) -> None:
    """Replay the recorded inputs through the model in folder `model`.

    Raises `Failed` where the model does not load, a score differs from training, a metric differs from the permit, or a
    prediction exceeds the budget; `BadInput` where the recorded inputs or scores are missing.
    """
    contract = project.contract
    inputs, recorded = contract.evaluation.inputs, contract.evaluation.scores
    for file in (inputs, recorded):
        if file is not None:
            _require_same_bytes(project, permit, file)
    with tempfile.TemporaryDirectory(prefix="beampermit-") as scratch:
        scores = Path(scratch, "scores.parquet")
        scored = scoring.score(environment, model, project.path(inputs), scores, contract.signals)
        if recorded is not None:
            _compare_scores(scores, project.path(recorded), contract)
        metrics = Evaluator.of(environment, project.root, contract, project.path(inputs)).evaluate(scores)
    _compare_metrics(permit.predicate.metrics, metrics, contract)
    _require_within_budget(scored, contract)


def _require_same_bytes(project: Project, permit: Statement, file: str) -> None:
    if not project.path(file).is_file():
        raise absence(project, file, "this file of recorded inputs or scores is missing")
    if digest_file(project.path(file)) != permit.predicate.dataset.get(file):
        raise Failed("this file differs from the one that the permit binds", file=file, hint=PULL)


def _compare_scores(scores: Path, recorded: Path, contract: Contract) -> None:
    problem = compare_scores(scores, recorded, contract.signals.outputs).problem
    if problem:
        raise Failed(f"as deployed, {problem}", hint="beampermit check MDL005")


def _compare_metrics(judged: dict[str, float], deployed: dict[str, float], contract: Contract) -> None:
    for metric in contract.metrics:
        expected, value = judged.get(metric.name), deployed.get(metric.name)
        if expected is None or value is None or not contract.evaluation.agree(value, expected):
            raise Failed(
                f"as deployed, {metric.name} is {_format(value)}; the permit says {_format(expected)}",
                hint="beampermit check REP PRF",
            )


def _require_within_budget(scored: scoring.Scores, contract: Contract) -> None:
    problems = scored.over_budget(contract.budget)
    if problems:
        raise Failed(f"as deployed, {problems[0]}", hint="beampermit check MDL004")


def _format(value: float | None) -> str:
    return "missing" if value is None else format_number(value)
