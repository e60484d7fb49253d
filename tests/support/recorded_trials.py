"""What an MLflow has of a study, held against the study itself; and a study whose server is gone in the middle."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from beampermit.digest import digest_json
from beampermit.progress import silent
from beampermit.project import Project
from beampermit.trials.records import State, Study, Trial
from beampermit.trials.session import Session, run_study, text
from beampermit.trials.settings import FILE
from support.cut_way import way_to
from support.dvc_repositories import replace
from support.searched_project import resources

STATUS = {State.COMPLETE: "FINISHED", State.FAILED: "FAILED", State.PRUNED: "KILLED"}


def require_recorded(uri: str, study: Study) -> dict[int, str]:
    """Each trial of the study has one run with all that there is of it, below that of the study, and nothing else has;
    number -> id."""
    from mlflow import MlflowClient

    client = MlflowClient(tracking_uri=uri)
    experiment = client.get_experiment_by_name("bpm-faults-trials")
    assert experiment is not None
    found = client.search_runs(
        [experiment.experiment_id], f"tags.`beampermit.study` = '{study.name}'", order_by=["attributes.start_time ASC"]
    )
    (parent,) = (run for run in found if run.data.tags.get("beampermit.kind") == "study")
    assert (parent.info.run_name, parent.info.status) == (study.name, "FINISHED")
    digests = digests_of(study)
    assert digests.items() <= parent.data.tags.items()
    assert all(parent.data.tags[f"beampermit.data.{path}"] == md5 for path, md5 in study.bound.data.items())
    runs = {run.data.tags["beampermit.trial"]: run for run in found if run is not parent}
    assert len(runs) == len(found) - 1, "no trial is there twice"
    assert sorted(runs, key=int) == [str(trial.number) for trial in study.trials]
    for trial in study.trials:
        run = runs[str(trial.number)]
        assert run.data.tags["mlflow.parentRunId"] == parent.info.run_id
        assert run.data.tags["mlflow.source.git.commit"] == study.commit != ""
        assert digests.items() <= run.data.tags.items()
        assert run.data.tags["beampermit.unit"] == trial.unit
        _require_outcome(client, run, trial)
    return {int(number): run.info.run_id for number, run in runs.items()}


def digests_of(study: Study) -> dict[str, str]:
    """Tags of each run of a study."""
    bound = study.bound
    names = {"code": bound.code, "lock": bound.lock, "parameters": bound.parameters, "space": bound.space}
    return {f"beampermit.{name}": value for name, value in {**names, "data": digest_json(bound.data)}.items()}


def _require_outcome(client: Any, run: Any, trial: Trial) -> None:
    assert run.info.status == STATUS[trial.state]
    assert run.data.params == {name: str(value) for name, value in trial.params.items()}
    assert run.data.tags["beampermit.machine"] == trial.machine != ""
    assert run.data.metrics["seconds"] == trial.seconds
    assert run.info.end_time - run.info.start_time == round(1000 * (trial.seconds or 0))
    for name, value in trial.metrics.items():
        assert run.data.metrics[name] == pytest.approx(value), name
    for place, name in enumerate(("loss", "validation_loss"), 1):
        history = client.get_metric_history(run.info.run_id, name) if trial.curve else []
        assert [(one.step, one.value) for one in history] == [(row[0], row[place]) for row in trial.curve]
    if trial.state is State.FAILED:
        assert trial.reason
        assert trial.reason.endswith(run.data.tags["beampermit.reason"])


def record_through_an_outage(port: int, project: Project, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A study whose MLflow server, at this port, loses answers and then is gone: it goes on, and nothing is lost."""
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")
    replace(project.root / FILE, "does: nothing", "does: fail below")

    def search(trials: int) -> Session:
        return run_study(Project(project.root), trials, resources(folder), silent)

    with way_to(port) as way:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{way.port}")
        # Made, and made once more as no answer came: the run of the study, and that of the first trial.
        way.lost = ("runs/create", 1), ("runs/create", 3)
        way.cut_at = "runs/log-batch", 2
        done = search(4)
        assert len(done.study.of_state(State.COMPLETE)) + len(done.study.of_state(State.FAILED)) == 4
        said = f"MLflow (http://127.0.0.1:{way.port}) lacks runs, which the next run writes: Connection aborted"
        assert said in text(done)
        assert way.asked.count("runs/log-batch") == 1, "one trial was written, and another begun"
        way.mended()
        again = search(5)
        assert (again.counts.ended, again.problem) == (1, "")
        assert way.asked.count("runs/log-batch") == 4, "what is missing, and no more"
        assert way.asked.count("runs/create") == 3
        assert {State.COMPLETE, State.FAILED} == {trial.state for trial in again.study.trials}
    require_recorded(f"http://127.0.0.1:{port}", again.study)
