"""The report of a pull request: what its reviewers want to know, in the order they want to know it.

All that it says is in one strict record, so whoever holds `report.json` can write it again without a checkout.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, ValidationError

from beampermit import __version__
from beampermit.changes import metrics
from beampermit.changes.base_and_head import BaseAndHead
from beampermit.changes.contract_changes import ContractChanges, compare_contracts
from beampermit.changes.data import OutputChange, compare_data
from beampermit.changes.flat import Change
from beampermit.changes.metrics import MetricComparison
from beampermit.changes.packages import compare_packages
from beampermit.changes.settings import compare_settings
from beampermit.contract import FILE_NAME, Contract, parse_contract
from beampermit.documents import rendering, standing
from beampermit.documents.charts import Plots
from beampermit.documents.markdown import Markdown, signed
from beampermit.documents.page import page
from beampermit.errors import BadInput, Problem
from beampermit.github.context import pull_request_head
from beampermit.project import Project
from beampermit.reading import first_fault, parse_json
from beampermit.record import Count, Record
from beampermit.verdicts.evidence import Champion, Comparison, RowChecks, SplitChanges
from beampermit.verdicts.merge import ICONS, MergedVerdicts, merge_verdict_files, merge_verdicts
from beampermit.verdicts.verdict import find_evidence

STEPS = ((2_000, 20_000), (500, 4_000), (100, 1_000), (20, 200))
"""Rows of a list and characters of a text, generous first."""
WHOLE = ("judged", "plots")
"""Fields whose lists are never cut: each verdict counts, and half a curve misleads."""


TEMPLATE = "report.md.j2"
FILE = "report.json"
LARGEST = 4 * 2**20
"""Bytes of `report.json`: what is written stays below, what is larger is not read."""
SUMMARY = 1_000_000
"""Bytes of a step's summary: GitHub shows none of one above 1 MiB."""
EXPENDABLE = (
    *("passed", "texts", "packages", "settings", "kinds", "curves", "data", "metrics", "fixes", "not_passed"),
    *("foot", "watched", "gates", "warnings"),
)
"""What leaves first when a comment is too long; the headline never does."""
TITLES = {
    "passed": "passed interlocks",
    "texts": "changes of the contract's texts",
    "packages": "environment",
    "settings": "parameters",
    "kinds": "results kind by kind",
    "curves": "curves",
    "data": "data",
    "metrics": "metrics",
    "fixes": "how to fix",
    "not_passed": "interlocks that did not pass",
    "foot": "what was judged, and where",
    "watched": "files that decide what runs",
    "gates": "**changed gates**",
    "warnings": "**warnings**",
}
WHERE = Markdown("They stand in the summary of this run, and in `report.html` among its artifacts.")
Commit = Annotated[str, Field(pattern=r"^([0-9a-f]{40}|[0-9a-f]{64})$")]


class Report(Record):
    """All that a report says. `cut` counts, by field, the rows that were too many to keep.

    `commit` is what was checked out, on a pull request the merge of `head` into its base; `notes` are sentences on what
    could not be compared; `gates` judge and `texts` tell.
    """

    beampermit: Literal[1] = 1
    name: str
    judged: MergedVerdicts
    commit: Commit
    head: Commit
    tree: Commit
    base: Commit | None
    notes: tuple[str, ...] = ()
    metrics: tuple[MetricComparison, ...] = ()
    others: dict[str, float] = Field(default={})
    kinds: dict[str, tuple[float, float | None]] = Field(default={})
    champion: Champion | None = None
    gates: tuple[Change, ...] = ()
    texts: tuple[Change, ...] = ()
    data: tuple[OutputChange, ...] = ()
    rows: dict[str, Count] = Field(default={})
    changes: tuple[SplitChanges, ...] = ()
    settings: dict[str, tuple[Change, ...]] = Field(default={})
    packages: tuple[Change, ...] = ()
    watched: tuple[str, ...] = ()
    plots: Plots = Plots()
    problems: tuple[Problem, ...] = ()
    cut: dict[str, Count] = Field(default={})

    @property
    def based(self) -> bool:
        """Whether the base branch has a value of some metric of the contract."""
        return any(row.base is not None for row in self.metrics)

    @property
    def looser(self) -> tuple[Change, ...]:
        """Changed gates that ask less than before."""
        return tuple(move for move in self.gates if move.looser)

    @property
    def approvals(self) -> tuple[Change, ...]:
        """Gates of metrics that ask less than before: each wants a code owner's word of its own."""
        return tuple(move for move in self.looser if move.before and move.key.startswith("metrics."))

    def markdown(self, limit: int = rendering.LIMIT, where: Markdown = WHERE) -> Markdown:
        """The report for a comment, within `limit` characters; `where` tells where to find what had to leave."""
        return self._short(limit, where, rendering.length)

    def whole(self) -> Markdown:
        """The report for a run's summary, within what GitHub shows of one."""
        return self._short(SUMMARY, Markdown("They stand in `report.html` among the artifacts."), rendering.size)

    def html(self, images: Mapping[str, bytes] | None = None) -> str:
        """The whole report as one page; `images` are its drawings where they are made already."""
        from beampermit.documents import charts
        from beampermit.documents.page import drawing

        made = charts.images(self.plots) if images is None else images
        values = self._values(lambda chart: drawing(chart.title), drawing(charts.CONFUSION))
        text = rendering.join(rendering.blocks(TEMPLATE, values))
        addresses = {title: charts.address(image) for title, image in made.items()}
        return page(text, f"{self.name}: {self.judged.headline}", addresses)

    def json_text(self) -> str:
        """The report for `read_report`."""
        return self.model_dump_json() + "\n"

    def summary(self) -> dict[str, Any]:
        """The report for a program."""
        return {
            "model": self.name,
            "headline": self.judged.headline,
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
            "gates_changed": [move.key for move in self.gates],
            "problems": [str(problem) for problem in self.problems],
        }

    def _short(self, limit: int, where: Markdown, measure: Callable[[str], int]) -> Markdown:
        from beampermit.documents import charts

        made = rendering.blocks(TEMPLATE, self._values(charts.chart, ""))
        return rendering.shorten(made, EXPENDABLE, TITLES, where, limit, measure)

    def _values(self, chart: Callable[[Any], Markdown], confusion: str) -> dict[str, Any]:
        return {
            "report": self,
            "judged": self.judged,
            "change": _change,
            "chart": chart,
            "confusion": confusion,
            "icons": ICONS,
            "titles": TITLES,
            "version": __version__,
        }


def _change(row: MetricComparison, other: float | None) -> str:
    """Such as `+0.012 better`, in this metric's direction; nothing where a side is absent."""
    if row.value is None or other is None:
        return ""
    if row.value == other:
        return "same"
    direction = "better" if (row.value > other) == (row.metric.better == "higher") else "worse"
    return f"{signed(row.value - other)} {direction}"


def kept(found: Report) -> Report:
    """The report within the bounds of its file; what is written from it and from its file is the same."""
    tree = found.model_dump(exclude={"cut"})
    return Report.model_validate(_bounded(tree, LARGEST))


def read_report(content: bytes, expected: Mapping[str, str], name: str = FILE) -> Report:
    """The report of a `report.json` that anyone may have written; `name` is what errors call it.

    `expected` are ids and titles of the interlocks that must have a verdict: what is missing, and so the headline, is
    found here and never believed. Raises `BadInput` for everything that is not such a file, strictly read.
    """
    if len(content) > LARGEST:
        raise BadInput(f"larger than the {LARGEST} bytes allowed here", file=name)
    try:
        found = Report.model_validate(parse_json(content, name))
    except ValidationError as error:
        raise BadInput(f"not a report: {first_fault(error)}", file=name) from None
    said = found.judged
    judged = merge_verdicts(said.verdicts, expected, unread=said.unread, places=said.places, checkers=said.checkers)
    return found.model_copy(update={"judged": judged})


def _bounded(tree: dict[str, Any], limit: int) -> dict[str, Any]:
    """`tree` as JSON of at most `limit` bytes, cut by the first of `STEPS` that does it; `cut` counts rows by field."""
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
    """Without halves of character pairs, which no file can hold."""
    whole = value.encode("utf-8", "replace").decode() if not value.isascii() else value
    return whole if len(whole) <= length else whole[: length - 1] + "…"
