"""Metrics that the checker computes: no number, no command and no key of a pull request decides about them."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from beampermit.digest import digest_file
from beampermit.interlocks.families import select_interlocks
from beampermit.interlocks.inputs import Inputs
from beampermit.interlocks.model import Examined
from beampermit.interlocks.performance.base_rows import BaseRows
from beampermit.interlocks.runner import run
from beampermit.project import Project
from beampermit.verdicts.evidence import Gates, Subgroups
from beampermit.verdicts.verdict import Outcome, Verdict
from support.attacks import attack_case
from support.dvc_repositories import replace
from support.planted_models import THIS_ENVIRONMENT, write_table

TEST = "data/dataset/test.parquet"
ROWS = 100
FAULTY = np.arange(ROWS) % 4 == 0
SCORES = np.where(FAULTY, 0.8, 0.2)
SCORES[[1, 4]] = 0.7, 0.3
"""A sound signal is flagged, and a fault is missed: recall 24/25, one false alarm in 75, AUC 1 - 1 / (25 * 75)."""
METRICS = """\
metrics:
  - {name: auc, measure: roc_auc, gate: 0.99, champion_margin: 0.005}
  - {name: recall, measure: recall, gate: 0.96}
  - {name: false_alarm_rate, measure: false_positive_rate, gate: 0.05, subgroups: [{by: plane, gate: 0.05}]}
"""


def checked(project: Project, id: str, scores: np.ndarray = SCORES) -> Verdict:
    """The verdict on a model with these scores, of a pull request against main."""
    file = project.root.parent / "scores.parquet"
    file.unlink(missing_ok=True)
    write_table(file, score=scores)
    project = Project(project.root, base="main")
    given: dict[str, Any] = {"base_rows": BaseRows(), "on_base_rows": None}
    examined = Examined(None, None, file, digest_file(file))
    (verdict,) = run(
        select_interlocks([id]), Inputs(project=project, environment=THIS_ENVIRONMENT, examined=examined, **given)
    )
    return verdict


def write_rows(project: Project, targets: np.ndarray = FAULTY, **more: np.ndarray) -> None:
    file = project.root / TEST
    file.parent.mkdir(parents=True, exist_ok=True)
    file.unlink(missing_ok=True)
    names = np.arange(ROWS).astype(str)
    planes = np.where(np.arange(ROWS) % 2, "Y", "X")
    write_table(file, acquisition=names, device=names, plane=planes, faulty=targets, **more)


@pytest.fixture
def branch(project: Project, git: Callable[..., str]) -> Project:
    """A pull request without a change; base and head have measures alone, no command, and no file of metrics."""
    file = project.root / "contract.yaml"
    lines = [line for line in file.read_text().splitlines(keepends=True) if not line.startswith("  command:")]
    text = "".join(lines).replace("high: 0.5,", "high: 0.5, target: faulty,")
    begin, end = text.index("metrics:\n  -"), text.index("reproducibility:")
    file.write_text(text[:begin] + METRICS + text[end:])
    (project.root / ".gitignore").write_text("/data\n")
    git("add", "--all")
    git("commit", "--quiet", "--message", "Measures")
    git("switch", "--quiet", "--create", "change")
    write_rows(project)
    return project


def test_the_checker_computes_every_metric_and_nothing_of_the_project_runs(branch: Project) -> None:
    verdict = checked(branch, "PRF001")
    assert verdict.passed, verdict.reason
    assert verdict.reason == (
        "auc 0.9995 (at least 0.99), recall 0.96 (at least 0.96), false_alarm_rate 0.01333 (at most 0.05)"
    )
    assert isinstance(verdict.evidence, Gates)
    assert {row.by for row in verdict.evidence.metrics} == {"checker"}
    assert verdict.evidence.measured["recall"] == 0.96


@pytest.mark.slow
@pytest.mark.plants("PRF001")
@pytest.mark.attack(
    guard="PRF001",
    tried="the project's file of metrics says that a metric with a measure is better than it is",
    said="recall is 0.92, the gate is at least 0.96",
)
def test_a_better_number_in_the_file_of_metrics_has_no_effect(branch: Project, said: str) -> None:
    (branch.root / "metrics").mkdir()
    (branch.root / "metrics/metrics.json").write_text(json.dumps({"auc": 1.0, "recall": 1.0, "false_alarm_rate": 0}))
    scores = SCORES.copy()
    scores[8] = 0.1
    verdict = checked(branch, "PRF001", scores)
    assert verdict.outcome is Outcome.FAILED
    assert said in verdict.reason
    told = checked(branch, "REP003", scores)
    assert told.outcome is Outcome.FAILED
    assert "recall is committed as 1 and evaluates to 0.92" in told.reason


@pytest.mark.slow
@pytest.mark.attack(
    guard="PRF001",
    tried="the project's evaluation writes a better number for a metric with a measure",
    said="recall is 0.92, the gate is at least 0.96",
)
def test_a_better_number_that_the_command_writes_has_no_effect(branch: Project, said: str) -> None:
    code = 'import json, sys; json.dump({"recall": 1.0, "rows": 100}, open(sys.argv[1], "w"))'
    (branch.root / "judge.py").write_text(code)
    replace(branch.root / "contract.yaml", "  inputs: data", '  command: [python, judge.py, "{out}"]\n  inputs: data')
    scores = SCORES.copy()
    scores[8] = 0.1
    verdict = checked(branch, "PRF001", scores)
    assert verdict.outcome is Outcome.FAILED
    assert said in verdict.reason
    (branch.root / "metrics").mkdir()
    (branch.root / "metrics/metrics.json").write_text(json.dumps({"rows": 100}))
    assert checked(branch, "REP003", scores).passed, "a file without the checker's metrics is complete"


@pytest.mark.slow
def test_without_a_file_of_metrics_there_is_nothing_to_compare(branch: Project) -> None:
    said = "the checker computes every metric: auc, false_alarm_rate, recall"
    assert checked(branch, "REP003").reason == said
    (branch.root / "metrics").mkdir()
    (branch.root / "metrics/metrics.json").write_text("{}")
    assert checked(branch, "REP003").reason == said
    assert checked(branch, "PRF001").passed


ATTACKS = [
    attack_case(
        ("measure: recall, gate: 0.96", "measure: accuracy, gate: 0.96"),
        guard="PRF001",
        tried="another measure under the same name",
        said="recall is 0.92, the gate is at least 0.96 (this pull request changes metrics.recall.measure",
        id="measure",
    ),
    attack_case(
        ("measure: recall, gate", "measure: recall, threshold: 0.01, gate"),
        guard="PRF001",
        tried="a threshold from which on everything is flagged",
        said="recall is 0.92, the gate is at least 0.96 (this pull request changes metrics.recall.threshold",
        id="threshold",
    ),
    attack_case(
        ("target: faulty", "target: easy"),
        guard="PRF001",
        tried="another column as the target",
        said="recall is 0.92, the gate is at least 0.96 (this pull request changes signals.outputs.score.target",
        id="target",
    ),
    attack_case(
        ("measure: recall, gate: 0.96", "measure: recall, gate: 0.9"),
        guard="PRF001",
        tried="a lower gate of a metric with a measure",
        said="recall is 0.92, the gate is at least 0.96 (this pull request changes metrics.recall.gate 0.96 -> 0.9",
        id="gate",
    ),
    attack_case(
        ("{name: recall, measure: recall, gate: 0.96}", "{name: recall, better: higher, gate: 0.5}"),
        guard="PRF001",
        tried="the project's own code instead of the checker's measure",
        said="recall is 0.92, the gate is at least 0.96 (this pull request changes",
        id="command",
    ),
]


@pytest.mark.slow
@pytest.mark.parametrize("attack", ATTACKS)
def test_the_base_branchs_measures_decide(branch: Project, attack: tuple[str, str], said: str) -> None:
    scores = SCORES.copy()
    scores[8] = 0.1
    write_rows(branch, easy=scores >= 0.5)
    replace(branch.root / "contract.yaml", *attack)
    if "better: higher" in attack[1]:
        replace(
            branch.root / "contract.yaml", "  inputs: data", '  command: [python, judge.py, "{out}"]\n  inputs: data'
        )
        (branch.root / "judge.py").write_text('import sys; open(sys.argv[1], "w").write(\'{"recall": 1.0}\')')
        (branch.root / "metrics").mkdir()
        (branch.root / "metrics/metrics.json").write_text('{"recall": 1.0}')
    verdict = checked(branch, "PRF001", scores)
    assert verdict.outcome is Outcome.FAILED
    assert said in verdict.reason


@pytest.mark.slow
@pytest.mark.parametrize(("gate", "outcome"), [(0.96, Outcome.PASSED), (0.9601, Outcome.FAILED)])
def test_a_value_at_the_gate_passes_and_one_just_outside_fails(branch: Project, gate: float, outcome: Outcome) -> None:
    replace(branch.root / "contract.yaml", "measure: recall, gate: 0.96", f"measure: recall, gate: {gate}")
    assert checked(branch, "PRF001").outcome is outcome


@pytest.mark.slow
def test_the_alarm_limit_that_is_served_decides_what_is_flagged_and_its_change_is_named(branch: Project) -> None:
    replace(branch.root / "contract.yaml", "high: 0.5", "high: 0.75")
    verdict = checked(branch, "PRF001")
    assert verdict.passed
    assert "false_alarm_rate 0 (at most 0.05) (this pull request changes signals.outputs.score.high" in verdict.reason


@pytest.mark.slow
def test_a_measure_that_a_pull_request_adds_is_computed_and_gated(branch: Project) -> None:
    replace(branch.root / "contract.yaml", "metrics:\n", "metrics:\n  - {name: loss, measure: log_loss, gate: 0.1}\n")
    verdict = checked(branch, "PRF001")
    assert verdict.outcome is Outcome.FAILED
    assert "loss is 0.2428, the gate is at most 0.1" in verdict.reason


@pytest.mark.slow
def test_one_name_with_two_definitions_is_judged_by_both(branch: Project) -> None:
    replace(branch.root / "contract.yaml", "measure: recall, gate: 0.96", "measure: precision, gate: 0.97")
    verdict = checked(branch, "PRF001")
    assert verdict.outcome is Outcome.FAILED
    assert verdict.reason.startswith("recall is 0.96, the gate is at least 0.97 (this pull")
    assert isinstance(verdict.evidence, Gates)
    assert [(row.name, row.gate, row.met) for row in verdict.evidence.metrics if row.name == "recall"] == [
        ("recall", 0.96, True),
        ("recall", 0.97, False),
    ]


TARGETS = {
    "NaN": (
        np.where(FAULTY, np.nan, 0.0),
        "target 'faulty' is missing or not finite in 25 of 100 rows of test.parquet",
    ),
    "constant": (np.zeros(ROWS, bool), "auc is undefined: target 'faulty' is 0 in all 100 rows"),
    "text": (np.where(FAULTY, "stuck", "none"), "target 'faulty' is varchar in test.parquet, and a measure needs one"),
    "three classes": (np.arange(ROWS) % 3, "target 'faulty' is 2 in a row; roc_auc needs 0 and 1"),
    "of other rows": (FAULTY[:50], "the model gave 100 answers of 'score' for 50 targets"),
}


@pytest.mark.parametrize("case", TARGETS)
def test_targets_that_measure_nothing_fail_and_say_why(branch: Project, case: str) -> None:
    targets, reason = TARGETS[case]
    (branch.root / TEST).unlink()
    write_table(branch.root / TEST, faulty=targets)
    verdict = checked(branch, "PRF001")
    assert verdict.outcome is Outcome.FAILED
    assert reason in verdict.reason


def test_a_target_that_is_no_column_fails_and_names_the_nearest(branch: Project) -> None:
    (branch.root / TEST).unlink()
    write_table(branch.root / TEST, fault=FAULTY)
    verdict = checked(branch, "PRF001")
    assert verdict.outcome is Outcome.FAILED
    assert "target 'faulty' is not a column of test.parquet; is it 'fault'?" in verdict.reason


@pytest.mark.slow
@pytest.mark.plants("PRF003")
def test_subgroups_are_measured_without_a_command_and_the_limit_holds_to_the_row(branch: Project) -> None:
    verdict = checked(branch, "PRF003")
    assert verdict.passed, verdict.reason
    assert isinstance(verdict.evidence, Subgroups)
    rows = {row.group: row for row in verdict.evidence.subgroups}
    assert rows["Y",].value == pytest.approx(1 / 50)
    assert rows["Y",].low is not None
    scores = SCORES.copy()
    scores[[3, 5]] = 0.9
    verdict = checked(branch, "PRF003", scores)
    assert verdict.reason == "false_alarm_rate where plane is Y is 0.06 on 50 rows, the gate is at most 0.05"


@pytest.mark.slow
def test_a_subgroup_of_another_measure_under_the_same_name_is_judged_beside_the_base_branchs(branch: Project) -> None:
    replace(branch.root / "contract.yaml", "measure: false_positive_rate", "measure: log_loss")
    verdict = checked(branch, "PRF003")
    assert verdict.outcome is Outcome.FAILED
    assert "false_alarm_rate where plane is Y is 0.24" in verdict.reason, "the log loss of this pull request"
    replace(branch.root / "contract.yaml", "measure: log_loss", "measure: false_positive_rate")
    replace(branch.root / "contract.yaml", "subgroups: [{by: plane, gate: 0.05}]", "subgroups: []")
    scores = SCORES.copy()
    scores[[3, 5]] = 0.9
    assert "plane is Y is 0.06" in checked(branch, "PRF003", scores).reason, "the base branch's gate"


@pytest.mark.slow
def test_champion_and_challenger_are_measured_on_the_same_resamples(arena: Any) -> None:
    from support.planted_models import NONE, SOME

    contract = arena.project.root / "contract.yaml"
    lines = [
        line
        for line in contract.read_text().splitlines(keepends=True)
        if not line.startswith(("  command:", "  weighted:"))
    ]
    text = "".join(lines).replace("high: 0.5,", "high: 0.5, target: faulty,")
    text = text.replace("{name: auc, better: higher", "{name: auc, measure: accuracy")
    contract.write_text(text.replace("better: lower", "measure: false_positive_rate"))
    arena.project.git("commit", "--quiet", "--all", "--message", "Measures")
    finding = arena.against(SOME, NONE)
    assert finding.outcome is Outcome.PASSED
    assert "not worse than version 3: auc 1 against 0.95" in finding.reason
    better = finding.evidence.better_by["auc"]
    assert 0 < better.low <= better.better <= better.high
    finding = arena.against(NONE, SOME)
    assert "worse than the champion's 1 (version 3) by more than 0.005" in finding.reason
