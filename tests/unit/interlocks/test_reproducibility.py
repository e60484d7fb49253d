"""REP003 fails where the committed metrics are not those of the saved model."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from safetensors.numpy import load_file, save_file

from beampermit.contract import parse_contract
from beampermit.interlocks.families import select_interlocks
from beampermit.interlocks.reproducibility import REP003
from beampermit.interlocks.runner import check
from beampermit.project import Project
from beampermit.verdicts.verdict import Outcome, Verdict

EVALUATED = {"auc": 0.97, "false_alarm_rate": 0.01, "rows": 600.0}


def judged(project: Project, committed: Any, evaluated: dict[str, float] = EVALUATED) -> Any:
    file = project.root / "metrics/metrics.json"
    file.parent.mkdir(exist_ok=True)
    file.write_text(committed if isinstance(committed, str) else json.dumps(committed, indent=2))
    return REP003().check(project, project.contract, project.base_contract, evaluated)


def test_metrics_within_tolerance_pass(project: Project) -> None:
    finding = judged(project, {**EVALUATED, "auc": 0.97 * (1 + 0.9e-6), "rows": 600.0005})
    assert finding.outcome is Outcome.PASSED
    assert finding.reason == "3 metrics evaluated again: at most 0.0005 apart; 1e-06 of each is allowed"


DEFECTS = {
    "a number made better": (
        {**EVALUATED, "auc": 0.98},
        "auc is committed as 0.98 and evaluates to 0.97, more than 1e-06 of it apart",
    ),
    "a number made a little better": (
        {**EVALUATED, "auc": 0.97 * (1 + 1.1e-6)},
        "auc is committed as 0.97000107 and evaluates to 0.97,",
    ),
    "a number that evaluation does not give": (
        {**EVALUATED, "f1": 0.99},
        "f1 is committed as 0.99, and evaluation does not give it",
    ),
    "a number left out": (
        {"auc": 0.97, "rows": 600},
        "false_alarm_rate evaluates to 0.01 and is not committed",
    ),
    "fewer rows": ({**EVALUATED, "rows": 100}, "rows is committed as 100 and evaluates to 600"),
    "NaN": ({**EVALUATED, "auc": float("nan")}, "auc is NaN, not a finite number"),
    "infinite": ({**EVALUATED, "auc": float("inf")}, "auc is infinite"),
    "empty": ("", "the file is empty"),
}


@pytest.mark.plants("REP003")
@pytest.mark.parametrize("defect", DEFECTS)
def test_metrics_that_are_not_the_models_fail(project: Project, defect: str) -> None:
    committed, reason = DEFECTS[defect]
    finding = judged(project, committed)
    assert finding.outcome is Outcome.FAILED
    assert reason in finding.reason
    assert finding.locations[0].file == "metrics/metrics.json"


def test_the_line_of_a_broken_metric_is_named(project: Project) -> None:
    finding = judged(project, {**EVALUATED, "auc": float("nan")})
    assert finding.locations[0].line == 2


def test_a_tolerance_widened_in_the_pull_request_does_not_count(project: Project, contract_text: str) -> None:
    because = "  tolerance: {relative: 0.5, because: The rows are sampled.}\n  command:"
    wide = parse_contract(contract_text.replace("tolerance: 0.005", "tolerance: 0.5").replace(
        "  command:", because))  # fmt: skip
    judged(project, {**EVALUATED, "auc": 0.6})
    finding = REP003().check(project, wide, project.base_contract, EVALUATED)
    assert finding.outcome is Outcome.FAILED
    assert finding.evidence["tolerance"] == 1e-6
    finding = REP003().check(project, wide, wide, EVALUATED)
    assert finding.outcome is Outcome.PASSED
    assert finding.reason.endswith("0.5 of each is allowed, because of this: The rows are sampled.")


def run(project: Project) -> Verdict:
    (verdict,) = check(project, select_interlocks(["REP003"]))
    return verdict


@pytest.mark.slow
def test_a_trained_model_evaluates_to_its_metrics_and_leaves_no_trace(trained_copy: Project) -> None:
    before = everything(trained_copy.root)
    verdict = run(trained_copy)
    assert verdict.passed, verdict.reason
    assert verdict.evidence["committed"]["recall_noise"] == pytest.approx(verdict.evidence["evaluated"]["recall_noise"])
    assert everything(trained_copy.root) == before


@pytest.mark.slow
def test_weights_that_are_not_those_that_were_evaluated_fail(trained_copy: Project) -> None:
    weights = trained_copy.root / "model/artifacts/weights.safetensors"
    save_file({name: -tensor for name, tensor in load_file(weights).items()}, weights)
    verdict = run(trained_copy)
    assert verdict.outcome is Outcome.FAILED
    assert "recall_lost_bits is committed as" in verdict.reason
    assert verdict.locations[0].file == "metrics/metrics.json"


@pytest.mark.slow
def test_an_evaluation_that_writes_infinity_fails(trained_copy: Project) -> None:
    (code,) = trained_copy.root.glob("src/*/pipeline/evaluate.py")
    code.write_text(
        "import pathlib, sys\n"
        "pathlib.Path(sys.argv[sys.argv.index('--out') + 1]).write_text('{\"auc\": Infinity}')\n"
    )  # fmt: skip
    verdict = run(trained_copy)
    assert verdict.outcome is Outcome.FAILED
    assert "the evaluation command wrote:1: auc is infinite" in verdict.reason


def everything(root: Path) -> dict[str, float]:
    """Each file of a project and when it was written, but for git, the environment, our own and compiled code."""
    apart = {".git", ".venv", ".beampermit", "__pycache__"}
    files = (path for path in root.rglob("*") if not apart & set(path.relative_to(root).parts[:1]))
    kept = (path for path in files if path.is_file() and "src" not in path.relative_to(root).parts[:1])
    return {str(path): path.stat().st_mtime for path in kept}
