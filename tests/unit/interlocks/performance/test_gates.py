"""PRF001."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from beampermit.interlocks.families import select_interlocks
from beampermit.interlocks.runner import check
from beampermit.project import Project
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
    "below a gate": ({**GOOD, "auc": 0.9499999}, "auc is 0.9499999, the gate is at least 0.95"),
    "above a gate": ({**GOOD, "false_alarm_rate": 0.2}, "false_alarm_rate is 0.2, the gate is at most 0.05"),
    "metric missing": ({"auc": 0.97}, "false_alarm_rate is not in the metrics"),
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
        "auc is 0.6, the gate is at least 0.95 "
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
    assert "auc is not in the metrics (this pull request changes metrics.auc removed;" in verdict.reason


def test_a_direction_turned_in_the_pull_request_does_not_count(project: Project, branch: Any) -> None:
    branch("better: higher, gate: 0.95", "better: lower, gate: 0.95")
    measured(project, {**GOOD, "auc": 0.3})
    verdict = gates(project)
    assert verdict.outcome is Outcome.FAILED
    assert "metrics.auc.better higher -> lower" in verdict.reason


@pytest.mark.parametrize(
    ("before", "after", "reason"),
    [
        ("gate: 0.95", "gate: 0.99", "auc is 0.97, the gate is at least 0.99"),
        ("metrics:\n", "metrics:\n  - {name: recall, better: higher, gate: 0.9}\n", "recall is not in the metrics"),
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
