"""What the operator's page draws: the window beside the reference, as counts in the bins of the limits."""

from __future__ import annotations

import base64
import re
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from beampermit.contract import parse_contract
from beampermit.documents.charts import PALETTE
from beampermit.documents.monitoring_page import monitoring_page
from beampermit.monitoring import pictures as module
from beampermit.monitoring.limits import Distribution
from beampermit.monitoring.pictures import _picture, pictures
from beampermit.verdicts.monitoring import Level, Picture, Reading, Result, Standing, Window
from support.monitored import BEGAN, usual_limits


def standing(subject: str, level: Level = "MAJOR") -> Standing:
    reading = Reading(check="MON001", subject=subject, value=1.5, limit=0.5, detail="")
    return Standing(reading=reading, level=level, since=BEGAN)


def shown(text: str, *found: Picture) -> str:
    window = Window(since=BEGAN - 3600, until=BEGAN, rows=60, version=3)
    standings = tuple(standing(one.subject) for one in found)
    made = Result(model="bpm-faults", at=BEGAN, window=window, standings=standings, drift=3.0)
    return monitoring_page(made, parse_contract(text), found)


def drawn_of(page: str) -> list[str]:
    return [base64.b64decode(one).decode() for one in re.findall(r"data:image/svg\+xml;base64,([A-Za-z0-9+/=]+)", page)]


def distribution(*edges: float) -> Distribution:
    return Distribution(edges=edges, shares=(1 / (len(edges) + 1),) * (len(edges) + 1), usual=0.1, limit=0.5)


def test_a_picture_has_the_shares_of_both_and_every_value() -> None:
    found = _picture("current", distribution(0.0, 1.0, 2.0), np.array([-5.0, 0.5, 0.6, 1.5, 9.0, np.nan, np.inf]))
    assert found.edges == (-5.0, 0.0, 1.0, 2.0, 9.0)
    assert found.reference == (0.25, 0.25, 0.25, 0.25)
    assert found.window == pytest.approx((0.2, 0.4, 0.2, 0.2))


@pytest.mark.parametrize(
    ("edges", "values", "ends", "shares"),
    [
        ((3.0,), [3.0, 3.0], (2.7, 3.3), (0.0, 1.0)),  # a constant, and its window
        ((0.0,), [], (-0.1, 0.1), (0.0, 0.0)),
        ((0.0, 1.0), [], (-1.0, 2.0), (0.0, 0.0, 0.0)),
        ((0.0, 1.0), [np.nan, np.nan], (-1.0, 2.0), (0.0, 0.0, 0.0)),
    ],
)
def test_a_constant_and_an_empty_window_have_a_picture(
    edges: tuple[float, ...], values: list[float], ends: tuple[float, float], shares: tuple[float, ...]
) -> None:
    found = _picture("x", distribution(*edges), np.array(values))
    assert (found.edges[0], found.edges[-1]) == pytest.approx(ends)
    assert all(before < after for before, after in zip(found.edges, found.edges[1:], strict=False))
    assert found.window == shares or found.window == shares[::-1]


def test_what_is_in_alarm_is_drawn_in_the_order_given_and_each_once(
    contract_text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    limits = usual_limits(contract_text)
    nothing = np.zeros(30)
    turns = {f"turns.{what}": nothing for what in ("mean", "std", "span", "step")}
    rows = {"turns": SimpleNamespace(numbers=turns), "current": SimpleNamespace(numbers={"current": nothing})}
    window: Any = SimpleNamespace(inputs=rows, outputs={})
    wanted = [standing("turns.std"), standing("current"), standing("turns.std"), standing("turns.mean", "NO_ALARM")]
    assert [one.subject for one in pictures(window, limits, wanted)] == ["turns.std", "current"]
    assert pictures(window, limits, [standing("mode"), standing("nobody")]) == (), "no such rows in the window"
    monkeypatch.setattr(module, "MOST", 1)
    assert [one.subject for one in pictures(window, limits, wanted)] == ["turns.std"]


@pytest.mark.slow
def test_both_series_are_in_the_drawing(contract_text: str) -> None:
    (svg,) = drawn_of(shown(contract_text, _picture("current", distribution(0.0, 1.0), np.array([0.5, 3.0]))))
    lines = re.findall(r"stroke: (#[0-9a-f]{6}); stroke-width: 1\.8", svg)
    assert {PALETTE[0].lower(), PALETTE[1].lower()} <= {*map(str.lower, lines)}
    (empty,) = drawn_of(shown(contract_text, _picture("current", distribution(3.0), np.array([]))))
    assert "nan" not in empty.lower()


@pytest.mark.slow
def test_a_name_that_is_markup_stays_text(contract_text: str) -> None:
    name = "<script>alert(1)</script>$\\frac{"
    page = shown(contract_text, Picture(subject=name, edges=(0.0, 1.0, 2.0), reference=(0.5, 0.5), window=(0.0, 1.0)))
    (svg,) = drawn_of(page)
    assert "<script" not in page
    assert "<script" not in svg
    assert "&lt;script&gt;" in page
