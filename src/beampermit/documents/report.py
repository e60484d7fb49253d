"""The report of a pull request: what its reviewers want to know, in the order they want to know it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from beampermit import __version__
from beampermit.contract import Contract
from beampermit.documents import comparison, facts, papers
from beampermit.documents.changes.data import Swap, data, rows
from beampermit.documents.changes.flat import Move
from beampermit.documents.changes.packages import packages
from beampermit.documents.changes.promises import promises
from beampermit.documents.changes.settings import settings
from beampermit.documents.changes.sides import Sides
from beampermit.documents.charts import Plots
from beampermit.documents.data_changes import Told, evidence
from beampermit.documents.judged import LAMPS, Judged, judged
from beampermit.documents.markdown import Markdown
from beampermit.documents.page import page
from beampermit.errors import BadInput
from beampermit.project import Project

TEMPLATE = "report.md.j2"
WATCHED = (".github/", ".dvc/config", ".pre-commit-config.yaml")
"""Files that decide what runs and where data comes from: a change of one is a warning."""
EXPENDABLE = ("closed", "words", "packages", "settings", "kinds", "curves", "data", "metrics", "mends", "open")
"""What leaves first when a comment is too long; the gates and the headline never do."""
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
}
WHERE = "They stand in `report.html`, in the artifacts of this run."


@dataclass(frozen=True)
class Report:
    """All that a report says. `problems` are files of the project that are there and cannot be accepted."""

    name: str
    judged: Judged
    commit: str
    tree: str
    base: str | None
    metrics: tuple[comparison.Compared, ...]
    others: dict[str, float]
    kinds: dict[str, tuple[float, float | None]]
    champion: comparison.Champion | None
    gates: tuple[Move, ...]
    words: tuple[Move, ...]
    data: tuple[Swap, ...]
    rows: dict[str, int]
    changes: tuple[Told, ...]
    settings: dict[str, tuple[Move, ...]]
    packages: tuple[Move, ...]
    watched: tuple[str, ...]
    plots: Plots
    problems: tuple[BadInput, ...]

    @property
    def based(self) -> bool:
        """Whether the base branch has a value of some metric of the contract."""
        return any(row.base is not None for row in self.metrics)

    @property
    def looser(self) -> tuple[Move, ...]:
        """Changed gates that ask less than before."""
        return tuple(move for move in self.gates if move.looser)

    def markdown(self, limit: int = papers.LIMIT) -> Markdown:
        """The report for a comment, within `limit` characters."""
        from beampermit.documents import mermaid

        made = papers.blocks(TEMPLATE, self._values(mermaid.chart, ""))
        return papers.shorten(made, EXPENDABLE, TITLES, WHERE, limit)

    def html(self) -> str:
        """The whole report as one page, with drawings."""
        from beampermit.documents import drawings
        from beampermit.documents.page import drawing

        images = {chart.title: drawings.chart(chart) for chart in self.plots.charts}
        if self.plots.confusion:
            images["Confusion"] = drawings.confusion(self.plots.confusion)
        values = self._values(lambda chart: drawing(chart.title), drawing("Confusion"))
        return page(papers.join(papers.blocks(TEMPLATE, values)), f"{self.name}: {self.judged.headline}", images)

    def summary(self) -> dict[str, Any]:
        """The report for a program."""
        return {
            "model": self.name,
            "headline": self.judged.headline,
            "closed": self.judged.all_closed,
            "commit": self.commit,
            "tree": self.tree,
            "base": self.base,
            "open": [verdict.id for verdict in self.judged.open],
            "missing": list(self.judged.missing),
            "unread": list(self.judged.unread),
            "metrics": {row.metric.name: row.value for row in self.metrics},
            "data_changed": {told.split: list(told.words) for told in self.changes},
            "gates_changed": [move.key for move in self.gates],
            "problems": [str(problem) for problem in self.problems],
        }

    def _values(self, chart: Any, confusion: str) -> dict[str, Any]:
        return {
            "report": self,
            "judged": self.judged,
            "chart": chart,
            "confusion": confusion,
            "lamps": LAMPS,
            "version": __version__,
        }


def report(project: Project, folder: Path, expected: Mapping[str, str]) -> Report:
    """Gather what is to be said of the work tree, judged by the files of verdicts below `folder`.

    `expected` are the ids of all interlocks with their titles: one without a verdict is shown.
    """
    problems = facts.Problems()
    commit = project.git.head()
    found = judged(folder, expected, commit)
    contract = problems.tried(lambda: project.contract, None)
    sides = Sides(project)
    here = problems.tried(lambda: facts.metrics(project, contract), {}) if contract else {}
    base = facts.base_metrics(project, _base_contract(project) or contract) if contract else {}
    champion = comparison.champion(found.verdicts)
    judge = _base_contract(project) or contract
    named = {metric.name for metric in judge.metrics} if judge else set()
    gates, words = _promises(sides, contract)
    return Report(
        name=contract.model.name if contract else project.root.name,
        judged=found,
        commit=commit,
        tree=project.git.work_tree(),
        base=project.base,
        metrics=comparison.compared(judge, here, base, champion) if judge else (),
        others={
            name: value for name, value in here.items() if name not in named and not name.startswith(comparison.RECALL)
        },
        kinds={
            name.removeprefix(comparison.RECALL): (value, base.get(name))
            for name, value in here.items()
            if name.startswith(comparison.RECALL)
        },
        champion=champion,
        gates=gates,
        words=words,
        data=problems.tried(lambda: data(sides), ()),
        rows=rows(found.verdicts),
        changes=evidence(found.verdicts),
        settings=problems.tried(lambda: settings(sides), {}),
        packages=problems.tried(lambda: packages(sides), ()),
        watched=tuple(path for path in sides.touched() if path.startswith(WATCHED)),
        plots=problems.tried(lambda: facts.drawn(project, contract), Plots()) if contract else Plots(),
        problems=tuple(problems.found),
    )


def _base_contract(project: Project) -> Contract | None:
    try:
        return project.base_contract
    except BadInput:
        return None  # PRF001 says so; a report shows what can be shown


def _promises(sides: Sides, contract: Contract | None) -> tuple[tuple[Move, ...], tuple[Move, ...]]:
    from beampermit.contract import FILE_NAME, parse_contract

    text = sides.before(FILE_NAME)
    if text is None or contract is None:
        return (), ()
    try:
        return promises(parse_contract(text, FILE_NAME), contract)
    except BadInput:
        return (), ()
