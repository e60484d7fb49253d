"""`report.json` holds all that a report says: read again anywhere, strictly, it gives the same bytes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from beampermit.documents import rendering
from beampermit.documents.gathering import gather_report
from beampermit.documents.plots import CELLS, ENOUGH, Cloud, Confusion, Curve, Lines, Plots
from beampermit.documents.report import LARGEST, Report, bound_report, read_report
from beampermit.errors import BadInput
from beampermit.project import Project
from beampermit.verdicts.merge import MergedVerdicts
from support.hostile_text import HOSTILE_VALUES, assert_harmless
from support.planted_results import EXPECTED, METRICS, failed, judged, verdict, write

A = "a" * 40
LIMITS: dict[str, Any] = {
    "rows": [{"key": "MON001 x", "before": 0.2, "after": 0.4, "calibrated": True, "looser": True}] * 20,
    "more": 3,
    "backtest": {
        **{"since": "2026-10-01T00:00:00Z", "until": "2026-11-01T00:00:00Z", "windows": 4314, "weeks": 4.3},
        "before": {"per_week": 1.4, "low": 0.66, "high": 2.7},
        "after": {"per_week": 0.0, "low": 0.0, "high": 0.7},
    },
    "without": "",
}


def small(**more: Any) -> Report:
    values: dict[str, Any] = {"judged": MergedVerdicts((), {}), "commit": A, "head": A, "tree": A, "base": None}
    return Report(name="bpm-faults", **{**values, **more})


def content(found: Report) -> dict[str, Any]:
    return json.loads(found.json_text())


@pytest.mark.slow
def test_read_again_elsewhere_it_gives_the_same_bytes(branch: Project, folder: Path) -> None:
    judged(branch, folder / "data.json", failed("DAT004"), verdict("DOC001"))
    here = gather_report(branch, folder, EXPECTED)
    there = read_report(here.json_text().encode(), EXPECTED)
    assert there.markdown() == here.markdown()
    assert there.html() == here.html()
    assert there.summary() == here.summary()
    assert len(here.plots.charts) == 3


@pytest.mark.slow
def test_what_is_missing_is_found_by_the_reader_and_never_believed(results: Project, folder: Path) -> None:
    judged(results, folder / "a.json", verdict("DOC001"))
    forged = content(gather_report(results, folder, {"DOC001": "Two owners"}))
    assert read_report(json.dumps(forged).encode(), {"DOC001": ""}).judged.all_passed
    found = read_report(json.dumps(forged).encode(), EXPECTED)
    assert list(found.judged.missing) == ["DAT004", "PRF002"]
    assert found.markdown().startswith("# ❌ bpm-faults: 2 without a verdict")
    forged["judged"]["verdicts"].append({**forged["judged"]["verdicts"][0], "outcome": "failed"})
    assert read_report(json.dumps(forged).encode(), EXPECTED).judged.verdicts[0].outcome == "failed", "the worse counts"


def changed(path: str, value: Any) -> bytes:
    """A sound report as JSON with one value put in."""
    roc = Lines(title="ROC", x="x", y="y", curves=(Curve(name="model", points=((0.0, 1.0), (1.0, 1.0))),))
    matrix = Confusion(title="Confusion", classes=("a", "b"), counts=((1, 2), (3, 4)))
    tree: Any = content(small(plots=Plots(charts=(roc, matrix)), judged=MergedVerdicts((verdict("DOC001"),), {})))
    *parents, last = path.split("/")
    node = tree
    for part in parents:
        node = node[int(part) if part.isdigit() else part]
    node[last] = value
    return json.dumps(tree).encode()


@pytest.mark.parametrize(
    ("given_content", "words"),
    [
        (b"", "not JSON"),
        (b"[]", "not a report"),
        (b"\xef\xbb\xbf{}", "not JSON: Unexpected UTF-8 BOM"),
        (b"\xff{}", "not JSON"),
        (b"[" * 100_000, "not JSON"),
        (b'{"name": "a", "name": "b"}', "key 'name' is given twice"),
        (b'{"rows": {"train": %s}}' % (b"9" * 5000), "an integer with thousands of digits"),
        (b" " * (LARGEST + 1), "larger than "),
        (changed("surprise", 1), "surprise: Extra inputs"),
        (changed("plots/surprise", 1), "plots.surprise: "),
        (changed("judged/surprise", 1), "judged.surprise: "),
        (changed("judged/verdicts/0/id", "DOC1\n::error::"), "judged.verdicts.0.id: "),
        (changed("plots/charts/1/counts", [[1, float("nan")], [3, 4]]), "NaN is not a JSON number"),
        (changed("plots/charts/1/counts", [["Infinity", 1], [3, 4]]), "plots.charts.1.confusion.counts.0.0: "),
        (changed("plots/charts/1/kind", "heatmap"), "plots.charts.1: "),
        (changed("rows", {"train": 10**30}), "rows.train: "),
        (changed("rows", {"train": -1}), "rows.train: "),
        (changed("other_metrics", {"auc": 10**400}), "other_metrics.auc: "),
        (changed("commit", "main"), "commit: "),
        (changed("commit", f"{A}\n"), "commit: "),
        (changed("name", "\ud800"), "a lone surrogate"),
        (changed("beampermit", 2), "beampermit: "),
        (changed("limits", {**LIMITS, "rows": [LIMITS["rows"][0]] * 21}), "limits.rows: "),
        (changed("limits", {**LIMITS, "backtest": {**LIMITS["backtest"], "since": "`x`"}}), "limits.backtest.since: "),
        (changed("limits", {**LIMITS, "without": "@octocat"}), "limits.without: "),
    ],
    ids=range(25),
)
def test_anything_else_is_refused_with_a_reason(given_content: bytes, words: str) -> None:
    with pytest.raises(BadInput) as caught:
        read_report(given_content, EXPECTED)
    assert words in str(caught.value)
    assert caught.value.file == "report.json"


def replaced(node: Any, values: Any, key: str = "") -> Any:
    """The same tree with a hostile text in every place that takes one."""
    if isinstance(node, dict):
        return {name: replaced(value, values, name) for name, value in node.items()}
    if isinstance(node, list):
        return [replaced(value, values, key) for value in node]
    fixed = ("id", "outcome", "since", "until", "without", "commit", "head", "tree", "base", "better", "kind")
    if not isinstance(node, str) or key in fixed or key.startswith("metric"):
        return node
    return node if key == "fix" and not node else values()  # a passed verdict has none


@pytest.mark.slow
@settings(max_examples=60, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_no_value_in_any_place_breaks_the_report(full: dict[str, Any], data: st.DataObject) -> None:
    pool = data.draw(st.lists(HOSTILE_VALUES, min_size=1, max_size=8))
    places = iter(range(10**6))
    hostile = replaced(full, lambda: pool[next(places) % len(pool)].encode("utf-8", "replace").decode())
    for row in hostile["metrics"]:
        row["metric"]["name"] = "auc"
    for where in ("rows", "other_metrics", "recall", "settings"):
        values = list(hostile[where].values())
        hostile[where] = {pool[0].encode("utf-8", "replace").decode() + str(n): v for n, v in enumerate(values)}
    found = read_report(json.dumps(hostile).encode(), EXPECTED)
    assert_harmless(found.markdown())
    assert_harmless(found.markdown(limit=6_000))
    assert rendering.length(found.markdown()) <= rendering.LIMIT


@pytest.fixture(scope="module")
def full() -> dict[str, Any]:
    """A report in which every field says something."""
    move = {"key": "metrics.auc.gate", "before": "0.95", "after": "0.9", "looser": True}
    bound = {"path": "data", "hash": "aaaa", "size": 12, "files": 3}
    metric = {"name": "auc", "better": "higher", "gate": 0.9, "champion_margin": 0.0, "description": "x"}
    curve = {"name": "model", "points": [[0, 0], [1, 1]]}
    not_passed = failed("DAT004").model_dump(mode="json")
    return content(small(judged=MergedVerdicts((), {}))) | {
        "name": "bpm",
        "judged": {
            "verdicts": [not_passed, verdict("DOC001").model_dump(mode="json")],
            "missing": {"X": "x"},
            "unread": ["broken.json: not JSON"],
            "places": ["ci (Linux)"],
            "checkers": ["0.1.0"],
        },
        "base": A,
        "head": "b" * 40,
        "notes": ["something"],
        "metrics": [{"metric": metric, "value": 0.5, "base": 0.4, "champion": 0.3}],
        "other_metrics": {"brier": 0.1},
        "recall": {"stuck": [0.5, 0.4]},
        "champion": {"version": 4, "digest": "sha256:x", "metrics": {"auc": 0.9}},
        "gates": [move],
        "texts": [move],
        "limits": LIMITS,
        "data": [{"path": "data", "before": bound, "after": bound}],
        "rows": {"train": 12},
        "changes": [{"split": "train", "changes": ["more rows"], "histograms": {"turns": ["▁", "▂"]}}],
        "settings": {"params.yaml": [move]},
        "packages": [move] * 14,
        "watched": [".github/x.yml"],
        "plots": {
            "charts": [
                {"kind": "line", "title": "ROC", "x": "x", "y": "y", "curves": [curve, curve], "steps": True},
                {"kind": "residuals", "title": "Errors", "points": [[0, 1], [1, 2]], "cell": [1, 1], "counts": [1, 9]},
                {"kind": "histogram", "title": "Scores", "edges": [0, 1, 2], "counts": {"sound": [4, 5]}},
                {"kind": "confusion", "title": "Kinds", "classes": ["a", "b"], "counts": [[1, 2], [3, 4]]},
            ],
            "left_out": ["'heat' is not drawn"],
        },
        "problems": [{"message": "not JSON", "file": "metrics.json", "line": 3, "hint": "x"}],
        "cut": {"packages": 12},
    }


@pytest.mark.slow
def test_what_nobody_can_read_to_its_end_is_cut_and_counted() -> None:
    move = {"key": "k" * 100, "before": "b" * 200, "after": None, "looser": False}
    found = small(packages=[move] * 5_000, texts=[move] * 3)
    assert bound_report(found).cut == {"packages": 3_000}
    assert "Shortened, because the report is too large: environment (3000 left out)." in bound_report(found).markdown()
    assert len(bound_report(found).packages) == 2_000


@pytest.mark.slow
def test_the_file_stays_within_its_bound_whatever_the_project_holds() -> None:
    move = {"key": "k" * 30_000, "before": "b" * 30_000, "after": None, "looser": False}
    many = tuple(verdict(f"DAT{number:03}", reason="r" * 30_000) for number in range(300))
    text = bound_report(small(packages=[move] * 5_000, judged=MergedVerdicts(many, {}))).json_text()
    assert len(text.encode()) <= LARGEST
    assert len(read_report(text.encode(), {}).judged.verdicts) == 300, "a verdict is never cut"


@pytest.mark.slow
def test_a_long_curve_is_thinned_and_keeps_its_ends(results: Project, folder: Path) -> None:
    roc = [[place / 4_999, place / 4_999] for place in range(5_000)]
    write(results, "metrics/plots.json", {"roc": roc})
    write(results, "metrics/metrics.json", METRICS)
    (chart,) = gather_report(results, folder, EXPECTED).plots.charts
    assert isinstance(chart, Lines)
    points = chart.curves[0].points
    assert len(points) == ENOUGH
    assert (points[0], points[-1]) == ((0, 0), (1, 1))


@pytest.mark.slow
def test_a_large_cloud_is_counted_in_cells_and_no_point_is_lost(results: Project, folder: Path) -> None:
    points = [[place % 100, place % 7] for place in range(1_400)]
    clouds = {f"cloud_{number}": {"kind": "scatter", "points": points} for number in range(61)}
    write(results, "metrics/plots.json", clouds)
    write(results, "metrics/metrics.json", METRICS)
    found = gather_report(results, folder, EXPECTED)
    first = found.plots.charts[0]
    assert isinstance(first, Cloud)
    assert (sum(first.counts), len(first.points) <= CELLS**2) == (1_400, True)
    assert found.plots.left_out == ("'Cloud 60' is not drawn: a document shows 60 plots",)
    assert len(found.json_text()) < LARGEST / 2


@pytest.mark.slow
def test_the_gates_leave_last_and_the_headline_never_does() -> None:
    move = {"key": "#" * 900, "before": "1", "after": "2", "looser": True}
    found = small(gates=[move] * 1_000, watched=["#" * 900] * 30)
    made = found.markdown()
    assert rendering.length(made) <= rendering.LIMIT
    assert "Left out, because a comment has a maximum length: commit and machines, changed workflow files" in made
    assert "**changed gates**" in made
    assert made.startswith("# ❌ bpm-faults: No verdicts")
