"""PRF002 on planted models, and against a champion in a real registry."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from beampermit.digest import digest_folder, manifest
from beampermit.environments import Environment
from beampermit.errors import Failed
from beampermit.interlocks.families import select_interlocks
from beampermit.interlocks.model import Evaluators, Examined
from beampermit.interlocks.performance import PRF002
from beampermit.interlocks.performance.base_rows import BaseRows, OnBaseRows
from beampermit.interlocks.runner import check
from beampermit.models import SavedModel
from beampermit.models.evaluation import Evaluator
from beampermit.project import Project
from beampermit.registry.event import Event
from beampermit.registry.ledger import Ledger
from beampermit.registry.mlflow import Registry
from beampermit.verdicts.evidence import Interval
from beampermit.verdicts.verdict import Outcome, Verdict
from support.dvc_repositories import replace
from support.planted_models import DEVICE, NONE, PLANE, SHOT, SOME, Arena
from support.registry_project import append_promotion, database

pytestmark = pytest.mark.slow

__all__ = ["database"]

GOOD = {"auc": 0.97, "false_alarm_rate": 0.01}


def test_a_model_that_is_right_more_often_is_not_worse_and_the_interval_is_told(arena: Arena) -> None:
    finding = arena.against(SOME, NONE)
    assert finding.outcome is Outcome.PASSED
    assert "not worse than version 3: auc 1 against 0.95" in finding.reason
    better = finding.evidence.better_by["auc"]
    assert 0 < better.low <= better.better <= better.high


def test_the_same_answers_from_another_model_have_an_interval_of_nothing(arena: Arena) -> None:
    finding = arena.against(SOME, SOME)
    assert finding.outcome is Outcome.PASSED
    assert finding.evidence.better_by["auc"] == Interval(better=0.0, low=0.0, high=0.0)


@pytest.mark.plants("PRF002")
def test_a_model_that_is_worse_beyond_the_margin_fails(arena: Arena) -> None:
    finding = arena.against(NONE, SOME)
    assert finding.outcome is Outcome.FAILED
    assert "worse than the champion's 1 (version 3) by more than 0.005" in finding.reason


def test_better_on_average_is_not_enough_where_the_interval_crosses_the_margin(arena: Arena) -> None:
    """One device became right throughout and another wrong on all but two rows: it hangs on which devices one has."""
    champion = DEVICE == 3
    challenger = (DEVICE == 5) & ~((SHOT < 2) & (PLANE == 0))
    finding = arena.against(champion, challenger)
    assert finding.evidence.better_by["auc"].better > 0
    assert finding.outcome is Outcome.FAILED
    assert "and may be worse by" in finding.reason
    assert "0.005 allowed" in finding.reason


def test_the_margin_is_the_base_branchs(arena: Arena, git: Callable[..., str]) -> None:
    git("switch", "--quiet", "--create", "change")
    replace(arena.project.root / "contract.yaml", "champion_margin: 0.005", "champion_margin: 0.5")
    git("commit", "--quiet", "--all", "--message", "A generous margin")
    assert arena.against(NONE, SOME).outcome is Outcome.FAILED


def test_the_intervals_stay_though_a_pull_request_takes_their_command_away(
    arena: Arena, git: Callable[..., str]
) -> None:
    git("switch", "--quiet", "--create", "change")
    contract = arena.project.root / "contract.yaml"
    contract.write_text("".join(line for line in contract.read_text().splitlines(True) if "weighted:" not in line))
    git("commit", "--quiet", "--all", "--message", "No intervals")
    assert arena.against(SOME, NONE).evidence.better_by


def test_without_a_command_for_intervals_the_numbers_alone_are_compared_and_the_reason_says_so(
    arena: Arena, git: Callable[..., str]
) -> None:
    contract = arena.project.root / "contract.yaml"
    contract.write_text("".join(line for line in contract.read_text().splitlines(True) if "weighted:" not in line))
    git("commit", "--quiet", "--all", "--message", "No intervals")
    finding = arena.against(SOME, NONE)
    assert finding.outcome is Outcome.PASSED
    assert "no intervals, because evaluation.weighted is not set" in finding.reason


def test_intervals_of_other_metrics_than_those_that_are_judged_fail(arena: Arena) -> None:
    with pytest.raises(Failed, match=r"evaluation\.weighted gives auc 1 with each row counted once"):
        arena.against(SOME, NONE, {"auc": 0.99, "false_alarm_rate": 0.0})


WRONG_OUTPUT = {
    "a list": ("[1]", "evaluation.weighted must write one JSON object"),
    "too few": ('{"auc": [1.0]}', "did not write 1001 values of 'auc'"),
    "NaN": ('{"auc": NaN}', "NaN is not a JSON number"),
    "words": ('{"auc": ["a"] * 1001}', "a value of 'auc' that is not a number"),
}


@pytest.mark.parametrize("defect", WRONG_OUTPUT)
def test_an_evaluation_that_gives_something_else_fails(arena: Arena, defect: str) -> None:
    text, words = WRONG_OUTPUT[defect]
    text = '{"auc": [' + ", ".join(['"a"'] * 1001) + "]}" if "*" in text else text
    (arena.project.root / "evaluate.py").write_text(f"import sys; open(sys.argv[3], 'w').write({text!r})")
    with pytest.raises(Failed, match=words):
        arena.against(SOME, NONE)


ENVIRONMENT = Environment(Path("nowhere"))
DIGEST = "sha256:" + "0" * 64


def unseen(project: Project) -> tuple[Examined, Evaluators, BaseRows, None]:
    evaluators = Evaluators(Evaluator(ENVIRONMENT, project.root, project.contract, project.root / "nowhere"))
    return Examined(None, None, Path("nowhere")), evaluators, BaseRows(), None


def event(model: str, digest: str) -> Event:
    return Event(
        event="promote", sequence=1, model=model, version=1, digest=digest, permit=DIGEST,
        commit="0" * 40, expected=None, at="2026-11-23T08:00:00Z", by="Ada Operator",
    )  # fmt: skip


def test_without_a_champion_it_passes_and_says_so(project: Project) -> None:
    model = SavedModel(project.root / "model", "model", {})
    contract = project.contract
    ledger = Ledger(project.git)
    finding = PRF002().check(project, contract, contract, ENVIRONMENT, model, ledger, None, GOOD, *unseen(project))
    assert finding.outcome is Outcome.PASSED
    assert finding.reason == "nothing has been promoted yet"


def test_the_champion_itself_is_not_worse_than_itself(project: Project) -> None:
    folder, contract = project.root / "model", project.contract
    folder.mkdir()
    (folder / "weights.safetensors").write_bytes(b"numbers")
    champion = event(contract.model.name, digest_folder(folder))
    model = SavedModel(folder, "model", {})
    ledger = Ledger(project.git)
    finding = PRF002().check(project, contract, contract, ENVIRONMENT, model, ledger, champion, GOOD, *unseen(project))
    assert finding.outcome is Outcome.PASSED
    assert finding.reason == "this model is the champion, version 1"
    assert finding.evidence.champion.metrics == GOOD


@pytest.fixture
def promoted(trained_copy: Project, database: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Event:
    """The trained model as champion: its bytes in a registry of its own, its event in the ledger of its origin."""
    git = trained_copy.git
    uri = f"sqlite:///{tmp_path / 'mlflow.db'}"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    shutil.copy(database, tmp_path / "mlflow.db")
    registry, folder = Registry(uri), trained_copy.root / "model"
    model = trained_copy.contract.model.name
    registry.create_version(model, registry.store(model, folder, DIGEST, {}), permit=DIGEST)
    promotion = event(model, digest_folder(folder)).model_copy(update={"commit": git.head()})
    return append_promotion(Ledger(git), promotion, manifest(folder))


def against_champion(project: Project) -> Verdict:
    (verdict,) = check(project, select_interlocks(["PRF002"]))
    return verdict


def change_weights(project: Project, factor: float) -> None:
    file = project.root / "model/artifacts/weights.safetensors"
    save_file({name: tensor * np.float32(factor) for name, tensor in load_file(file).items()}, file)


def test_a_model_that_turns_its_scores_round_is_worse(trained_copy: Project, promoted: Event) -> None:
    change_weights(trained_copy, -1.0)
    verdict = against_champion(trained_copy)
    assert verdict.outcome is Outcome.FAILED
    assert "worse than the champion's" in verdict.reason
    assert "(version 1) by more than" in verdict.reason
    champion, challenger = verdict.evidence.champion, verdict.evidence.challenger
    assert champion.version == 1
    assert champion.metrics["auc"] > challenger["auc"]


def test_another_model_as_good_passes_and_both_are_evaluated(trained_copy: Project, promoted: Event) -> None:
    change_weights(trained_copy, 1.0001)
    verdict = against_champion(trained_copy)
    assert verdict.passed, verdict.reason
    assert verdict.reason.startswith("not worse than version 1: auc ")
    gated = {metric.name for metric in trained_copy.contract.metrics}
    assert gated <= verdict.evidence.champion.metrics.keys() <= verdict.evidence.challenger.keys()


def test_an_origin_that_is_away_is_not_the_models_fault(trained_copy: Project, tmp_path: Path) -> None:
    trained_copy.git("remote", "set-url", "origin", str(tmp_path / "nowhere.git"))
    verdict = against_champion(trained_copy)
    assert verdict.outcome is Outcome.ERROR
    assert verdict.exit_code == 4
    assert "origin does not answer" in verdict.reason


def test_a_registry_that_lost_the_champion_is_not_the_models_fault(
    trained_copy: Project, promoted: Event, database: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    change_weights(trained_copy, 1.0001)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{shutil.copy(database, tmp_path / 'another.db')}")
    verdict = against_champion(trained_copy)
    assert verdict.outcome is Outcome.ERROR
    assert verdict.exit_code == 4
    assert "version 1" in verdict.reason


def on_earlier_rows(arena: Arena, champion: dict[str, float], challenger: dict[str, float], *, binding: bool) -> Any:
    """PRF002 on models that are equal on the rows that are judged, and have these metrics on the base branch's."""
    arena.monkeypatch.setattr("beampermit.interlocks.performance.champion._Comparing._on_earlier", lambda *_: champion)
    rows = BaseRows("rows are new", table=Path("earlier"), binding=binding)
    return arena.against(SOME, SOME, base_rows=rows, on_base_rows=OnBaseRows(challenger))


@pytest.mark.plants("PRF002")
@pytest.mark.attack(
    guard="PRF002",
    tried="easy test rows are added, on which no model errs, to hide that the champion is better on the earlier ones",
    said="on the base branch's rows, auc is 0.9, worse than the champion's 0.95 (version 3) by more than 0.005",
)
def test_where_rows_were_added_both_models_are_compared_on_the_earlier_ones_too(arena: Arena, said: str) -> None:
    finding = on_earlier_rows(arena, {**GOOD, "auc": 0.95}, {**GOOD, "auc": 0.9}, binding=True)
    assert finding.outcome is Outcome.FAILED
    assert said in finding.reason


@pytest.mark.parametrize(("auc", "binding"), [(0.946, True), (0.9, False)])
def test_within_the_margin_or_where_the_data_are_others_the_earlier_rows_are_only_shown(
    arena: Arena, auc: float, binding: bool
) -> None:
    finding = on_earlier_rows(arena, {**GOOD, "auc": 0.95}, {**GOOD, "auc": auc}, binding=binding)
    assert finding.outcome is Outcome.PASSED
    assert f"; on the base branch's rows, auc {auc} against 0.95, false_alarm_rate" in finding.reason


def test_a_champion_that_cannot_read_the_earlier_rows_is_compared_on_the_new_ones(arena: Arena) -> None:
    rows = BaseRows("dataset.request.version 1 -> 2", table=Path("earlier"))
    finding = arena.against(SOME, SOME, base_rows=rows, on_base_rows=OnBaseRows(problem="it cannot be evaluated"))
    assert finding.outcome is Outcome.PASSED
    assert finding.reason.endswith("; it cannot be evaluated")
