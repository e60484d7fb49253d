"""What is measured of a window: each defect is seen by its own check, just inside and just outside of its limit."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from beampermit.contract import Contract
from beampermit.monitoring import reference
from beampermit.monitoring.drift import largest_index
from beampermit.monitoring.limits import Limits
from beampermit.monitoring.readings import readings
from beampermit.monitoring.windows import read_window
from beampermit.verdicts.monitoring import Reading
from support.monitored import BEGAN, drawn, log_rows, monitored_contract, usual_limits

ROWS = 900
UNTIL = BEGAN + 600
"""Three devices each 2 s."""
Judge = Callable[..., dict[str, Reading]]


@pytest.fixture
def contract(contract_text: str) -> Contract:
    return monitored_contract(contract_text)


@pytest.fixture
def limits(contract_text: str) -> Limits:
    return usual_limits(contract_text)


@pytest.fixture
def judge(tmp_path: Path, contract: Contract, contract_text: str) -> Judge:
    """The readings of a log, by check and subject."""
    usual = usual_limits(contract_text)

    def made(
        inputs: dict[str, np.ndarray] | None = None,
        limits: Limits | None = None,
        own: Contract | None = None,
        **options: Any,
    ) -> dict[str, Reading]:
        contract_ = own or contract
        log = log_rows(tmp_path, contract_, drawn(ROWS) if inputs is None else inputs, **options)
        window = read_window(log, contract_, BEGAN, UNTIL)
        found = readings(window, limits or usual, contract_)
        return {f"{one.check} {one.subject}".rstrip(): one for one in found}

    return made


def exceeded(found: dict[str, Reading]) -> set[str]:
    return {key for key, reading in found.items() if reading.exceeded}


def changed(**values: np.ndarray) -> dict[str, np.ndarray]:
    return {**drawn(ROWS), **values}


@pytest.mark.slow
def test_rows_as_in_the_reference_are_judged_by_every_check_and_exceed_nothing(judge: Judge, limits: Limits) -> None:
    found = judge()
    of_output = {f"MON005 {name}.{what}" for name in ("score", "orbit") for what in ("invalid", "fallback")}
    keys = {key for key in limits.keys if not key.startswith("MON007")}
    assert found.keys() == keys | of_output | {"MON003 severity", "MON006", "MON008"}
    assert exceeded(found) == set()
    assert found["MON001 current"].detail == "900 rows"
    # From windows like those of the reference, an alarm is cleared.
    assert {key for key, one in found.items() if one.value > one.usual + (one.limit - one.usual) * 0.8} == set()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "shift", "expected"),
    [
        ("current", 0.6, {"MON001 current"}),
        ("turns", 0.5, {"MON001 turns.mean", "MON004 score", "MON004 orbit.mean"}),
        ("gain", 0.1, {"MON001 gain"}),
        ("mode", 1.0, {"MON001 mode"}),
    ],
)
def test_an_input_that_is_shifted_is_named(judge: Judge, name: str, shift: float, expected: set[str]) -> None:
    assert exceeded(judge(drawn(ROWS, **{name: shift}))) - {"MON002", "MON004 score.flagged"} >= expected


@pytest.mark.slow
def test_readings_of_a_log_are_those_of_the_pipelines_code_on_the_same_table(judge: Judge, limits: Limits) -> None:
    inputs, found = drawn(ROWS, current=0.2), judge(drawn(ROWS, current=0.2))
    pairs = [(name, number) for name in inputs for number in limits.inputs[name].numbers]
    for name, number in pairs:
        values = reference.numbers(name, inputs[name])[number]
        of = limits.inputs[name].numbers[number]
        assert of is not None
        counts = reference.counts_of(np.array(of.edges), values)
        index = reference.stability(np.array(of.shares), counts, limits.window)
        assert found[f"MON001 {number}"].value == pytest.approx(index, rel=1e-12)
    assert limits.together is not None
    matrix = np.concatenate(reference.columns(inputs), axis=1)
    far = reference.distances(matrix, limits.together.model_dump()).mean()
    assert found["MON002"].value == pytest.approx(far, rel=1e-5)


@pytest.mark.slow
def test_where_an_input_is_now_and_was_is_said(judge: Judge) -> None:
    detail = judge(drawn(ROWS, current=2.0))["MON001 current"].detail
    assert detail == "median 302, of the reference about 299.9; 900 rows"


def within(limits: Limits, number: float, share: float) -> Limits:
    """Limits of a reference that varies slowly, far above what is usual."""
    current = limits.inputs["current"]
    assert current.numbers["current"]
    assert limits.together
    numbers = {"current": current.numbers["current"].model_copy(update={"limit": number})}
    often = current.missing.model_copy(update={"usual": 0.04, "limit": share})
    slow = current.model_copy(update={"numbers": numbers, "missing": often, "outside": often})
    far = limits.together.model_copy(update={"usual": 30.0, "limit": 70.0})
    return limits.model_copy(update={"inputs": {**limits.inputs, "current": slow}, "together": far})


@pytest.mark.slow
def test_limits_that_few_rows_widen_can_be_exceeded(judge: Judge, limits: Limits) -> None:
    found = exceeded(judge(drawn(60, current=500.0, turns=1e6, mode=9.0), within(limits, 3.0, 0.37)))
    assert {"MON001 current", "MON002", "MON003 current.outside"} <= found


@pytest.mark.slow
def test_what_fills_whole_windows_of_the_reference_is_no_alarm_in_fewer_rows_either(
    judge: Judge, limits: Limits
) -> None:
    current = limits.inputs["current"].numbers["current"]
    assert current
    most = reference.largest(np.array(current.shares), limits.window)
    found = judge(drawn(60, current=500.0), within(limits, most, 1.0))
    assert found["MON001 current"].value > 0.7 * most
    assert not {"MON001 current", "MON003 current.outside"} & exceeded(found)


@pytest.mark.slow
def test_what_has_an_end_says_it(judge: Judge) -> None:
    found = judge(changed(current=np.full(ROWS, 400.0)))
    ends = {key: one.most for key, one in found.items()}
    shares = [key for key in found if key.endswith((".missing", ".outside", ".flagged", ".invalid", ".fallback"))]
    assert {ends[key] for key in (*shares, "MON003 severity")} == {1.0}
    assert ends["MON002"] == reference.FARTHEST_ROW
    assert found["MON001 current"].value == pytest.approx(ends["MON001 current"]), "all rows are in the last bin"
    assert ends["MON006"] is ends["MON008"] is None


@pytest.mark.parametrize("rows", [20, 250, 5000])
def test_the_largest_index_is_that_of_the_rarest_bin(limits: Limits, rows: int) -> None:
    for of in limits.inputs.values():
        for one in filter(None, of.numbers.values()):
            largest = reference.largest(np.asarray(one.shares), limits.window, rows)
            assert largest_index(one, limits.window, rows) == pytest.approx(largest)


@pytest.mark.slow
def test_an_input_that_is_noisier_is_named(judge: Judge) -> None:
    found = exceeded(judge(changed(turns=1.5 * drawn(ROWS)["turns"])))
    assert {"MON001 turns.std", "MON001 turns.span", "MON001 turns.step"} <= found
    assert not {key for key in found if "current" in key or "lifetime" in key}


@pytest.mark.slow
def test_inputs_that_no_longer_belong_together_are_seen_by_that_check_alone(judge: Judge) -> None:
    assert exceeded(judge(changed(lifetime=drawn(ROWS)["lifetime"][::-1]))) == {"MON002"}


@pytest.mark.slow
def test_rows_outside_of_what_is_expected_are_counted(judge: Judge) -> None:
    for outside, beyond in ((85, False), (95, True)):  # the limit is a tenth of 900 rows
        current = drawn(ROWS)["current"]
        current[:outside] = 306.0
        found = judge(changed(current=current))["MON003 current.outside"]
        assert found.exceeded == beyond
        assert found.value == pytest.approx(outside / ROWS)
    assert found.detail == "10.6% of 900 rows, usual is 0.0%; outside [295, 305] mA"


@pytest.mark.slow
def test_rows_without_a_value_are_counted_and_the_others_compared(judge: Judge) -> None:
    for gone, beyond in ((85, False), (95, True)):
        current = drawn(ROWS)["current"]
        current[:gone] = np.nan
        found = judge(changed(current=current))
        assert found["MON003 current.missing"].exceeded == beyond
        assert not found["MON001 current"].exceeded


@pytest.mark.slow
@pytest.mark.parametrize(("bad", "beyond"), [(44, False), (46, True)])
def test_inputs_in_major_alarm_are_counted(judge: Judge, bad: int, beyond: bool) -> None:
    worst = np.where(np.arange(ROWS) < bad, 2, 1)
    assert judge(served__worst=worst)["MON003 severity"].exceeded == beyond


@pytest.mark.slow
@pytest.mark.parametrize(("share", "beyond"), [(0.18, False), (0.21, True)])
def test_flagged_answers_are_counted(judge: Judge, share: float, beyond: bool) -> None:
    score = drawn(ROWS)["turns"].mean(axis=1)
    score[: round(share * ROWS)] = 1.0
    found = judge(score=score)["MON004 score.flagged"]
    assert found.exceeded == beyond
    assert found.detail.endswith("at least 1 mm")


@pytest.mark.slow
@pytest.mark.parametrize(("cycles", "beyond"), [(14, False), (16, True)])
@pytest.mark.parametrize("what", ["invalid", "fallback"])
def test_outputs_that_are_not_the_models_are_counted(judge: Judge, what: str, cycles: int, beyond: bool) -> None:
    """Of 300 cycles."""
    marked = np.arange(ROWS) < 3 * cycles
    column = {
        "invalid": {"score__severity": np.where(marked, 3, 0)},
        "fallback": {"score__origin": np.where(marked, "held", "model").tolist()},
    }
    found = judge(**column[what])
    assert exceeded(found) == ({f"MON005 score.{what}"} if beyond else set())


@pytest.mark.slow
@pytest.mark.parametrize(("late", "beyond"), [(2, False), (6, True)])
def test_late_answers_are_counted_by_cycles(judge: Judge, late: int, beyond: bool, contract_text: str) -> None:
    """Of 300 cycles; a hundredth may take longer."""
    latency = np.where(np.arange(ROWS) < 3 * late, 0.3, 0.002)
    found = judge(served__latency=latency)["MON006"]
    assert found.exceeded == beyond
    assert found.limit == pytest.approx(0.15)  # three rows of 50 ms
    own = monitored_contract(contract_text, late="400ms")
    assert not judge(served__latency=latency, own=own)["MON006"].exceeded


@pytest.mark.slow
def test_too_few_rows_are_not_judged(judge: Judge) -> None:
    found = judge(drawn(18))
    assert {key[:6] for key in found} == {"MON005", "MON008"}
    assert found["MON008"].value == 1, "nothing of the model was judged, which is not good"
    assert found["MON008"].detail == "18 rows; 20 are needed: make monitoring.window longer"
    assert {key[:6] for key in judge(drawn(60))} >= {"MON001", "MON002", "MON003", "MON004", "MON006"}


def test_a_window_without_rows_cannot_be_judged(judge: Judge) -> None:
    found = judge(began=BEGAN + 7200)["MON008"]
    assert found.exceeded
    assert found.detail == "the log has no row of a version in service in this time"


@pytest.mark.slow
def test_a_service_that_asks_nothing_says_so_without_an_alarm(judge: Judge) -> None:
    found = judge(served__asked=np.zeros(ROWS, bool))
    assert not found["MON008"].exceeded
    assert found["MON008"].detail == "the model was not asked in this time"


@pytest.mark.slow
@pytest.mark.parametrize(("rows", "beyond"), [(460, False), (440, True)])
def test_a_log_that_ends_before_the_window_does_cannot_be_judged(judge: Judge, rows: int, beyond: bool) -> None:
    found = judge(drawn(rows // 3 * 3))["MON008"]
    assert found.exceeded == beyond
    assert "no row for" in found.detail


@pytest.mark.slow
def test_limits_of_other_inputs_cannot_judge(judge: Judge, limits: Limits) -> None:
    others = limits.model_copy(update={"inputs": {key: of for key, of in limits.inputs.items() if key != "mode"}})
    found = judge(limits=others)
    assert found["MON008"].exceeded
    assert found["MON008"].detail == "metrics/limits.json has no limits of mode"
    assert "MON001 current" in found


@pytest.mark.slow
def test_a_calibrated_limit_counts_in_a_window_of_any_size(judge: Judge, limits: Limits) -> None:
    own = {"MON001 current": 1e-9, "MON002": 77.0, "MON003 current.outside": 0.5, "MON004 score.flagged": 1e-9}
    for rows in (ROWS, 90):
        found = judge(drawn(rows), limits=limits.model_copy(update={"calibrated": own}))
        assert {key: found[key].limit for key in own} == own
        assert "MON001 current" in exceeded(found)


@pytest.mark.slow
def test_an_alarm_is_cleared_on_the_way_to_what_was_usual_where_its_limit_is_from(judge: Judge, limits: Limits) -> None:
    """A moment of the service is always unlike weeks of the reference: by those, its alarm would never be cleared."""
    found = judge()
    for key in ("MON001 current", "MON002", "MON003 turns.missing", "MON004 score"):
        assert found[key].usual == limits.parts[key].usual, key
    recorded = {"MON001 current": 2.0, "MON003 turns.missing": 0.01, "MON004 score": 1.0}
    moved = limits.model_copy(update={"calibrated": dict.fromkeys(recorded, 2.4), "calibrated_usual": recorded})
    found = judge(limits=moved)
    assert {key: found[key].usual for key in recorded} == recorded
    assert found["MON002"].usual == limits.parts["MON002"].usual
    assert moved.digest != moved.model_copy(update={"calibrated_usual": {}}).digest, "an edit is seen"


@pytest.mark.slow
def test_a_window_of_few_rows_has_wider_limits(judge: Judge) -> None:
    many, few = judge(), judge(drawn(60))
    for key in ("MON001 current", "MON002", "MON003 current.outside", "MON004 score.flagged"):
        assert few[key].limit > many[key].limit, key
    assert exceeded(few) - {"MON008"} == set()
