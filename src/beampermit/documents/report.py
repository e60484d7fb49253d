"""The report of a pull request: what its reviewers want to know, in the order they want to know it.

All that it says is in one strict record, so whoever holds `report.json` can write it again without a checkout.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Annotated, Any, Literal

from pydantic import Field, ValidationError

from beampermit import __version__
from beampermit.datasets.bound import Count
from beampermit.documents import papers
from beampermit.documents.bounds import bounded
from beampermit.documents.changes.data import Swap
from beampermit.documents.changes.flat import Move
from beampermit.documents.charts import Plots
from beampermit.documents.comparison import Champion, Compared
from beampermit.documents.data_changes import Told
from beampermit.documents.judged import LAMPS, Judged, merged
from beampermit.documents.markdown import Markdown
from beampermit.documents.page import page
from beampermit.errors import BadInput
from beampermit.reading import first_fault, parse_json
from beampermit.verdict import Record

TEMPLATE = "report.md.j2"
FILE = "report.json"
LARGEST = 4 * 2**20
"""Bytes of `report.json`: what is written stays below, what is larger is not read."""
SUMMARY = 1_000_000
"""Bytes of a step's summary: GitHub shows none of one above 1 MiB."""
EXPENDABLE = (
    *("closed", "words", "packages", "settings", "kinds", "curves", "data", "metrics", "mends", "open"),
    *("foot", "watched", "gates", "warnings"),
)
"""What leaves first when a comment is too long; the headline never does."""
TITLES = {
    "closed": "closed interlocks",
    "words": "changes of the contract's texts",
    "packages": "environment",
    "settings": "parameters",
    "kinds": "results kind by kind",
    "curves": "curves",
    "data": "data",
    "metrics": "metrics",
    "mends": "how to mend",
    "open": "open interlocks",
    "foot": "what was judged, and where",
    "watched": "files that decide what runs",
    "gates": "**changed gates**",
    "warnings": "**warnings**",
}
WHERE = Markdown("They stand in the summary of this run, and in `report.html` among its artifacts.")
Commit = Annotated[str, Field(pattern=r"^([0-9a-f]{40}|[0-9a-f]{64})$")]


class Problem(Record):
    """A file of the project that is there and cannot be accepted."""

    message: str
    file: str | None = None
    line: int | None = None
    hint: str = ""

    @classmethod
    def of(cls, error: BadInput) -> Problem:
        """What an error says."""
        return cls(message=error.message, file=error.file, line=error.line, hint=error.hint)

    @property
    def error(self) -> BadInput:
        """The error that the command ends in."""
        return BadInput(self.message, file=self.file, line=self.line, hint=self.hint)


class Report(Record):
    """All that a report says. `cut` counts, by field, the rows that were too many to keep.

    `commit` is what was checked out, on a pull request the merge of `head` into its base; `notes` are sentences on what
    could not be compared; `gates` judge and `words` tell.
    """

    beampermit: Literal[1] = 1
    name: str
    judged: Judged
    commit: Commit
    head: Commit
    tree: Commit
    base: Commit | None
    notes: tuple[str, ...] = ()
    metrics: tuple[Compared, ...] = ()
    others: dict[str, float] = Field(default={})
    kinds: dict[str, tuple[float, float | None]] = Field(default={})
    champion: Champion | None = None
    gates: tuple[Move, ...] = ()
    words: tuple[Move, ...] = ()
    data: tuple[Swap, ...] = ()
    rows: dict[str, Count] = Field(default={})
    changes: tuple[Told, ...] = ()
    settings: dict[str, tuple[Move, ...]] = Field(default={})
    packages: tuple[Move, ...] = ()
    watched: tuple[str, ...] = ()
    plots: Plots = Plots()
    problems: tuple[Problem, ...] = ()
    cut: dict[str, Count] = Field(default={})

    @property
    def based(self) -> bool:
        """Whether the base branch has a value of some metric of the contract."""
        return any(row.base is not None for row in self.metrics)

    @property
    def looser(self) -> tuple[Move, ...]:
        """Changed gates that ask less than before."""
        return tuple(move for move in self.gates if move.looser)

    @property
    def approvals(self) -> tuple[Move, ...]:
        """Gates of metrics that ask less than before: each wants a code owner's word of its own."""
        return tuple(move for move in self.looser if move.before and move.key.startswith("metrics."))

    def markdown(self, limit: int = papers.LIMIT, where: Markdown = WHERE) -> Markdown:
        """The report for a comment, within `limit` characters; `where` tells where to find what had to leave."""
        return self._short(limit, where, papers.length)

    def whole(self) -> Markdown:
        """The report for a run's summary, within what GitHub shows of one."""
        return self._short(SUMMARY, Markdown("They stand in `report.html` among the artifacts."), papers.size)

    def html(self, images: Mapping[str, bytes] | None = None) -> str:
        """The whole report as one page; `images` are its drawings where they are made already."""
        from beampermit.documents import drawings
        from beampermit.documents.page import drawing

        made = drawings.images(self.plots) if images is None else images
        values = self._values(lambda chart: drawing(chart.title), drawing(drawings.CONFUSION))
        text = papers.join(papers.blocks(TEMPLATE, values))
        addresses = {title: drawings.address(image) for title, image in made.items()}
        return page(text, f"{self.name}: {self.judged.headline}", addresses)

    def json_text(self) -> str:
        """The report for `read_report`."""
        return self.model_dump_json() + "\n"

    def summary(self) -> dict[str, Any]:
        """The report for a program."""
        return {
            "model": self.name,
            "headline": self.judged.headline,
            "closed": self.judged.all_closed,
            "commit": self.commit,
            "head": self.head,
            "tree": self.tree,
            "base": self.base,
            "notes": list(self.notes),
            "open": [verdict.id for verdict in self.judged.open],
            "missing": list(self.judged.missing),
            "unread": list(self.judged.unread),
            "metrics": {row.metric.name: row.value for row in self.metrics},
            "data_changed": {told.split: list(told.words) for told in self.changes},
            "gates_changed": [move.key for move in self.gates],
            "problems": [str(problem.error) for problem in self.problems],
        }

    def _short(self, limit: int, where: Markdown, measure: Callable[[str], int]) -> Markdown:
        from beampermit.documents import mermaid

        made = papers.blocks(TEMPLATE, self._values(mermaid.chart, ""))
        return papers.shorten(made, EXPENDABLE, TITLES, where, limit, measure)

    def _values(self, chart: Callable[[Any], Markdown], confusion: str) -> dict[str, Any]:
        return {
            "report": self,
            "judged": self.judged,
            "chart": chart,
            "confusion": confusion,
            "lamps": LAMPS,
            "titles": TITLES,
            "version": __version__,
        }


def kept(found: Report) -> Report:
    """The report within the bounds of its file; what is written from it and from its file is the same."""
    tree = found.model_dump(exclude={"cut"})
    return Report.model_validate(bounded(tree, LARGEST))


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
    judged = merged(said.verdicts, expected, unread=said.unread, places=said.places, referees=said.referees)
    return found.model_copy(update={"judged": judged})
