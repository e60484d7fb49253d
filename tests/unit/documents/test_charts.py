"""Curves are drawn within what Mermaid can do, and anything else is refused with a reason."""

from __future__ import annotations

import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from beampermit.changes.flat import exact
from beampermit.documents import charts
from beampermit.documents.markdown import duration, number, signed, size
from beampermit.documents.plots import Chart, Curve, parse_plots
from beampermit.errors import BadInput
from support.planted_results import PLOTS

finite = st.floats(allow_nan=False, allow_infinity=False, min_value=-1e12, max_value=1e12)


@given(st.lists(st.tuples(finite, finite), max_size=60), st.text(), st.booleans())
def test_a_diagram_has_plain_numbers_and_plain_labels(points: Any, title: str, steps: bool) -> None:
    chart = Chart(title, title, title, (Curve(title, tuple(sorted(points))),) * 2, steps)
    made = charts.mermaid_chart(chart)
    if not made:
        assert len({x for x, _ in points}) < 2, "only what has no extent is not drawn"
        return
    lines = made.splitlines()
    assert lines[0] == "```mermaid"
    assert lines[-1] == "```"
    assert len(lines) == 9
    for line in lines[3:6]:
        assert re.fullmatch(r'  (?:title|x-axis|y-axis) "[\w .,:/()+-]*"(?: -?[\d.]+ --> -?[\d.]+)?', line), line
    for line in lines[6:8]:
        assert re.fullmatch(r"  line \[-?[\d.]+(?:, -?[\d.]+)*\]", line), line
    assert len(made) < 50_000


def test_a_roc_curve_is_even_in_its_x_and_holds_between_points() -> None:
    roc = parse_plots(PLOTS, "plots.json").charts[1]
    line = next(line for line in charts.mermaid_chart(roc).splitlines() if "line [" in line)
    values = [float(word) for word in line[line.index("[") + 1 : -1].split(",")]
    assert len(values) == charts.SHOWN
    assert (values[0], values[1], values[4], values[-1]) == (0.7, 0.7, 0.97, 1.0)


def test_a_drawing_is_an_image_that_needs_nothing_from_outside() -> None:
    found = parse_plots(PLOTS, "plots.json")
    assert found.confusion is not None
    for address in (charts.chart_svg(found.charts[0]), charts.confusion_svg(found.confusion)):
        assert address.startswith("data:image/svg+xml;base64,")


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ([], "a JSON object"),
        ({"roc": [[0]]}, "each point of roc is a list of 2 finite numbers"),
        ({"roc": [[0, True]]}, "each point of roc"),
        ({"training": [[0, 1, "x"]]}, "each point of training is a list of 3"),
        ({"training": {}}, "training is a list"),
        ({"confusion": {"tp": 1}}, "tp, fp, fn and tn"),
        ({"roc": [[0, 10**400]]}, "each point of roc"),
    ],
)
def test_plots_of_another_shape_are_refused(content: Any, words: str) -> None:
    with pytest.raises(BadInput, match=re.escape(words)):
        parse_plots(content, "plots.json")


def test_nothing_to_draw_is_nothing() -> None:
    assert parse_plots({}, "plots.json").charts == ()


def test_numbers_read_as_people_write_them() -> None:
    assert [number(value) for value in (0.98123456, 1e-5, 1234567.0, 0.1 + 0.2, 0, -2.5)] == [
        *("0.98123", "0.00001", "1234567", "0.3", "0", "-2.5"),
    ]  # fmt: skip
    assert exact(1e-6) == "0.000001"
    assert signed(0.01) == "+0.01"
    assert (size(999), size(1_234_567)) == ("999 B", "1.23 MB")
    assert [duration(value) for value in (0.05, 10, 600, 3600, 90)] == ["50 ms", "10 s", "10 min", "1 h", "90 s"]
