"""The champion is asked for its own inputs, in the environment of its own lock, at its own limits."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from beampermit.environments import Environment
from beampermit.verdicts.verdict import Outcome
from support.attacks import attack_case
from support.dvc_repositories import replace
from support.in_service import CURRENT, FIELD, LOCK, TEST, Service, service, service_once

pytestmark = pytest.mark.slow

__all__ = ["service", "service_once"]

INPUT = "    - {name: field, source: derived, unit: T, range: [-9, 9]}\n"
WORSE = "accuracy is 0.6667, worse than the champion's 1 (version 3) by more than 0.01"


def drop_field(service: Service) -> None:
    """The challenger knows the current alone, which is right in two rows of three."""
    replace(service.contract, INPUT, "")
    service.write_rows(field=None)
    service.package(score={"current": 1.0})


def test_the_same_answers_pass(service: Service) -> None:
    service.package(score={"current": 0.0, "field": 2.0})
    verdict = service.judge()
    assert verdict.passed, verdict.reason
    assert verdict.reason == "not worse than version 3: accuracy 1 against 1 (better by 0 to 0)"


@pytest.mark.plants("PRF002")
@pytest.mark.attack(
    guard="PRF002",
    tried="the model and the test rows lose an input that the champion needs, so that it could not be asked",
    said="accuracy is 0.6667, worse than the champion's 1 (version 3) by more than 0.01",
)
def test_a_champion_with_an_input_that_the_rows_lack_takes_it_from_its_own(service: Service, said: str) -> None:
    drop_field(service)
    service.commit()
    verdict = service.judge()
    assert verdict.outcome is Outcome.FAILED
    assert said in verdict.reason


def test_a_model_without_an_input_passes_where_it_is_not_worse(service: Service) -> None:
    drop_field(service)
    verdict = service.judge("PRF001")
    assert verdict.passed, verdict.reason
    assert f"{TEST} has changed: the 60 rows are the same" in verdict.reason
    service.write_rows(field=None, faulty=CURRENT > 0)
    verdict = service.judge()
    assert verdict.passed, verdict.reason
    assert "accuracy 1 against 0.6667" in verdict.reason


def test_the_last_input_that_tells_whether_rows_are_the_same_may_not_go(service: Service) -> None:
    replace(service.contract, INPUT, "")
    replace(service.contract, "name: current", "name: voltage")
    service.write_rows(field=None, current=None, voltage=CURRENT)
    service.package(score={"voltage": 1.0})
    assert (
        "there is no column current, which tells whether the test rows are the same" in service.judge("PRF001").reason
    )


ATTACKS = [
    attack_case(
        {"current": np.where(np.arange(60) < 2, 0.5, CURRENT)},
        guard="PRF002",
        tried="an input that the champion needs is dropped, and others are changed so that its own rows mislead it",
        said="and is not in its own test rows: 2 of 60 rows differ (first: 0 D0 X)",
        id="values",
    ),
    attack_case(
        {"acquisition": np.roll(np.arange(60), 1).astype(str)},
        guard="PRF002",
        tried="an input that the champion needs is dropped, and rows get the keys of others",
        said="60 of 60 rows are not among them (first: 0 D1 Y)",
        id="keys",
    ),
]


@pytest.mark.parametrize("columns", ATTACKS)
def test_rows_that_are_not_the_champions_own_do_not_complete_it(
    service: Service, columns: dict[str, Any], said: str
) -> None:
    drop_field(service)
    service.write_rows(field=None, **columns)
    verdict = service.judge()
    assert verdict.outcome is Outcome.FAILED
    cannot = "the champion, version 3, cannot be evaluated on these data: its input field is not a column"
    assert cannot in verdict.reason
    assert said in verdict.reason
    assert verdict.reason.endswith("; leave field in the test rows until a version without is in service")


@pytest.mark.attack(
    guard="PRF002",
    tried="the test rows get a column of a name that the checker gave to the order of rows, or of their keys",
    said="accuracy is 0.6667, worse than the champion's 1 (version 3) by more than 0.01",
)
def test_no_further_column_changes_which_row_the_champion_answers(service: Service, said: str) -> None:
    drop_field(service)
    other = {"beampermit_row": np.arange(60)[::-1], "beampermit_key0": np.roll(np.arange(60), 1).astype(str)}
    service.write_rows(field=None, here=np.zeros(60), there=np.zeros(60), **other)
    assert said in service.judge().reason
    service.write_rows(field=None, file_row_number=np.arange(60)[::-1])
    assert "is also in the file" in service.judge().reason, "duckdb has no other name for it"


@pytest.mark.attack(
    guard="PRF002",
    tried="rows get the keys of others, where the inputs that are left are the same in all of them",
    said="40 of 60 rows differ",
)
def test_rows_that_are_alike_in_what_is_left_are_told_apart_by_their_targets(service: Service, said: str) -> None:
    alike: dict[str, Any] = {"current": np.zeros(60), "faulty": FIELD % 0.5 > 0.25}
    service.write_rows(**alike)
    service.package(score={"current": 0.0, "field": 2.0})
    service.merge()
    service.promote(4)
    drop_field(service)
    replace(service.contract, "version: 1", "version: 2")
    service.write_rows(field=None, **alike)
    assert "(version 4)" in service.judge().reason or service.judge().passed
    service.write_rows(field=None, acquisition=np.roll(np.arange(60), 10).astype(str), **alike)
    verdict = service.judge()
    assert verdict.outcome is Outcome.FAILED
    assert said in verdict.reason


@pytest.mark.attack(
    guard="PRF002",
    tried="an input that the champion needs gets another unit, so that its answers are those of other values",
    said="58 of 60 rows differ",
)
def test_an_input_in_another_unit_is_taken_from_its_own_rows(service: Service, said: str) -> None:
    replace(service.contract, INPUT, INPUT.replace("unit: T", "unit: mT"))
    service.write_rows(field=-1000 * FIELD)
    service.package(score={"current": 1.0, "field": 0.0})
    assert WORSE in service.judge().reason
    service.write_rows(field=-1000 * FIELD, current=np.roll(CURRENT, 1))
    reason = service.judge().reason
    assert "its input field is in another unit or shape in test.parquet, and is not in its own test rows" in reason
    assert said in reason
    assert reason.endswith("; keep it as it is, and give the new field another name")


def test_where_no_input_is_shared_rows_are_the_same_by_their_targets(service: Service) -> None:
    replace(service.contract, INPUT, "")
    replace(service.contract, "name: current", "name: voltage")
    service.write_rows(field=None, current=None, voltage=CURRENT)
    service.package(score={"voltage": 1.0})
    assert WORSE in service.judge().reason
    service.write_rows(field=None, current=None, voltage=CURRENT, faulty=FIELD < 0)
    assert "60 of 60 rows differ" in service.judge().reason


def test_own_test_rows_that_the_permit_does_not_bind_are_not_used(service: Service) -> None:
    replace(service.contract, "  key:", "  # later\n  key:")
    service.merge()
    service.project.git("switch", "--quiet", "main")
    service.write_rows(faulty=FIELD < 0)
    service.commit("Other rows")
    kept = service._permit
    service.write_rows()
    service.patch.setattr(Service, "_permit", lambda _: kept())
    service.package(score={"current": 0.0, "field": 3.0})
    service.promote(4)
    drop_field(service)
    assert "is not the file that its permit binds" in service.judge().reason


def test_an_input_more_is_nothing_that_the_champion_has_to_know(service: Service) -> None:
    replace(service.contract, INPUT, INPUT + INPUT.replace("field", "pressure"))
    service.write_rows(pressure=FIELD)
    service.package(score={"current": 0.0, "field": 0.0, "pressure": 1.0})
    verdict = service.judge()
    assert verdict.passed, verdict.reason
    service.package(score={"current": 1.0, "field": 0.0, "pressure": 0.0})
    assert WORSE in service.judge().reason


def test_inputs_in_another_order_and_a_column_to_group_by_change_nothing(service: Service) -> None:
    text = service.contract.read_text()
    service.contract.write_text(
        text.replace(INPUT, "").replace("  inputs:\n    - {name: c", f"  inputs:\n{INPUT}    - {{name: c")
    )
    replace(service.contract, "  key:", "  columns: [{name: sector, values: [a, b]}]\n  key:")
    replace(service.contract, "gate: 0.5,", "gate: 0.5, subgroups: [{by: sector, gate: 0.5}],")
    service.write_rows(sector=np.array(["a", "b"])[np.arange(60) % 2])
    service.package(score={"current": 0.0, "field": 2.0})
    for id in ("PRF001", "PRF002", "PRF003"):
        verdict = service.judge(id)
        assert verdict.passed, verdict.reason


def test_a_champion_of_another_framework_is_asked_in_the_environment_of_its_lock(service: Service) -> None:
    model = service.models[next(iter(service.models))]
    (model / "weights.json").write_text('{"needs": "xgboost", "score": {"current": 0.0, "field": 1.0}}')
    (service.root / "uv.lock").write_text("# another framework\n")
    service.package(score={"current": 1.0, "field": 0.0})
    service.commit()
    seen: list[str] = []

    def reused(root: Path, tree: Path, *_: Any) -> Environment:
        seen.append((tree / "uv.lock").read_text())
        return Environment(root.parent / "xgboost")

    service.patch.setattr("beampermit.reproduction.environments.reused_environment", reused)
    assert WORSE in service.judge().reason
    assert seen == [LOCK]
    (service.root / "uv.lock").write_text(LOCK)
    assert "No module named 'xgboost'" in service.judge().reason, "of the same lock, nothing is installed"


def test_a_champion_is_judged_at_its_own_alarm_limit(service: Service) -> None:
    """At the challenger's, which only its own scores reach, the champion would find nothing."""
    replace(service.contract, "high: 0.5", "high: 0.05")
    service.package(score={"current": 1.0, "field": 0.0})
    verdict = service.judge()
    assert "accuracy is 0.5, worse than the champion's 1 (version 3)" in verdict.reason


TWO = """\
    - {name: score, pv: P, unit: "1", range: [0, 1], high: 0.5, default: 1.0, target: faulty, description: Faulty}
    - {name: spare, pv: Q, unit: "1", range: [0, 1], default: 1.0, description: Something else}
"""


@pytest.mark.plants("PRF002")
@pytest.mark.attack(
    guard="PRF002",
    tried="an output of several is renamed, so that the base branch's metric would find nothing to measure",
    said="accuracy is 0.6667, worse than the champion's 1 (version 3) by more than 0.01",
)
def test_an_output_of_another_name_is_found_by_its_target(service: Service, said: str) -> None:
    replace(service.contract, TWO.splitlines(keepends=True)[0], TWO)
    replace(service.contract, "measure: accuracy,", "measure: accuracy, output: score,")
    service.package(score={"field": 1.0}, spare={"field": 1.0})
    service.merge()
    service.promote(4)
    replace(service.contract, "name: score", "name: broken")
    replace(service.contract, "output: score", "output: broken")
    service.contract.write_text(service.contract.read_text().replace("score.", "broken."))
    service.package(broken={"current": 1.0}, spare={"field": 1.0})
    verdict = service.judge()
    assert verdict.outcome is Outcome.FAILED
    assert said.replace("version 3", "version 4") in verdict.reason
    replace(service.contract, "target: faulty,", "")
    replace(service.contract, "    - {name: spare,", "    - {name: spare, target: faulty,")
    replace(service.contract, "measure: accuracy, output: broken", "measure: accuracy, output: spare, threshold: 0.5")
    assert service.judge().passed, "now another output is for the target, and that one is good"
    replace(service.contract, "    - {name: spare, target: faulty,", "    - {name: spare, target: second,")
    service.write_rows(second=FIELD > 0)
    assert "output 'score' is not a column of the model's scores" in service.judge().reason


def test_the_projects_own_code_reads_the_champions_names_and_limits_for_the_champion(service: Service) -> None:
    service.use_own_code()
    service.package(score={"current": 0.0, "field": 1.0})
    service.merge()
    service.promote(4)
    replace(service.contract, "high: 0.5", "high: 0.95")
    service.contract.write_text(service.contract.read_text().replace("name: score", "name: broken"))
    service.package(broken={"current": 0.0, "field": 1.0})
    verdict = service.judge()
    assert "accuracy is 0.5, worse than the champion's 1 (version 4)" in verdict.reason
    service.commit()
    service.project.git("branch", "--force", "main")
    assert "accuracy is 0.5, worse than the champion's 1 (version 4)" in service.judge().reason, "of a work tree, too"
