"""The report of a pull request, as one strict record: whoever has `report.json` can render it without a checkout."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any, Literal

from pydantic import Field, ValidationError

from beampermit import __version__
from beampermit.changes.data import OutputChange
from beampermit.changes.flat import Change
from beampermit.code.pipeline import Pipeline
from beampermit.documents import mermaid, rendering
from beampermit.documents.markdown import Markdown, signed
from beampermit.documents.page import drawing, page
from beampermit.documents.plots import Plots
from beampermit.errors import BadInput, Problem
from beampermit.models.metrics import MetricComparison
from beampermit.reading import first_fault, parse_json
from beampermit.record import Count, ObjectId, Record
from beampermit.trials.standing import Standing
from beampermit.verdicts.evidence import Champion, LimitChanges, SplitChanges
from beampermit.verdicts.merge import ICONS, MergedVerdicts, merge_verdicts

TEMPLATE = "report.md.j2"
FILE = "report.json"
LARGEST = 4 * 2**20
"""Bytes of `report.json`; a larger one is not read."""
SUMMARY = 1_000_000
"""Bytes of a step's summary; GitHub shows none above 1 MiB."""
STEPS = ((2_000, 20_000), (500, 4_000), (100, 1_000), (20, 200))
"""Rows of a list and characters of a text, tried in this order until the report fits its file."""
LONGEST = 300
"""Characters of what the first line says of the champion."""
WHOLE = ("judged", "plots")
"""Fields whose lists are never cut: every verdict counts, and half a curve misleads."""
EXPENDABLE = (
    *(
        "passed",
        "texts",
        "packages",
        "trials",
        "settings",
        "recall",
        "curves",
        "data",
        "metrics",
        "fixes",
        "not_passed",
    ),
    *("foot", "watched", "limits", "gates", "warnings"),
)
"""Blocks that a comment leaves out when it is too long, first to last; never the headline."""
TITLES = {
    "passed": "passed interlocks",
    "texts": "changed texts of the contract",
    "packages": "environment",
    "settings": "parameters",
    "trials": "trials behind the parameters",
    "recall": "recall by kind",
    "curves": "plots",
    "data": "data",
    "metrics": "metrics",
    "fixes": "how to fix",
    "not_passed": "interlocks that did not pass",
    "foot": "commit and machines",
    "watched": "changed workflow files",
    "limits": "changed limits of monitoring",
    "gates": "**changed gates**",
    "warnings": "**warnings**",
}
WHERE = Markdown("They are in the summary of this run, and in `report.html` among its artifacts.")


class Report(Record):
    """`commit` is what was checked out: on a pull request, the merge of `head` into its base.

    `notes` are sentences about what could not be compared; `gates` and `texts` are changes of the contract, `limits` of
    what is monitored; `recall` is by kind, here and on the base branch; `incomparable` says that the champion is not
    compared; `trials` stand behind the parameters; `cut` counts by field the rows that were left out.
    """

    beampermit: Literal[1] = 1
    name: str
    judged: MergedVerdicts
    commit: ObjectId
    head: ObjectId
    tree: ObjectId
    base: ObjectId | None
    notes: tuple[str, ...] = ()
    metrics: tuple[MetricComparison, ...] = ()
    other_metrics: dict[str, float] = Field(default={})
    recall: dict[str, tuple[float, float | None]] = Field(default={})
    champion: Champion | None = None
    incomparable: str = ""
    gates: tuple[Change, ...] = ()
    texts: tuple[Change, ...] = ()
    limits: LimitChanges | None = None
    data: tuple[OutputChange, ...] = ()
    rows: dict[str, Count] = Field(default={})
    changes: tuple[SplitChanges, ...] = ()
    settings: dict[str, tuple[Change, ...]] = Field(default={})
    trials: Standing | None = None
    packages: tuple[Change, ...] = ()
    watched: tuple[str, ...] = ()
    pipelines: tuple[Pipeline, ...] = ()
    plots: Plots = Field(default_factory=Plots)
    problems: tuple[Problem, ...] = ()
    cut: dict[str, Count] = Field(default={})

    @property
    def has_base_metrics(self) -> bool:
        return any(row.base is not None for row in self.metrics)

    @property
    def headline(self) -> str:
        """The first line: what passed or not, and that something is not compared with the champion."""
        short = f"{self.incomparable[: LONGEST - 1]}…" if len(self.incomparable) > LONGEST else self.incomparable
        return "; ".join(filter(None, (self.judged.headline, " ".join(short.split()))))

    @property
    def looser(self) -> tuple[Change, ...]:
        return tuple(change for change in self.gates if change.looser)

    @property
    def approvals(self) -> tuple[Change, ...]:
        """Looser gates of metrics: a code owner must approve each."""
        return tuple(change for change in self.looser if change.before and change.key.startswith("metrics."))

    def markdown(self, limit: int = rendering.LIMIT, where: Markdown = WHERE) -> Markdown:
        """For a comment, within `limit` characters; `where` says where to find what is left out."""
        return self._short(limit, where, rendering.length)

    def step_summary(self) -> Markdown:
        """For the summary of a workflow run, within GitHub's limit."""
        return self._short(SUMMARY, Markdown("They are in `report.html` among the artifacts."), rendering.size)

    def html(self, images: Mapping[str, bytes] | None = None) -> str:
        """One HTML page; `images` by title, where they are drawn already."""
        from beampermit.documents import charts

        made = charts.png_images(self.plots) if images is None else images
        values = self._values(lambda chart: drawing(chart.title))
        text = rendering.join(rendering.blocks(TEMPLATE, values))
        addresses = {title: charts.png_address(image) for title, image in made.items()}
        return page(text, f"{self.name}: {self.headline}", addresses)

    def json_text(self) -> str:
        """For `read_report`."""
        return self.model_dump_json() + "\n"

    def summary(self) -> dict[str, Any]:
        """For `--json`."""
        return {
            "model": self.name,
            "headline": self.headline,
            "passed": self.judged.all_passed,
            "commit": self.commit,
            "head": self.head,
            "tree": self.tree,
            "base": self.base,
            "notes": list(self.notes),
            "not_passed": [verdict.id for verdict in self.judged.not_passed],
            "missing": list(self.judged.missing),
            "unread": list(self.judged.unread),
            "metrics": {row.metric.name: row.value for row in self.metrics},
            "data_changed": {split.split: list(split.changes) for split in self.changes},
            "pipeline_changed": [path for pipeline in self.pipelines for path in pipeline.paths],
            "gates_changed": [change.key for change in self.gates],
            "limits_changed": [row.key for row in self.limits.rows] if self.limits else [],
            "problems": [str(problem) for problem in self.problems],
        }

    def _short(self, limit: int, where: Markdown, measure: Callable[[str], int]) -> Markdown:
        made = rendering.blocks(TEMPLATE, self._values(mermaid.chart))
        return rendering.shorten(made, EXPENDABLE, TITLES, where, limit, measure)

    def _values(self, chart: Callable[[Any], Markdown]) -> dict[str, Any]:
        return {
            "report": self,
            "judged": self.judged,
            "format_change": _format_change,
            "chart": chart,
            "icons": ICONS,
            "titles": TITLES,
            "version": __version__,
        }


def _format_change(row: MetricComparison, other: float | None) -> str:
    """Such as `+0.012 better`; empty where a side is absent."""
    if row.value is None or other is None:
        return ""
    if row.value == other:
        return "same"
    direction = "better" if (row.value > other) == (row.metric.better == "higher") else "worse"
    return f"{signed(row.value - other)} {direction}"


def bound_report(report: Report) -> Report:
    """The report, cut where it is too large for its file: it and its file render the same."""
    tree = report.model_dump(exclude={"cut"})
    return Report.model_validate(_bounded(tree, LARGEST))


def read_report(content: bytes, expected: Mapping[str, str], name: str = FILE) -> Report:
    """Read a `report.json` that a pull request may have forged; errors call it `name`.

    `expected` are ids and titles of the interlocks: which verdicts are missing, and so the headline, is worked out here
    and not read. Raises `BadInput`.
    """
    if len(content) > LARGEST:
        raise BadInput(f"larger than {LARGEST} bytes", file=name)
    try:
        report = Report.model_validate(parse_json(content, name))
    except ValidationError as error:
        raise BadInput(f"not a report: {first_fault(error)}", file=name) from None
    read = report.judged
    judged = merge_verdicts(read.verdicts, expected, unread=read.unread, places=read.places, checkers=read.checkers)
    return report.model_copy(update={"judged": judged})


def _bounded(tree: dict[str, Any], limit: int) -> dict[str, Any]:
    """`tree` as JSON of at most `limit` bytes, cut by the first of `STEPS` that is enough."""
    made = tree
    for items, length in STEPS:
        cut: dict[str, int] = {}
        made = {key: _cut(value, key, items, length, cut) for key, value in tree.items()} | {"cut": cut}
        if len(json.dumps(made, ensure_ascii=False, default=str).encode()) <= limit:
            break
    return made


def _cut(node: Any, field: str, rows: int, length: int, cut: dict[str, int]) -> Any:
    if isinstance(node, str):
        return _text(node, length)
    if isinstance(node, dict):
        items = _first(list(node.items()), field, rows, cut)
        return {_text(str(key), length): _cut(value, field, rows, length, cut) for key, value in items}
    if isinstance(node, list | tuple):
        return [_cut(value, field, rows, length, cut) for value in _first(list(node), field, rows, cut)]
    return node


def _first(items: list[Any], field: str, rows: int, cut: dict[str, int]) -> list[Any]:
    if len(items) <= rows or field in WHOLE:
        return items
    cut[field] = cut.get(field, 0) + len(items) - rows
    return items[:rows]


def _text(value: str, length: int) -> str:
    """Without lone surrogates, which no file can hold."""
    whole = value.encode("utf-8", "replace").decode() if not value.isascii() else value
    return whole if len(whole) <= length else whole[: length - 1] + "…"
