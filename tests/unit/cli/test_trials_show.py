"""`beampermit trials show`, `best` and `apply` of a study in its journal, from the table to the pull request."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner

from beampermit.cli.main import app
from beampermit.errors import BadInput, BeampermitError, Failed
from beampermit.project import Project
from beampermit.trials.study import OWN, open_study, quiet_optuna
from support.dvc_repositories import replace
from support.toy_project import trainable, trained_once
from support.toy_search import make_searched

__all__ = ["trainable", "trained_once"]

pytestmark = pytest.mark.slow


@pytest.fixture
def toy(trainable: Project) -> Project:
    return make_searched(trainable)


def run_trials(project: Project, losses: list[float | None]) -> str:
    """As `trials run` tells them; None fails. Returns the study's name."""
    from optuna.trial import TrialState

    quiet_optuna()
    kept = open_study(project)
    for loss in losses:
        trial = kept.told.ask()
        kept.subject.settings.space.suggest(trial)
        reason = "Traceback\nValueError: <b>no rows</b>\x1b[31m" if loss is None else ""
        trial.set_user_attr(OWN, {"seconds": 2.0, "machine": "AVX2, node-1", "reason": reason})
        if loss is None:
            kept.told.tell(trial, state=TrialState.FAIL)
        else:
            kept.told.tell(trial, loss)
    return kept.study.name


def called(project: Project, *words: str) -> str:
    done = CliRunner().invoke(app, ["trials", *words, "--project", str(project.root)], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done.output


def refused(project: Project, kind: type[BeampermitError], *words: str) -> str:
    done = CliRunner().invoke(app, ["trials", *words, "--project", str(project.root)])
    assert isinstance(done.exception, kind), done.exception
    return str(done.exception)


def test_a_study_is_shown_and_its_best_trial_becomes_the_projects(
    toy: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("beampermit.cli.trials_show.LISTED", 5)
    assert "has no study yet" in refused(toy, BadInput, "show")
    assert not (toy.root / ".beampermit/trials/journal.log").exists(), "who looks writes nothing"
    name = run_trials(toy, [0.5, None, 0.25, *([0.75] * 5)])
    shown = called(toy, "show", "--html", str(tmp_path / "page.html"))
    assert f"{name}: 8 trials, the best is trial 2 with validation_loss 0.25" in shown
    lines = shown.splitlines()
    assert lines[1].split()[:4] == ["trial", "validation_loss", "rate", "steps"]
    assert [line.split()[0] for line in lines[2:4]] == ["2", "0"]
    assert "and 3 more (--all prints them)" in shown
    assert "<h2>History</h2>" in (tmp_path / "page.html").read_text()
    everything = called(toy, "show", "--all")
    assert "failed: ValueError: <b>no rows</b>" in everything
    assert "\x1b" not in everything
    nowhere = tmp_path / "typo/page.html"
    assert f"{nowhere.parent}: there is no such folder" in refused(toy, BadInput, "show", "--html", str(nowhere))
    assert not nowhere.parent.exists()
    body = json.loads(called(toy, "show", "--json"))
    assert [trial["number"] for trial in body["trials"]][:2] == [2, 0]
    assert body["trials"][-1]["state"] == "failed"

    best = yaml.safe_load(called(toy, "best"))
    assert best == {"train": {"rate": body["trials"][0]["params"]["train.rate"],
                              "steps": body["trials"][0]["params"]["train.steps"]}}  # fmt: skip
    found = json.loads(called(toy, "best", "--json"))["best"]
    assert [one["trial"] for one in found] == [2]

    again = called(toy, "run", "--trials", "8", "--no-mlflow").splitlines()
    place = again.index("best: trial 2, validation_loss 0.25")
    assert [line.partition(":")[0] for line in again[place + 1 : place + 3]] == ["  train.rate", "  train.steps"]

    said = called(toy, "apply")
    assert "trial 2 of 8" in said
    params = yaml.safe_load((toy.root / "params.yaml").read_text())["train"]
    assert params == {"seed": 0, **best["train"]}
    summary = json.loads((toy.root / "trials.json").read_text())
    assert (summary["study"], summary["states"]) == (name, {"complete": 7, "failed": 1})
    assert "have trial 2 already" in called(toy, "apply")
    written: Any = json.loads(called(toy, "apply", "--trial", "0", "--json"))
    assert set(written["written"]) <= {"params.yaml", "trials.json"}
    assert "trials.json" in written["written"]


def test_a_study_of_other_parameters_is_shown_by_name_and_not_applied(toy: Project) -> None:
    name = run_trials(toy, [0.5])
    replace(toy.root / "params.yaml", "seed: 0", "seed: 1")
    assert f"the newest, {name}, is of other parameters that are not searched" in refused(toy, BadInput, "show")
    assert "1 trial, the best is trial 0" in called(toy, "show", "--study", name)
    before = (toy.root / "params.yaml").read_bytes()
    said = refused(toy, Failed, "apply", "--study", name)
    assert "is not of this project as it is now: other parameters that are not searched" in said
    assert (toy.root / "params.yaml").read_bytes() == before
    assert not (toy.root / "trials.json").exists()


def test_where_no_trial_is_complete_there_is_no_best(toy: Project) -> None:
    run_trials(toy, [None])
    assert "1 trial, none is complete" in called(toy, "show")
    for words in (("best",), ("apply",)):
        assert "is complete" in refused(toy, Failed, *words)
    assert "trial 0 is failed, not complete: ValueError" in refused(toy, BadInput, "apply", "--trial", "0")
