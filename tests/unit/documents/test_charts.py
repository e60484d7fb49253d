"""Curves are drawn within what Mermaid can do, and anything else is refused with a reason."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from beampermit.changes.flat import exact
from beampermit.documents import charts, mermaid
from beampermit.documents.markdown import duration, number, signed, size
from beampermit.documents.plots import BINS, CLASSES, CURVES, Cloud, Confusion, Curve, Histogram, Lines, parse_plots
from beampermit.errors import BadInput
from support.planted_results import PLOTS

finite = st.floats(allow_nan=False, allow_infinity=False, min_value=-1e12, max_value=1e12)


@pytest.mark.slow
@given(st.lists(st.tuples(finite, finite), max_size=60), st.text(), st.booleans())
def test_a_diagram_has_plain_numbers_and_plain_labels(points: Any, title: str, steps: bool) -> None:
    curve = Curve(name=title, points=tuple(points))
    made = mermaid.chart(Lines(title=title, x=title, y=title, curves=(curve,) * 2, steps=steps))
    if not made:
        assert len({x for x, _ in points}) < 2, "only what has no extent is not drawn"
        return
    lines = made.splitlines()
    assert lines[0] == "```mermaid"
    assert lines[-1] == "```"
    assert len(lines) == 9
    for line in lines[3:6]:
        assert re.fullmatch(r'  (?:title|x-axis|y-axis) "[\w .,:/()%+-]*"(?: -?[\d.]+ --> -?[\d.]+)?', line), line
    for line in lines[6:8]:
        assert re.fullmatch(r"  line \[-?[\d.]+(?:, -?[\d.]+)*\]", line), line
    assert len(made) < 50_000


def test_a_roc_curve_is_even_in_its_x_and_holds_between_points() -> None:
    roc = parse_plots(PLOTS, "plots.json").charts[1]
    line = next(line for line in mermaid.chart(roc).splitlines() if "line [" in line)
    values = [float(word) for word in line[line.index("[") + 1 : -1].split(",")]
    assert len(values) == mermaid.SHOWN
    assert (values[0], values[1], values[4], values[-1]) == (0.7, 0.7, 0.97, 1.0)


CLOUD = [[place / 50, (place * 37 % 101) / 50 - 1] for place in range(1_000)]
KINDS: dict[str, Any] = {
    "loss_rate": {
        "kind": "line",
        "x": "turn",
        "y": "loss (1/s)",
        "curves": {"x": [[5, 1], [0, 2]], "y": [[0, 1], [9, 3]]},
    },
    "emittance": {"kind": "scatter", "x": "measured (um)", "y": "predicted (um)", "identity": True, "points": CLOUD},
    "errors": {"kind": "residuals", "x": "predicted (um)", "y": "error (um)", "points": CLOUD[:100]},
    "scores": {"kind": "histogram", "x": "score", "edges": [0, 0.5, 1], "counts": {"sound": [9, 1], "faulty": [1, 1]}},
    "current": {"kind": "histogram", "x": "current (mA)", "edges": [0, 1, 3], "counts": {"test": [3, 1]}},
    "faults": {"kind": "confusion", "title": "Kinds", "classes": ["none", "stuck |"], "counts": [[3, 1], [0, 2]]},
    "one_value": {"kind": "scatter", "points": [[1, 1]] * 500},
    "none": {"kind": "residuals", "points": []},
}


@pytest.mark.slow
def test_each_kind_of_plot_is_drawn_as_an_image_that_needs_nothing_from_outside() -> None:
    found = parse_plots(PLOTS | KINDS, "plots.json").thinned()
    assert found.left_out == ()
    assert [chart.title for chart in found.charts] == [
        *("Loss", "ROC", "Confusion", "Loss rate", "Emittance", "Errors", "Scores", "Current", "Kinds"),
        *("One value", "None"),
    ]
    for chart in found.charts:
        assert charts.chart_svg(chart).startswith("data:image/svg+xml;base64,")


def test_each_kind_of_plot_is_told_in_a_comment() -> None:
    made = {chart.title: mermaid.chart(chart) for chart in parse_plots(KINDS, "plots.json").thinned().charts}
    assert '  title "Loss rate: blue x, orange y"' in made["Loss rate"]
    assert '  x-axis "turn" 0 --> 9' in made["Loss rate"]
    assert '  title "Emittance: blue median, orange 5 %, green 95 %"' in made["Emittance"]
    assert '  title "Scores: blue sound, orange faulty"' in made["Scores"]
    assert [line for line in made["Scores"].splitlines() if "line [" in line] == [
        "  line [0.9, 0.1]",
        "  line [0.5, 0.5]",
    ]
    assert "  bar [0.75, 0.25]" in made["Current"]
    assert made["Kinds"].splitlines() == [
        "| Kinds, predicted as | `none` | <code>stuck \\|</code> |",
        "|---|--:|--:|",
        "| **truth** `none` | 3 (75%) | 1 (25%) |",
        "| **truth** <code>stuck \\|</code> | 0 (0%) | 2 (100%) |",
    ]
    assert (made["One value"], made["None"]) == ("", ""), "what has no extent is not drawn"


def test_counts_of_two_classes_are_a_matrix_whose_rows_are_the_truth() -> None:
    (matrix,) = parse_plots({"confusion": PLOTS["confusion"]}, "plots.json").charts
    assert isinstance(matrix, Confusion)
    assert (matrix.classes, matrix.counts) == (("positive", "negative"), ((80, 9), (12, 700)))


def test_of_a_large_cloud_the_middle_and_the_spread_are_those_of_its_points() -> None:
    points = [(place / 1_000, float(place % 101)) for place in range(10_000)]
    made = mermaid.chart(Cloud(kind="scatter", points=tuple(points)).thinned())
    lines = [json.loads(line.removeprefix("  line ")) for line in made.splitlines() if line.startswith("  line ")]
    for values, expected in zip(lines, (50, 5, 95), strict=True):
        assert all(abs(value - expected) <= 100 / 32 + 1 for value in values)


LEFT_OUT = [
    ({"kind": "heatmap"}, "'heat' is not drawn: 'heatmap' is not a kind of plot; the kinds are line, scatter,"),
    ({"kind": "scater", "points": []}, "'scater' is not a kind of plot; did you mean 'scatter'?; the kinds"),
    ([[0, 1]], "'heat' is not drawn: it has no kind; the kinds are line, scatter, histogram, confusion, residuals"),
    ({"kind": ["line"]}, "['line'] is not a kind of plot"),
]


@pytest.mark.parametrize(("given_plot", "words"), LEFT_OUT)
def test_a_plot_of_an_unknown_kind_is_left_out_and_said(given_plot: Any, words: str) -> None:
    found = parse_plots({"heat": given_plot, "roc": PLOTS["roc"]}, "plots.json")
    assert [chart.title for chart in found.charts] == ["ROC"]
    assert len(found.left_out) == 1
    assert words in found.left_out[0]


def test_plots_of_one_title_are_told_apart() -> None:
    line = {"kind": "line", "title": "Loss", "curves": {}}
    found = parse_plots({"a": line, "b": line, "training": PLOTS["training"]}, "plots.json")
    assert [chart.title for chart in found.charts] == ["Loss (training)", "Loss (a)", "Loss (b)"]


LIMITS = [
    ("line", CURVES, lambda n: {"curves": {str(place): [] for place in range(n)}}),
    ("confusion", CLASSES, lambda n: {"classes": [str(place) for place in range(n)], "counts": [[1] * n] * n}),
    ("histogram", BINS, lambda n: {"edges": list(range(n + 1)), "counts": {"a": [1] * n}}),
]


@pytest.mark.parametrize(("kind", "limit", "make"), LIMITS, ids=[kind for kind, _, _ in LIMITS])
def test_what_nobody_could_tell_apart_in_a_drawing_is_refused(kind: str, limit: int, make: Any) -> None:
    assert len(parse_plots({"a": {"kind": kind, **make(limit)}}, "plots.json").charts) == 1
    with pytest.raises(BadInput, match=rf"a: .*at most {limit + (kind == 'histogram')} items"):
        parse_plots({"a": {"kind": kind, **make(limit + 1)}}, "plots.json")


def test_histograms_of_different_sizes_are_compared_by_shares() -> None:
    found = Histogram(edges=(0, 1, 2), counts={"many": (900, 100), "none": (0, 0)})
    assert found.shares() == {"many": [0.9, 0.1], "none": [0, 0]}


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ([], "a JSON object"),
        ({"roc": [[0]]}, "each point of roc is a list of 2 finite numbers"),
        ({"roc": [[0, True]]}, "each point of roc"),
        ({"training": [[0, 1, "x"]]}, "each point of training is a list of 3"),
        ({"training": {}}, "training is a list"),
        ({"confusion": {"tp": 1}}, "tp, fn, fp and tn"),
        ({"confusion": {"tp": 1, "fp": 1, "fn": -1, "tn": 1}}, "tp, fn, fp and tn"),
        ({"a": {"kind": "scatter"}}, "a: points: Field required"),
        ({"a": {"kind": "scatter", "points": [[0, "x"]]}}, "a: points.0.1: "),
        ({"a": {"kind": "scatter", "points": [[0, 10**400]]}}, "a: points.0.1: "),
        ({"a": {"kind": "scatter", "points": [], "colour": "red"}}, "a: colour: Extra inputs"),
        ({"a": {"kind": "scatter", "points": [[0, 0]], "cell": [1, 1]}}, "a count for each point"),
        ({"a": {"kind": "histogram", "edges": [0, 0], "counts": {"x": [1]}}}, "edges must increase"),
        ({"a": {"kind": "histogram", "edges": [0, 1], "counts": {"x": [1, 2]}}}, "'x' has 2 counts for 1 bins"),
        ({"a": {"kind": "histogram", "edges": [0, 1], "counts": {"x": [-1]}}}, "a: counts.x.0: "),
        ({"a": {"kind": "confusion", "classes": ["x", "y"], "counts": [[1, 2]]}}, "2 rows of 2 numbers"),
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
