"""PRF fails for each way a model can fail its gates or its champion."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from beampermit.digest import digest_folder
from beampermit.environments import Environment
from beampermit.interlocks.families import select_interlocks
from beampermit.interlocks.model import Examined
from beampermit.interlocks.performance import PRF002
from beampermit.interlocks.runner import check
from beampermit.models import SavedModel
from beampermit.project import Project
from beampermit.registry.event import Event
from beampermit.registry.ledger import Ledger
from beampermit.registry.mlflow import Registry
from beampermit.verdicts.verdict import Location, Outcome, Verdict

GOOD = {"auc": 0.97, "false_alarm_rate": 0.01}


def measured(project: Project, metrics: Any) -> Path:
    file = project.root / "metrics/metrics.json"
    file.parent.mkdir(exist_ok=True)
    file.write_text(metrics if isinstance(metrics, str) else json.dumps(metrics))
    return file


def gates(project: Project) -> Verdict:
    (verdict,) = check(Project(project.root, base="main"), select_interlocks(["PRF001"]))
    return verdict


@pytest.fixture
def branch(project: Project, git: Callable[..., str]) -> Callable[[str, str], None]:
    """A pull request's branch whose contract has one text replaced by another."""

    def change(before: str, after: str) -> None:
        git("switch", "--quiet", "--create", "change")
        file = project.root / "contract.yaml"
        assert before in file.read_text()
        file.write_text(file.read_text().replace(before, after))
        git("commit", "--quiet", "--all", "--message", "Another contract")

    return change


def test_metrics_that_meet_every_gate_pass(project: Project) -> None:
    measured(project, GOOD)
    verdict = gates(project)
    assert verdict.passed
    assert verdict.reason == "auc 0.97 (at least 0.95), false_alarm_rate 0.01 (at most 0.05)"
    assert verdict.evidence["contract_changes"] == []


DEFECTS = {
    "below a gate": ({**GOOD, "auc": 0.9499999}, "auc is 0.9499999, the gate asks for at least 0.95"),
    "above a gate": ({**GOOD, "false_alarm_rate": 0.2}, "false_alarm_rate is 0.2, the gate asks for at most 0.05"),
    "metric missing": ({"auc": 0.97}, "false_alarm_rate is not among the metrics"),
    "NaN": ({**GOOD, "auc": float("nan")}, "metrics/metrics.json:1: auc is NaN, not a finite number"),
    "infinite": ({**GOOD, "auc": float("inf")}, "metrics/metrics.json:1: auc is infinite"),
    "what a registry makes of infinity": ({**GOOD, "auc": 1.7976931348623157e308}, "auc is infinite"),
    "text": ({**GOOD, "auc": "0.99"}, 'auc is the text "0.99", not a number'),
    "empty file": ("", "metrics/metrics.json: the file is empty"),
    "given twice": (
        '{"auc": 0.1,\n"auc": 0.97, "false_alarm_rate": 0}',
        "metrics/metrics.json:2: 'auc' is given twice",
    ),
}


@pytest.mark.plants("PRF001")
@pytest.mark.parametrize("defect", DEFECTS)
def test_metrics_that_miss_a_gate_fail(project: Project, defect: str) -> None:
    metrics, reason = DEFECTS[defect]
    measured(project, metrics)
    verdict = gates(project)
    assert verdict.outcome is Outcome.FAILED
    assert reason in verdict.reason
    assert verdict.locations[0].file == "metrics/metrics.json"
    assert verdict.exit_code == 1


def test_no_metrics_fail(project: Project) -> None:
    verdict = gates(project)
    assert verdict.outcome is Outcome.FAILED
    assert verdict.reason == "metrics/metrics.json: the file is missing"
    assert verdict.locations == (Location(file="metrics/metrics.json"),)


def test_a_gate_lowered_in_the_pull_request_is_shown_and_does_not_count(project: Project, branch: Any) -> None:
    branch("gate: 0.95", "gate: 0.5")
    measured(project, {**GOOD, "auc": 0.6})
    verdict = gates(project)
    assert verdict.outcome is Outcome.FAILED
    assert verdict.reason == (
        "auc is 0.6, the gate asks for at least 0.95 "
        "(this pull request changes metrics.auc.gate 0.95 -> 0.5; the base branch's contract decides)"
    )
    assert verdict.evidence["contract_changes"] == ["metrics.auc.gate 0.95 -> 0.5"]
    assert "contract.yaml" in [place.file for place in verdict.locations]


def test_a_gate_removed_in_the_pull_request_still_counts(project: Project, branch: Any) -> None:
    branch(
        "  - {name: auc, better: higher, gate: 0.95, champion_margin: 0.005, description: A fault scores above beam}\n",
        "",
    )
    measured(project, {"false_alarm_rate": 0.01})
    verdict = gates(project)
    assert verdict.outcome is Outcome.FAILED
    assert "auc is not among the metrics (this pull request changes metrics.auc removed;" in verdict.reason


def test_a_direction_turned_in_the_pull_request_does_not_count(project: Project, branch: Any) -> None:
    branch("better: higher, gate: 0.95", "better: lower, gate: 0.95")
    measured(project, {**GOOD, "auc": 0.3})
    verdict = gates(project)
    assert verdict.outcome is Outcome.FAILED
    assert "metrics.auc.better higher -> lower" in verdict.reason


@pytest.mark.parametrize(
    ("before", "after", "reason"),
    [
        ("gate: 0.95", "gate: 0.99", "auc is 0.97, the gate asks for at least 0.99"),
        ("metrics:\n", "metrics:\n  - {name: recall, better: higher, gate: 0.9}\n", "recall is not among the metrics"),
    ],
)
def test_a_gate_added_or_raised_in_the_pull_request_counts_too(
    project: Project, branch: Any, before: str, after: str, reason: str
) -> None:
    branch("metrics:\n  - {name: auc" if before == "metrics:\n" else before,
           after + "  - {name: auc" if before == "metrics:\n" else after)  # fmt: skip
    measured(project, GOOD)
    verdict = gates(project)
    assert verdict.outcome is Outcome.FAILED
    assert reason in verdict.reason


def test_a_changed_gate_that_is_met_passes_and_is_shown(project: Project, branch: Any) -> None:
    branch("gate: 0.95", "gate: 0.9")
    measured(project, GOOD)
    verdict = gates(project)
    assert verdict.passed
    assert "this pull request changes metrics.auc.gate 0.95 -> 0.9" in verdict.reason


def test_an_evaluation_changed_in_the_pull_request_is_shown(project: Project, branch: Any) -> None:
    branch("inputs: data/dataset/test.parquet", "inputs: data/dataset/validation.parquet")
    measured(project, GOOD)
    verdict = gates(project)
    assert verdict.passed
    change = "evaluation.inputs data/dataset/test.parquet -> data/dataset/validation.parquet"
    assert f"this pull request changes {change};" in verdict.reason
    assert verdict.evidence["contract_changes"] == [change]


ENVIRONMENT = Environment(Path("nowhere"))
UNSEEN = Examined(None, None, Path("nowhere"))
DIGEST = "sha256:" + "0" * 64


def event(model: str, digest: str) -> Event:
    return Event(
        event="promote", sequence=1, model=model, version=1, digest=digest, permit=DIGEST,
        commit="0" * 40, expected=None, at="2026-11-23T08:00:00Z", by="Ada Operator",
    )  # fmt: skip


def test_without_a_champion_it_passes_and_says_so(project: Project) -> None:
    model = SavedModel(project.root / "model", "model", {})
    contract = project.contract
    finding = PRF002().check(project, contract, contract, ENVIRONMENT, model, None, GOOD, UNSEEN)
    assert finding.outcome is Outcome.PASSED
    assert finding.reason == "no champion yet: nothing was promoted"


def test_the_champion_itself_is_not_worse_than_itself(project: Project) -> None:
    folder, contract = project.root / "model", project.contract
    folder.mkdir()
    (folder / "weights.safetensors").write_bytes(b"numbers")
    champion = event(contract.model.name, digest_folder(folder))
    model = SavedModel(folder, "model", {})
    finding = PRF002().check(project, contract, contract, ENVIRONMENT, model, champion, GOOD, UNSEEN)
    assert finding.outcome is Outcome.PASSED
    assert finding.reason == "this model is the champion, version 1"
    assert finding.evidence.champion.metrics == GOOD


@pytest.fixture
def promoted(trained_copy: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Event:
    """The trained model as champion: its bytes in a registry of its own, its event in the ledger of its origin."""
    git = trained_copy.git
    uri = f"sqlite:///{tmp_path / 'mlflow.db'}"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    registry, folder = Registry(uri), trained_copy.root / "model"
    model = trained_copy.contract.model.name
    registry.create_version(model, registry.store(model, folder, DIGEST, {}), permit=DIGEST)
    promotion = event(model, digest_folder(folder)).model_copy(update={"commit": git.head()})
    Ledger(git).append(promotion)
    return promotion


def against_champion(project: Project) -> Verdict:
    (verdict,) = check(project, select_interlocks(["PRF002"]))
    return verdict


def change_weights(project: Project, factor: float) -> None:
    file = project.root / "model/artifacts/weights.safetensors"
    save_file({name: tensor * np.float32(factor) for name, tensor in load_file(file).items()}, file)


@pytest.mark.slow
def test_a_model_that_turns_its_scores_round_is_worse(trained_copy: Project, promoted: Event) -> None:
    change_weights(trained_copy, -1.0)
    verdict = against_champion(trained_copy)
    assert verdict.outcome is Outcome.FAILED
    assert "worse than the champion's" in verdict.reason
    assert "(version 1) by more than" in verdict.reason
    champion, challenger = verdict.evidence.champion, verdict.evidence.challenger
    assert champion.version == 1
    assert champion.metrics["auc"] > challenger["auc"]


@pytest.mark.slow
def test_another_model_as_good_passes_and_both_are_evaluated(trained_copy: Project, promoted: Event) -> None:
    change_weights(trained_copy, 1.0001)
    verdict = against_champion(trained_copy)
    assert verdict.passed, verdict.reason
    assert verdict.reason.startswith("not worse than version 1: auc ")
    assert verdict.evidence.champion.metrics.keys() == verdict.evidence.challenger.keys()


@pytest.mark.slow
def test_an_origin_that_is_away_is_not_the_models_fault(trained_copy: Project, tmp_path: Path) -> None:
    trained_copy.git("remote", "set-url", "origin", str(tmp_path / "nowhere.git"))
    verdict = against_champion(trained_copy)
    assert verdict.outcome is Outcome.ERROR
    assert verdict.exit_code == 4
    assert "origin does not answer" in verdict.reason


@pytest.mark.slow
def test_a_registry_that_lost_the_champion_is_not_the_models_fault(
    trained_copy: Project, promoted: Event, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    change_weights(trained_copy, 1.0001)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path / 'another.db'}")
    verdict = against_champion(trained_copy)
    assert verdict.outcome is Outcome.ERROR
    assert verdict.exit_code == 4
    assert "version 1" in verdict.reason


@pytest.mark.slow
def test_the_example_is_judged_by_plane_and_family_and_measured_where_they_cross(trained_project: Project) -> None:
    (verdict,) = check(trained_project, select_interlocks(["PRF003"]))
    assert verdict.passed, verdict.reason
    crossed = [row for row in verdict.evidence.subgroups if row.by == ("plane", "family")]
    groups = [(plane, family) for plane in ("X", "Y") for family in ("button", "stripline")]
    assert [row.group for row in crossed] == groups
    assert sum(row.rows for row in crossed) == 648
    assert all(row.low <= row.value <= row.high for row in crossed)
