"""Rows are of the newest samples; times say whether these belong together, and put no others in their place."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from beampermit.live.epics.feed import Feed, InputReader, Reader
from beampermit.live.epics.sample import Sample, Table
from beampermit.live.latest import Latest
from beampermit.live.severity import Severity, Status
from beampermit.live.trigger import Trigger
from beampermit.live.wiring import wire
from support.served import NOW, Serve, serve, served_contract

__all__ = ["serve"]
APART = "the inputs are more than 0.05 s apart"
OLDER = "RING:CURRENT is more than 0.05 s older than RING:SHOT"
SNAPSHOT = {"snapshot": "RING:SHOT"}


@pytest.mark.parametrize(
    ("serving", "reason"),
    [({"within": 0.05}, APART), ({"within": 0.05, **SNAPSHOT}, OLDER), ({}, ""), (SNAPSHOT, "")],
    ids=["within", "within, snapshot", "changes", "snapshot"],
)
def test_an_input_that_is_always_one_shot_late_is_refused_by_its_time_and_else_mixed_in(
    serve: Serve, serving: dict[str, object], reason: str
) -> None:
    served = serve(serving=serving)
    trigger = served.loop.trigger
    for shot in range(1, 6):
        served.at = NOW + shot
        served.put([float(shot)] * 3)
        served.current(shot - 1.0, age=1.0)
        if trigger.snapshot:
            trigger.snap(served.at)
        assert trigger.wait()
        served.cycle()
        if reason:
            assert served.says("B1:FAULT") == (Severity.INVALID, Status.TIMEOUT, reason)
            continue
        assert served.says("B1:FAULT")[0] == Severity.NO_ALARM
        asked = served.model.asked[-1]
        assert (asked["turns"].max(), asked["current"].max()) == (shot, shot - 1)
    assert bool(served.model.asked) is not bool(reason)


@pytest.mark.parametrize("within", [{}, {"within": 0.05}], ids=["", "within"])
def test_a_snapshot_that_comes_last_makes_whole_rows_from_the_first_shot_on(
    serve: Serve, within: dict[str, float]
) -> None:
    served = serve(serving={"gather": 3600.0, **SNAPSHOT, **within})
    for shot in range(4):  # what a subscription gives at first is no shot
        served.at = NOW + shot
        served.put([float(shot)] * 3)
        served.current(float(shot))
        if shot:
            served.loop.trigger.snap(served.at)
            assert served.loop.trigger.wait()
            served.cycle()
            asked = served.model.asked[-1]
            assert {*asked["turns"].flat, *asked["current"].flat} == {shot}
            assert served.says("B1:FAULT")[0] == Severity.NO_ALARM


@pytest.mark.parametrize("within", [{}, {"within": 0.05}], ids=["", "within"])
def test_a_snapshot_that_overtakes_its_inputs_makes_whole_rows_from_the_first_shot_on(
    serve: Serve, within: dict[str, float]
) -> None:
    served = serve(serving={"gather": 3600.0, **SNAPSHOT, **within})
    for shot in range(4):  # what a subscription gives at first is no shot
        served.at = NOW + shot
        if shot:
            served.loop.trigger.snap(served.at)
            assert not served.loop.trigger.wait(), "its inputs are not there"
        served.put([float(shot)] * 3)
        served.current(float(shot))
        if shot:
            assert served.loop.trigger.wait()
            served.cycle()
            asked = served.model.asked[-1]
            assert {*asked["turns"].flat, *asked["current"].flat} == {shot}
            assert served.says("B1:FAULT")[0] == Severity.NO_ALARM


def test_columns_of_one_table_are_of_one_shot(tmp_path: Path, contract_text: str) -> None:
    inputs = [
        {"name": name, "pv": f"RING:ORBIT#{name}", "shape": [2], "unit": "mm", "range": [-9, 9], "stale_after": "5s"}
        for name in ("x", "y")
    ]
    outputs = [{"name": "score", "pv": "SCORE", "unit": "1", "range": [0, 1]}]
    contract = served_contract(
        contract_text, signals={"inputs": inputs, "outputs": outputs}, serving={"gather": 3600.0}
    )
    wiring = wire(contract, tmp_path)
    trigger = Trigger(wiring, contract.serving)
    latest = Latest(wiring, trigger.changed)
    readers: list[Reader] = [InputReader(latest, number, 0, column) for number, column in enumerate(("x", "y"))]
    feed = Feed("RING:ORBIT", ("pva",), readers, lambda: None)
    for shot in range(3):
        columns = {"x": np.full(2, shot), "y": np.full(2, -shot)}
        feed.take("pva", Sample(Table(columns), NOW + shot, 0, ""))
        assert trigger.wait(), "nothing else is waited for"
        readings = latest.read()
        assert readings.time.tolist() == [NOW + shot] * 2
        assert readings.lowest.tolist() == [shot, -shot]
