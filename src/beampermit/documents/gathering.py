"""Gather what a report says, from the work tree, its base branch and the verdicts of all jobs."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from beampermit.contract import FILE_NAME, Contract, parse_contract
from beampermit.documents import comparison, facts
from beampermit.documents.changes.data import data, rows
from beampermit.documents.changes.flat import Move
from beampermit.documents.changes.packages import packages
from beampermit.documents.changes.promises import promises
from beampermit.documents.changes.settings import settings
from beampermit.documents.changes.sides import Sides
from beampermit.documents.charts import Plots
from beampermit.documents.data_changes import evidence
from beampermit.documents.judged import Judged, judged
from beampermit.documents.report import Problem, Report, kept
from beampermit.errors import BadInput
from beampermit.github.event import head
from beampermit.project import Project

WATCHED = (".github/", ".dvc/config", ".pre-commit-config.yaml")
"""Files that decide what runs and where data comes from: a change of one is a warning."""


def gather(project: Project, folder: Path, expected: Mapping[str, str]) -> Report:
    """What is to be said of the work tree, judged by the files of verdicts below `folder`.

    `expected` are the ids of all interlocks with their titles: one without a verdict is shown. A base branch that is
    gone, or that shares no commit with this one, is told and ends nothing.
    """
    notes: list[str] = []
    project = _with_base_or_alone(project, notes)
    problems = facts.Problems()
    commit = project.git.head()
    found = judged(folder, expected, commit)
    contract = problems.tried(lambda: project.contract, None)
    sides = Sides(project)
    if sides.strangers:
        notes.append(
            "This branch and its base share no commit in this clone: one of them was force-pushed, or the clone is"
            " shallow. What differs is told against the tip of the base."
        )
    here = problems.tried(lambda: facts.metrics(project, contract), {}) if contract else {}
    base = facts.base_metrics(project, _base_contract(project) or contract) if contract else {}
    champion = comparison.champion(found.verdicts)
    judge = _base_contract(project) or contract
    named = {metric.name for metric in judge.metrics} if judge else set()
    gates, words = _promises(sides, contract)
    return kept(
        Report(
            name=contract.model.name if contract else project.root.name,
            judged=_without_evidence(found),
            commit=commit,
            head=head() or commit,
            tree=project.git.work_tree(),
            base=project.base,
            notes=tuple(notes),
            metrics=comparison.compared(judge, here, base, champion) if judge else (),
            others={
                name: value
                for name, value in here.items()
                if name not in named and not name.startswith(comparison.RECALL)
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
            plots=_drawn(project, contract, problems),
            problems=tuple(map(Problem.of, problems.found)),
        )
    )


def _with_base_or_alone(project: Project, notes: list[str]) -> Project:
    try:
        _ = project.base
    except BadInput as error:
        notes.append(
            f"{error.message}: it was deleted or renamed. Nothing is compared, and the gates are this branch's."
        )
        return project.alone()
    return project


def _drawn(project: Project, contract: Contract | None, problems: facts.Problems) -> Plots:
    return problems.tried(lambda: facts.drawn(project, contract).thinned(), Plots()) if contract else Plots()


def _without_evidence(found: Judged) -> Judged:
    """What the report needs of evidence stands in fields of its own."""
    verdicts = tuple(verdict.model_copy(update={"evidence": {}}) for verdict in found.verdicts)
    return Judged(verdicts, found.missing, found.unread, found.places, found.referees)


def _base_contract(project: Project) -> Contract | None:
    try:
        return project.base_contract
    except BadInput:
        return None  # PRF001 says so; a report shows what can be shown


def _promises(sides: Sides, contract: Contract | None) -> tuple[tuple[Move, ...], tuple[Move, ...]]:
    text = sides.before(FILE_NAME)
    if text is None or contract is None:
        return (), ()
    try:
        return promises(parse_contract(text, FILE_NAME), contract)
    except BadInput:
        return (), ()
