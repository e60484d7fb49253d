"""A project with results on `main`, and a branch that changes a little of everything."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from beampermit.project import Project
from support.planted_results import LOCK, METRICS, PLOTS, commit, write


@pytest.fixture
def results(project: Project, git: Callable[..., str]) -> Project:
    """The project with metrics, plots, parameters and a `dvc.lock`, all committed on `main`."""
    write(project, "metrics/metrics.json", METRICS)
    write(project, "metrics/plots.json", PLOTS)
    (project.root / "params.yaml").write_text("train: {epochs: 20, learning_rate: 0.001}\n")
    (project.root / "dvc.lock").write_text(LOCK % "aaaa")
    commit(git, "Results")
    return project


@pytest.fixture
def branch(results: Project, git: Callable[..., str], contract_text: str) -> Project:
    """A pull request: a better model from other data and parameters, a lower gate, a changed workflow."""
    git("checkout", "--quiet", "-b", "better")
    write(results, "metrics/metrics.json", METRICS | {"auc": 0.9845, "false_alarm_rate": 0.035})
    (results.root / "params.yaml").write_text("train: {epochs: 40, learning_rate: 0.001}\n")
    (results.root / "dvc.lock").write_text(LOCK % "cccc")
    (results.root / "contract.yaml").write_text(
        contract_text.replace("gate: 0.95", "gate: 0.9").replace("Ada Operator", "Ada Physicist")
    )
    workflow = results.root / ".github/workflows/pull-request.yml"
    workflow.parent.mkdir(parents=True)
    workflow.write_text("name: x\n")
    commit(git, "Better")
    return Project(results.root, "main")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Where verdicts are put."""
    return tmp_path / "verdicts"
