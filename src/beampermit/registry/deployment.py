"""The test deployment: the challenger as the registry gives it out, loaded in a clean process, judged once more."""

from __future__ import annotations

import tempfile
from pathlib import Path

from beampermit import probe
from beampermit.digest import digest_file
from beampermit.environments import Environment
from beampermit.errors import BadInput, Tripped
from beampermit.metrics import said
from beampermit.permit.statement import Statement
from beampermit.project import Project


def deploy(project: Project, environment: Environment, permit: Statement, model: Path) -> None:
    """Replay the recorded inputs through the saved model in `model` and compare with what the permit says of it.

    Raises `Tripped` when the model does not load, or a metric is not the one that was judged; `BadInput` where the
    recorded inputs are not here.
    """
    contract = project.contract
    _same_inputs(project, permit, contract.evaluation.inputs)
    columns = [signal.name for signal in contract.signals.inputs]
    with tempfile.TemporaryDirectory(prefix="beampermit-") as scratch:
        scores = Path(scratch, "scores.parquet")
        probe.score(environment, model, project.path(contract.evaluation.inputs), scores, columns)
        found = probe.evaluate(environment, project.root, contract, scores)
    for metric in contract.metrics:
        judged, now = permit.predicate.metrics.get(metric.name), found.get(metric.name)
        if judged is None or now is None or abs(now - judged) > contract.reproducibility.metric_tolerance:
            raise Tripped(
                f"as deployed, {metric.name} is {_said(now)}; the permit says {_said(judged)}",
                hint="beampermit check REP PRF",
            )


def _same_inputs(project: Project, permit: Statement, inputs: str) -> None:
    if not project.path(inputs).is_file():
        raise BadInput("the recorded inputs are not here", file=inputs, hint="beampermit data pull")
    if digest_file(project.path(inputs)) != permit.predicate.dataset.get(inputs):
        raise Tripped("these are not the inputs that the permit binds", file=inputs, hint="beampermit data pull")


def _said(value: float | None) -> str:
    return "missing" if value is None else said(value)
