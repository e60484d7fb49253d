"""Samples make rows when they would have in service: by change, at an event, every period, and at most so often."""

from __future__ import annotations

from typing import Any

import pytest

from beampermit.contract.service import Serving
from beampermit.live.replay.moments import Sample
from beampermit.live.replay.row_times import RowTimes
from support.served import Serve

TURNS, CURRENT = 0, 1
Row = tuple[float, bool, int]
"""When, whether rows are due, and how many samples have arrived."""


def made(serve: Serve, arrivals: list[tuple[float, int, int]], end: float = 10.0, **serving: Any) -> list[Row]:
    """Of arrivals of (second, input, PV) from 0 on, and the end where anything waits for it."""
    wiring = serve().loop.wiring
    samples = ((at, Sample(wire, pv, 1.0, at, 0)) for at, wire, pv in arrivals)
    moments = RowTimes(wiring, Serving(**serving)).moments(samples, 0.0, end)
    rows = [(round(moment.at, 6), moment.due, len(moment.samples)) for moment in moments]
    assert rows[-1][:2] == (end, False)
    assert rows == sorted(rows), "time goes on"
    return rows if rows[-1][2] else rows[:-1]


ALL = [(0.0, TURNS, 0), (0.0, TURNS, 1), (0.0, TURNS, 2), (0.0, CURRENT, 0)]


@pytest.mark.parametrize(
    ("arrivals", "serving", "rows"),
    [
        pytest.param(ALL, {}, [(0.0, True, 4)], id="all inputs: at once"),
        pytest.param([*ALL[:3], (0.009, CURRENT, 0)], {}, [(0.009, True, 4)], id="as soon as all are there"),
        pytest.param([*ALL[:3], (0.011, CURRENT, 0)], {}, [(0.01, True, 3), (0.021, True, 1)], id="gathered so long"),
        pytest.param([*ALL, (1.0, TURNS, 0), (1.0, TURNS, 0)], {}, [(0.0, True, 4), (1.01, True, 2)], id="one changes"),
        pytest.param([*ALL, (0.05, TURNS, 0)], {"at_most": 0.15}, [(0.0, True, 4), (0.15, True, 1)], id="at most"),
        pytest.param(
            [*ALL, (1.0, TURNS, 0), (1.0, CURRENT, 0), (2.0, TURNS, 1)],
            {"event": "current"},
            [(0.0, True, 4), (1.01, True, 2), (2.2, False, 1)],
            id="an event, and what comes without one",
        ),
        pytest.param(
            [*ALL, *[(at + 1.0, *pv) for at, *pv in ALL[::-1]]],
            {"event": "current", "gather": 0.1},
            [(0.0, True, 4), (1.0, True, 4)],
            id="an event that comes before its inputs",
        ),
        pytest.param(
            [*ALL, (0.15, TURNS, 0), (1.0, CURRENT, 0), (1.0, TURNS, 1), (1.0, TURNS, 2), (1.05, TURNS, 0)],
            {"event": "current", "gather": 0.1},
            [(0.0, True, 4), (0.35, False, 1), (1.05, True, 4)],
            id="an event, and an input that changed before it",
        ),
        pytest.param(
            [*ALL, (1.0, CURRENT, 0), (1.0, TURNS, 1), (1.0, TURNS, 2), (1.15, TURNS, 0)],
            {"event": "current", "gather": 0.1, "within": 0.2},
            [(0.0, True, 4), (1.1, True, 3), (1.15, False, 1)],
            id="what rows had to do without is judged at once",
        ),
        pytest.param(
            [*ALL, (0.7, TURNS, 0)],
            {"period": 0.4},
            [(0.0, True, 4), (0.4, True, 0), (0.8, True, 1), (1.2, True, 0)],
            id="a period",
        ),
        pytest.param(
            [(0.0, TURNS, 0), (0.3, TURNS, 0)],
            {"period": 1.0},
            [(0.0, True, 1), (0.5, False, 1), (1.0, True, 0)],
            id="what comes between two periods is judged after a watch",
        ),
        pytest.param([(1.199, CURRENT, 0)], {"event": "turns"}, [(1.21, False, 1)], id="the end"),
        pytest.param([(1.199, TURNS, 0)], {"gather": 0.02}, [(1.21, False, 1)], id="due after the end"),
    ],
)
def test_rows_are_made_as_in_service(serve: Serve, arrivals: Any, serving: dict[str, Any], rows: list[Row]) -> None:
    assert made(serve, arrivals, end=1.21 if arrivals[-1][0] < 1.2 else 3.0, **serving) == rows


def test_a_second_span_begins_anew(serve: Serve) -> None:
    times = RowTimes(serve().loop.wiring, Serving(period=1.0))
    assert [moment.at for moment in times.moments([], 0.0, 2.5)] == [0.0, 1.0, 2.0, 2.5]
    assert [moment.at for moment in times.moments([], 100.5, 102.0)] == [100.5, 101.5, 102.0]
    times = RowTimes(serve().loop.wiring, Serving())
    ended = [*times.moments([(0.495, Sample(TURNS, 0, 1.0, 0.495, 0))], 0.0, 0.5)]
    assert [(moment.at, moment.due, len(moment.samples)) for moment in ended] == [(0.5, False, 1)]
    others = [(100.0, Sample(wire, pv, 1.0, 100.0, 0)) for _, wire, pv in ALL[1:]]
    assert [moment.at for moment in times.moments([], 50.0, 60.0)] == [60.0]
    first = next(times.moments(others, 100.0, 101.0))
    assert first.at == pytest.approx(100.01), "what came in the span before counts no more"
