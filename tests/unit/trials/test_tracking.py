"""Each trial is a run of MLflow, below that of its study; without MLflow the study goes on, and nothing is lost."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from beampermit.errors import BadInput
from beampermit.progress import silent
from beampermit.project import Project
from beampermit.trials.session import Session, run_study, text
from beampermit.trials.settings import FILE
from beampermit.trials.tracking import tracking_uri
from support.dvc_repositories import replace
from support.registry_project import database
from support.searched_project import resources

__all__ = ["database"]


def search(project: Project, tmp_path: Path, trials: int) -> Session:
    return run_study(Project(project.root), trials, resources(tmp_path), silent)


def test_runs_have_all_of_a_trial_and_those_that_are_missing_are_written_by_the_next_run(
    searched: Project, tmp_path: Path, database: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from mlflow import MlflowClient

    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://ada:hunter2@127.0.0.1:1")
    replace(searched.root / FILE, "does: nothing", "does: fail below")
    down = search(searched, tmp_path, 3)
    assert len(down.study.trials) == 3
    assert "refused" in down.problem
    assert "MLflow (http://127.0.0.1:1) lacks runs, which the next run writes: " in text(down)
    assert "hunter2" not in text(down)

    uri = f"sqlite:///{shutil.copy(database, tmp_path)}"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    done = search(searched, tmp_path, 4)
    assert (done.problem, done.counts.ended) == ("", 1)
    client = MlflowClient(tracking_uri=uri)
    experiment = client.get_experiment_by_name("bpm-faults-trials")
    assert experiment is not None
    found = client.search_runs([experiment.experiment_id])
    (parent,) = (run for run in found if run.data.tags.get("beampermit.kind") == "study")
    assert (parent.info.run_name, parent.info.status) == (done.study.name, "FINISHED")
    assert parent.data.tags["beampermit.code"] == done.study.bound.code
    assert parent.data.tags["beampermit.data.data/dataset/train.parquet"]
    runs = {run.data.tags.get("beampermit.trial"): run for run in found}
    for trial in done.study.trials:
        run = runs[str(trial.number)]
        assert run.data.tags["mlflow.parentRunId"] == parent.info.run_id
        assert run.data.tags["mlflow.source.git.commit"] == searched.git.head()
        assert run.data.params == {name: str(value) for name, value in trial.params.items()}
        assert run.data.tags["beampermit.machine"]
        assert run.data.metrics["seconds"] == trial.seconds
        if trial.values:
            assert run.info.status == "FINISHED"
            assert run.data.metrics["auc"] == pytest.approx(trial.metrics["auc"])
            history = client.get_metric_history(run.info.run_id, "validation_loss")
            assert [(one.step, one.value) for one in history] == [(row[0], row[2]) for row in trial.curve]
        else:
            assert run.info.status == "FAILED"
            assert "the beam was lost" in run.data.tags["beampermit.reason"]
    assert {run.info.status for run in found} == {"FINISHED", "FAILED"}

    # A writer that was killed left a run that is not finished, and one is gone: both are made whole, none is twice.
    client.delete_run(runs["0"].info.run_id)
    client.update_run(runs["1"].info.run_id, status="RUNNING")
    (searched.root / ".beampermit/trials/recorded.json").unlink()
    assert search(searched, tmp_path, 4).problem == ""
    again = client.search_runs([experiment.experiment_id])
    assert sorted(run.data.tags.get("beampermit.trial", "") for run in again) == ["", "0", "1", "2", "3"]
    assert {run.info.status for run in again} == {"FINISHED", "FAILED"}


def test_without_an_address_the_runs_are_beside_the_studies(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    assert tracking_uri(tmp_path) == f"sqlite:///{tmp_path}/mlflow.db"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "runs")
    with pytest.raises(BadInput, match="MLFLOW_TRACKING_URI is 'runs', which is not the address of a registry"):
        tracking_uri(tmp_path)
