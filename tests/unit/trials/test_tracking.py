"""Each trial is a run of MLflow, below that of its study; without MLflow the study goes on, and nothing is lost."""

from __future__ import annotations

import re
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from filelock import FileLock

from beampermit.errors import BadInput
from beampermit.progress import silent
from beampermit.project import Project
from beampermit.reading import read_json
from beampermit.registry.mlflow import public_address
from beampermit.trials import tracking
from beampermit.trials.recording import RECORDED, Recording
from beampermit.trials.records import State
from beampermit.trials.session import Session, run_study, text
from beampermit.trials.settings import FILE
from beampermit.trials.storage import folder_of
from beampermit.trials.study import RUN, open_study
from beampermit.trials.tracking import Tracking, accepted_name, tracking_uri
from support import studies
from support.dvc_repositories import replace
from support.recorded_trials import require_recorded
from support.registry_project import database
from support.searched_project import resources
from support.units_of_work import wait_for

__all__ = ["database"]


def search(project: Project, tmp_path: Path, trials: int) -> Session:
    return run_study(Project(project.root), trials, resources(tmp_path), silent)


@pytest.mark.slow
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
    assert {trial.state for trial in done.study.trials} == {State.COMPLETE, State.FAILED}
    assert done.study.commit == searched.git.head()
    runs = require_recorded(uri, done.study)

    # A writer that was killed left a run that is not finished, and one is gone: both are made whole, none is twice.
    client = MlflowClient(tracking_uri=uri)
    client.delete_run(runs[0])
    client.update_run(runs[1], status="RUNNING")
    begun = client.get_run(runs[2])  # once more, as no answer had come
    client.create_run(begun.info.experiment_id, tags=begun.data.tags)
    (searched.root / ".beampermit/trials/recorded.json").unlink()
    assert search(searched, tmp_path, 4).problem == ""
    require_recorded(uri, done.study)


def test_without_an_address_the_runs_are_beside_the_studies(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    assert tracking_uri(tmp_path) == f"sqlite:///{tmp_path}/mlflow.db"
    assert tracking_uri(Path('/a "b?c%41')) == 'sqlite:////a "b%3Fc%2541/mlflow.db'
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "runs")
    with pytest.raises(BadInput, match="MLFLOW_TRACKING_URI is 'runs', which is not the address of a registry"):
        tracking_uri(tmp_path)


SHOWN = {
    "postgresql://ada:se/cret@db:5/runs?sslmode=require": "postgresql://db:5/runs",
    "postgresql://ada:se?cret@db/runs": "postgresql://db/runs",
    "postgresql://ada:se@cret@db/runs": "postgresql://db/runs",
    "https://ada:secret@mlflow.lab.example:443/of@lab": "https://mlflow.lab.example:443/of@lab",
    "https://[::1]/of@lab": "https://[::1]/of@lab",
    "ada:secret@db/runs": "db/runs",
}


@pytest.mark.parametrize("uri", SHOWN)
def test_no_part_of_a_login_is_shown_or_in_the_problem(uri: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert public_address(uri) == SHOWN[uri]

    password = re.sub(r".*://[^:]*:|@[^@]*$", "", uri)

    def refuse(*_: object) -> None:
        raise ValueError(f"no login with <{password}>")

    monkeypatch.setattr(tracking, "_Runs", refuse)
    failed = Tracking(studies.study(), uri, [], lambda _: [])
    failed.finish()
    assert "ret>" not in failed.problem


@pytest.mark.parametrize("back", [False, True])
def test_what_waits_to_try_again_tries_once_more_when_the_trials_have_ended(
    monkeypatch: pytest.MonkeyPatch, *, back: bool
) -> None:
    tries: list[str] = []

    class Runs:
        numbers: frozenset[int] = frozenset()

        def __init__(self, _study: object, uri: str) -> None:
            tries.append(uri)
            if len(tries) == 1 or not back:
                raise ConnectionError("no answer")

        def finish(self) -> None:
            pass

    monkeypatch.setattr(tracking, "_Runs", Runs)
    waiting = Tracking(studies.study(), "http://mlflow.lab.example", [], lambda _: [])
    wait_for(lambda: waiting.problem)
    waiting.finish()
    assert (len(tries), waiting.problem) == (2, "" if back else "no answer")


def rows(file: Path, query: str) -> list[tuple[str, ...]]:
    with closing(sqlite3.connect(file)) as connection:
        return sorted(connection.execute(query).fetchall())


PARENTS = "select value from tags where key = 'beampermit.kind'"
NUMBERS = "select value from tags where key = 'beampermit.trial'"


@pytest.mark.slow
def test_names_that_mlflow_does_not_take_are_renamed_also_in_a_folder_with_a_strange_name(
    tmp_path: Path, database: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    folder = tmp_path / 'it\'s "here"?x=%41 é'
    folder.mkdir()
    file = folder / "mlflow.db"
    shutil.copy(database, file)
    with closing(sqlite3.connect(file)) as connection:  # as far as MLflow came where the folder has both quotes
        connection.execute("delete from experiments")
        connection.commit()
    monkeypatch.chdir(folder)
    metrics = {"recall@5": 0.5, "recall_5": 0.25, "recall%5": 0.125, "../up": 1.0, "größe: a/b": 2.0, "m" * 300: 3.0}
    wrong = {"train.x (mm)": 1, "train.x [mm]": 2, "train.y": 3}
    trials = [studies.complete(0, 0.5, metrics=metrics, params=wrong), studies.complete(1, 0.5, params={})]

    def record() -> Tracking:
        found = Tracking(
            studies.study(), tracking_uri(folder), [0, 1], lambda numbers: [trials[one] for one in numbers]
        )
        found.finish()
        return found

    with monkeypatch.context() as patch:
        patch.setattr(tracking, "accepted_name", lambda name: name)
        refused = record()
    assert refused.problem.startswith("trial 0: Invalid value")
    assert refused.there == {1}
    written = record()
    assert (written.problem, written.there) == ("", {0, 1})
    names = [name for (name,) in rows(file, "select distinct key from metrics")]
    assert len(names) == len(metrics) + 2
    assert {"recall_5", "größe: a/b", "seconds", "validation_loss"} < {*names}
    assert {accepted_name(name) for name in metrics} < {*names}
    assert [name[:8] for name in names if name.startswith("recall_5-")] == ["recall_5"] * 2
    assert [name for (name,) in rows(file, "select distinct key from params")] == sorted(map(accepted_name, wrong))
    assert rows(file, NUMBERS) == [("0",), ("1",)]
    assert [path.name for path in tmp_path.iterdir()] == [folder.name]


@pytest.mark.slow
def test_runs_wait_for_one_that_makes_the_database_and_try_again_while_the_study_goes_on(
    tmp_path: Path, database: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "mlflow.db"
    shutil.copy(database, file)

    def record() -> list[str]:
        both = [Tracking(studies.study(), f"sqlite:///{file}", [], lambda _: []) for _ in range(2)]
        for one in both:
            one.finish()
        return [one.problem for one in both]

    trials = [studies.complete(number, 0.5) for number in range(3)]
    with monkeypatch.context() as patch:
        patch.setattr(tracking, "BUSY", 0.1)
        patch.setattr(tracking, "AGAIN", 0.1)
        with FileLock(f"{file}.lock"):
            assert record() == ["another process keeps the lock of this database of MLflow"] * 2
            assert rows(file, PARENTS) == []
            back = Tracking(studies.study(), f"sqlite:///{file}", [0], lambda numbers: [trials[one] for one in numbers])
            back.add(1)
            wait_for(lambda: back.problem)
        back.add(2)
        wait_for(lambda: back.written >= 3)
        back.finish()
    assert (back.problem, back.there) == ("", {0, 1, 2}), "it was written in the same run, when MLflow was back"
    assert record() == ["", ""]
    assert rows(file, PARENTS) == [("study",)]


@pytest.mark.slow
def test_of_two_runs_each_writes_its_own_trials_and_what_neither_wrote_the_next_one_does(
    searched: Project, tmp_path: Path, database: Path
) -> None:
    file = tmp_path / "mlflow.db"
    shutil.copy(database, file)
    recorded = folder_of(searched) / RECORDED
    opened = open_study(searched)

    def trial_of(run: str) -> int:
        trial = opened.told.ask()
        trial.set_user_attr(RUN, run)
        opened.told.tell(trial, 1.0)
        return trial.number

    for _ in range(2):
        trial_of("killed")
    runs = {name: Recording(opened, f"sqlite:///{file}", name) for name in ("first", "second")}
    for name in ("first", "second", "second"):
        runs[name].add(trial_of(name))
    lost = trial_of("first")  # which is killed before it writes it
    assert runs["second"].finish(silent) == ""
    assert runs["first"].finish(silent) == ""
    assert rows(file, NUMBERS) == [(str(number),) for number in range(5)]
    assert read_json(recorded)[opened.study.name][1] < lost + 1
    again = Recording(opened, f"sqlite:///{file}", "third")
    assert again.finish(silent) == ""
    assert rows(file, NUMBERS) == [(str(number),) for number in range(6)]
    assert read_json(recorded)[opened.study.name] == [f"sqlite:///{file}", 6]
    assert Recording(opened, f"sqlite:///{file}", "fourth")._tracking is None
