"""The test deployment: the challenger, downloaded from the registry, is judged again, and asked as in service."""

from __future__ import annotations

import tempfile
from pathlib import Path

from beampermit.contract import Contract
from beampermit.datasets.devices import load_devices
from beampermit.datasets.pull import PULL, absence
from beampermit.digest import digest_file
from beampermit.environments import Environment
from beampermit.errors import Failed
from beampermit.live.process.loaded import loaded_model
from beampermit.live.recorded import RecordedRows
from beampermit.models import scoring
from beampermit.models.evaluation import Evaluator
from beampermit.models.metrics import format_number
from beampermit.models.replay import compare_scores
from beampermit.models.score_table import read_scores
from beampermit.permit.statement import Statement
from beampermit.project import Project


def deploy(project: Project, environment: Environment, permit: Statement, model: Path) -> None:
    """Replay the recorded inputs through the model in folder `model`.

    Raises `Failed` where the model does not load, a score differs from training, an answer in service would not be
    shown or differs from the score of its row, a metric differs from the permit, or a prediction exceeds the budget;
    `BadInput` where the recorded inputs or scores are missing.
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
        require_served(project, environment, model, scores)
        metrics = Evaluator.of(environment, project.root, contract, project.path(inputs)).evaluate(scores)
    _compare_metrics(permit.predicate.metrics, metrics, contract)
    _require_within_budget(scored, contract)


def require_served(project: Project, environment: Environment, model: Path, scores: Path) -> None:
    """Raises `Failed` where the service would show something else than these scores of the recorded inputs.

    Rows, answers and process are those of the service. Rows that it would not ask for are left out.
    """
    contract, signals = project.contract, project.contract.signals
    patterns = [signal.pv for signal in (*signals.inputs, *signals.outputs) if signal.pv]
    devices = len(load_devices(project.root, signals.devices, patterns).values)
    rows, answers = RecordedRows(contract, project.path(contract.evaluation.inputs)), read_scores(scores)
    judged = rows.judge()
    problem = rows.not_shown(judged, answers)
    if not problem:
        with loaded_model(environment, model, contract, devices) as served:
            problem = rows.differently_served(judged, answers, served, devices)
    if problem:
        raise Failed(f"as deployed, {problem}", hint="beampermit check MDL")


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
