"""PRF001."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from beampermit.environments import Environment
from beampermit.interlocks.families import select_interlocks
from beampermit.interlocks.inputs import Inputs
from beampermit.interlocks.model import Evaluators
from beampermit.interlocks.performance.base_rows import BaseRows, OnBaseRows
from beampermit.interlocks.performance.gates import NAMES, PRF001
from beampermit.interlocks.runner import check, run
from beampermit.models.evaluation import Evaluator
from beampermit.project import Project
from beampermit.verdicts.evidence import Gates
from beampermit.verdicts.verdict import Location, Outcome, Verdict

GOOD = {"auc": 0.97, "false_alarm_rate": 0.01}


def measured(project: Project, metrics: Any) -> Path:
    file = project.root / "metrics/metrics.json"
    file.parent.mkdir(exist_ok=True)
    file.write_text(metrics if isinstance(metrics, str) else json.dumps(metrics))
    return file


def gates(project: Project, evaluated: Any = None, by_base: dict[str, float] | None = None, **given: Any) -> Verdict:
    """PRF001 on a model with the metrics `evaluated`, by default those that were committed."""
    project = Project(project.root, base="main")
    if evaluated is None:
        evaluated = committed(project)
    own = Evaluator(Environment(Path("nowhere")), project.root, project.contract, project.root / "nowhere")
    evaluators = Evaluators(own, replace(own, origin="by the base branch's evaluation") if by_base else None)
    inputs: dict[str, Any] = {"base_rows": BaseRows(), "on_base_rows": None, **given}
    (verdict,) = run(
        select_interlocks(["PRF001"]),
        Inputs(project=project, evaluators=evaluators, evaluated=evaluated, judged=by_base or evaluated, **inputs),
    )
    return verdict


def committed(project: Project) -> Any:
    try:
        return json.loads((project.root / "metrics/metrics.json").read_text())
    except (OSError, ValueError):
        return GOOD


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
    assert isinstance(verdict.evidence, Gates)
    assert verdict.evidence.contract_changes == ()
    assert {row.by for row in verdict.evidence.metrics} == {"project"}


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
    assert verdict.fix == (NAMES if defect == "metric missing" else PRF001.fix())


def test_a_name_that_the_evaluation_does_not_write_is_corrected_and_no_model_is_improved(project: Project) -> None:
    measured(project, {"auc": 0.97, "false_alarms_rate": 0.01})
    verdict = gates(project)
    assert verdict.reason == "false_alarm_rate is not in the metrics; did you mean 'false_alarms_rate'?"
    assert "Correct the name under `metrics` in `contract.yaml`" in verdict.fix
    assert [place.file for place in verdict.locations] == ["metrics/metrics.json", "contract.yaml"]


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
    assert isinstance(verdict.evidence, Gates)
    assert verdict.evidence.contract_changes == ("metrics.auc.gate 0.95 -> 0.5",)
    assert "contract.yaml" in [place.file for place in verdict.locations]


def test_a_gate_removed_in_the_pull_request_still_counts(project: Project, branch: Any) -> None:
    lines = (project.root / "contract.yaml").read_text().splitlines(keepends=True)
    branch(next(line for line in lines if "name: auc" in line), "")
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
    branch("[python, -m, bpm_faults.evaluate,", "[python, -m, bpm_faults.judge,")
    measured(project, GOOD)
    verdict = gates(project)
    assert verdict.passed
    assert isinstance(verdict.evidence, Gates)
    (change,) = verdict.evidence.contract_changes
    assert change.startswith("evaluation.command ")
    assert f"this pull request changes {change};" in verdict.reason


@pytest.mark.plants("PRF001")
@pytest.mark.attack(
    guard="PRF001",
    tried="auc 0.96 is written into metrics.json where the saved model has 0.94, and the gate is 0.95",
    said="auc is 0.94, the gate is at least 0.95",
)
def test_a_gate_is_met_by_the_saved_model_never_by_the_file_of_metrics(project: Project, said: str) -> None:
    measured(project, {**GOOD, "auc": 0.96})
    verdict = gates(project, {**GOOD, "auc": 0.94})
    assert verdict.outcome is Outcome.FAILED
    assert said in verdict.reason
    assert "metrics/metrics.json says auc 0.96, and the saved model has 0.94" in verdict.reason


@pytest.mark.plants("PRF001")
@pytest.mark.parametrize(("by", "passes"), [(0.9e-6, True), (1.1e-6, False)])
def test_the_file_of_metrics_may_differ_by_a_millionth(project: Project, by: float, passes: bool) -> None:
    measured(project, GOOD)
    verdict = gates(project, {**GOOD, "auc": GOOD["auc"] * (1 - by)})
    assert verdict.passed is passes, verdict.reason
    gates(project, {**GOOD, "auc": 0.0})


TOLERANCE = "  tolerance: {relative: 0.02, because: The rows are sampled.}\n"


@pytest.mark.slow
def test_the_base_branchs_contract_says_why_two_evaluations_differ(project: Project, branch: Any) -> None:
    command = "  command: [python, -m, bpm_faults.evaluate,"
    branch(command, TOLERANCE + command)
    measured(project, GOOD)
    verdict = gates(project, {**GOOD, "auc": 0.98})
    assert verdict.outcome is Outcome.FAILED
    assert "metrics/metrics.json says auc 0.97, and the saved model has 0.98" in verdict.reason
    assert "evaluation.tolerance.relative" in verdict.reason, "what the pull request loosens is shown"
    project.git("branch", "--force", "main", "change")
    assert gates(project, {**GOOD, "auc": 0.98}).passed
    assert not gates(project, {**GOOD, "auc": 0.995}).passed


@pytest.mark.plants("PRF001")
@pytest.mark.attack(
    guard="PRF001",
    tried="the pull request's own evaluation gives auc 0.99 where the base branch's code gives 0.94",
    said="by the base branch's evaluation, auc is 0.94, the gate is at least 0.95",
)
def test_the_base_branchs_evaluation_decides_too(project: Project, said: str) -> None:
    measured(project, {**GOOD, "auc": 0.99})
    verdict = gates(project, by_base={**GOOD, "auc": 0.94})
    assert verdict.outcome is Outcome.FAILED
    assert said in verdict.reason


def test_an_evaluation_that_gives_other_numbers_passes_where_both_meet_the_gate_and_both_are_told(
    project: Project,
) -> None:
    measured(project, {**GOOD, "auc": 0.99})
    verdict = gates(project, by_base={**GOOD, "auc": 0.96, "extra": 1.0})
    assert verdict.passed, verdict.reason
    assert "auc 0.96 (at least 0.95)" in verdict.reason
    assert verdict.reason.endswith("; by this pull request's own evaluation auc 0.99")


def test_other_rows_than_the_base_branchs_fail(project: Project) -> None:
    measured(project, GOOD)
    verdict = gates(project, base_rows=BaseRows(problem="30 of 648 rows are missing"))
    assert verdict.outcome is Outcome.FAILED
    assert verdict.reason == "30 of 648 rows are missing"


@pytest.mark.parametrize(("binding", "auc", "passes"), [(True, 0.95, True), (True, 0.94, False), (False, 0.94, True)])
def test_gates_hold_on_the_base_branchs_rows_too_where_rows_were_added(
    project: Project, binding: bool, auc: float, passes: bool
) -> None:
    measured(project, GOOD)
    rows = BaseRows("9 rows are new", table=Path("rows"), binding=binding)
    verdict = gates(project, base_rows=rows, on_base_rows=OnBaseRows({**GOOD, "auc": auc}))
    assert verdict.passed is passes, verdict.reason
    assert f"; 9 rows are new; on the base branch's rows, auc {auc:g}" in verdict.reason
    assert ("on the base branch's rows, auc is 0.94, the gate is at least 0.95" in verdict.reason) is not passes


def on_branch(project: Project) -> Verdict:
    (verdict,) = check(Project(project.root, base="main"), select_interlocks(["PRF001"]))
    return verdict


@pytest.mark.slow
@pytest.mark.attack(
    guard="PRF001",
    tried="a trained model of recall 0.9 gets 0.999 in metrics.json, and by its own command as well",
    said="the gate is at least 0.995",
)
def test_a_trained_model_is_judged_by_what_it_is(trained_copy: Project, said: str) -> None:
    root, git = trained_copy.root, trained_copy.git
    git("switch", "--quiet", "--create", "change")
    with (root / "README.md").open("a") as readme:
        readme.write("A sentence.\n")
    sound = on_branch(trained_copy)
    assert sound.passed, sound.reason
    git("stash", "--quiet")
    git("switch", "--quiet", "main")
    text = (root / "contract.yaml").read_text()
    (root / "contract.yaml").write_text(text.replace("gate: 0.85", "gate: 0.995"))
    git("commit", "--quiet", "--all", "--message", "A gate that the model does not meet")
    git("push", "--quiet", "origin", "main")
    git("branch", "--force", "change", "main")
    git("switch", "--quiet", "change")
    file = root / "metrics/metrics.json"
    metrics = json.loads(file.read_text())
    file.write_text(json.dumps({**metrics, "recall": 0.999}))
    (code,) = root.glob("src/*/metrics.py")
    own = 'return {f"recall_'
    assert own in code.read_text()
    code.write_text(code.read_text().replace(own, 'return {"recall": 0.999} | {f"recall_'))
    verdict = on_branch(trained_copy)
    assert verdict.outcome is Outcome.FAILED, verdict.reason
    assert "recall is 0.9" in verdict.reason
    assert said in verdict.reason
