"""Gathers what the report says about the work tree and its pull request."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from beampermit.changes.base_and_head import BaseAndHead
from beampermit.changes.contract_changes import ContractChanges, compare_contracts
from beampermit.changes.data import compare_data
from beampermit.changes.flat import compare_settings
from beampermit.changes.incomparable import lost_targets, with_own_targets
from beampermit.changes.packages import compare_packages
from beampermit.code.pipeline import Pipeline, compare_pipelines
from beampermit.contract import FILE_NAME, Contract, parse_contract
from beampermit.documents.facts import Problems, judged_metrics, read_base_metrics, read_head_metrics, read_plots
from beampermit.documents.plots import Plots
from beampermit.documents.report import Report, bound_report
from beampermit.errors import BadInput
from beampermit.github.context import pull_request_head
from beampermit.models import metrics
from beampermit.project import Project
from beampermit.trials.standing import read_standing
from beampermit.verdicts.evidence import Comparison, Gates, LimitChecks, RowChecks
from beampermit.verdicts.merge import MergedVerdicts, merge_verdict_files
from beampermit.verdicts.verdict import Where, find_evidence

WATCHED = (".github/", ".dvc/config", ".pre-commit-config.yaml")
"""Files of the repository and of the project that decide what runs and where data comes from: the report warns of a
change."""


def gather_report(project: Project, folder: Path, expected: Mapping[str, str]) -> Report:
    """The report of the work tree and of the verdict files below `folder`.

    `expected` are the ids of all interlocks with their titles. Without a base branch, or with one that shares no
    commit with this branch, the report has a note.
    """
    notes: list[str] = []
    project = _with_base_or_alone(project, notes)
    problems = Problems()
    commit = project.git.head()
    run, base_contract = Where.here().run, project.base_contract_digest
    merged = merge_verdict_files(folder, expected, commit, run=run, base_contract=base_contract)
    contract = problems.collect(lambda: project.contract, None)
    base_and_head = BaseAndHead(project)
    if base_and_head.unrelated:
        notes.append(
            "This branch and its base share no commit in this clone: one of them was force-pushed, or the clone is"
            " shallow. Changes are shown against the tip of the base."
        )
    on_base, comparison = _contract_on_base(project), find_evidence(merged.verdicts, Comparison)
    base_contract = _judging(on_base, contract, comparison)
    head = problems.collect(lambda: read_head_metrics(project, contract), {}) if contract else {}
    base = read_base_metrics(project, base_contract) if base_contract else {}
    by_checker = (find_evidence(merged.verdicts, Gates) or Gates()).measured
    head = judged_metrics(base_contract, head, by_checker) if base_contract else head
    champion = comparison and comparison.champion
    compared = (
        metrics.compare_metrics(base_contract, head, base, champion.metrics if champion else {})
        if base_contract
        else ()
    )
    in_contract = {row.metric.name for row in compared}
    recall = {name for name in head if name.startswith(metrics.RECALL)}
    changes = _contract_changes(base_and_head, contract)
    watched = tuple(f"{folder}{path}" for folder in ("", project.git.prefix) for path in WATCHED)
    rows = find_evidence(merged.verdicts, RowChecks) or RowChecks()
    return bound_report(
        Report(
            name=contract.model.name if contract else project.root.name,
            judged=_without_evidence(merged),
            commit=commit,
            head=pull_request_head() or commit,
            tree=project.git.work_tree(),
            base=project.base,
            notes=tuple(notes),
            metrics=compared,
            other_metrics={name: head[name] for name in head if name not in in_contract | recall},
            recall={name.removeprefix(metrics.RECALL): (head[name], base.get(name)) for name in head if name in recall},
            champion=champion,
            incomparable=_incomparable(on_base, contract, comparison),
            gates=changes.gates,
            texts=changes.texts,
            limits=(find_evidence(merged.verdicts, LimitChecks) or LimitChecks()).changes,
            data=problems.collect(lambda: compare_data(base_and_head), ()),
            rows={split.split: split.rows for split in rows.splits},
            changes=rows.changes,
            settings=problems.collect(lambda: compare_settings(base_and_head), {}),
            trials=problems.collect(lambda: read_standing(project), None),
            packages=problems.collect(lambda: compare_packages(base_and_head), ()),
            watched=tuple(path for path in base_and_head.changed_paths() if path.startswith(watched)),
            pipelines=_pipelines(project),
            plots=_thinned_plots(project, contract, problems),
            problems=tuple(problem for error in problems.errors for problem in project.problems_of(error)),
        )
    )


def _with_base_or_alone(project: Project, notes: list[str]) -> Project:
    try:
        _ = project.base
    except BadInput as error:
        notes.append(
            f"{error.message}: it was deleted or renamed. Nothing is compared, and this branch's own gates are shown."
        )
        return project.alone()
    return project


def _pipelines(project: Project) -> tuple[Pipeline, ...]:
    """Those that are edited or of another version, each with its path in the repository."""
    odd = (pipeline for pipeline in compare_pipelines(project) if pipeline.differs or pipeline.other_version)
    return tuple(pipeline.model_copy(update={"folder": project.in_repository(pipeline.folder)}) for pipeline in odd)


def _thinned_plots(project: Project, contract: Contract | None, problems: Problems) -> Plots:
    return problems.collect(lambda: read_plots(project, contract).thinned(), Plots()) if contract else Plots()


def _without_evidence(merged: MergedVerdicts) -> MergedVerdicts:
    """Fields of the report have what it needs of evidence."""
    verdicts = tuple(verdict.model_copy(update={"evidence": {}}) for verdict in merged.verdicts)
    return MergedVerdicts(verdicts, merged.missing, merged.unread, merged.places, merged.checkers)


def _contract_on_base(project: Project) -> Contract | None:
    try:
        return project.contract_on_base
    except BadInput:
        return None  # PRF001 fails and says why


def _judging(on_base: Contract | None, contract: Contract | None, comparison: Comparison | None) -> Contract | None:
    """The base branch's contract, without what is about targets that have gone where the champion is incomparable."""
    if on_base and contract and comparison and comparison.incomparable and lost_targets(on_base, contract):
        return with_own_targets(on_base, contract)
    return on_base or contract


def _incomparable(on_base: Contract | None, contract: Contract | None, comparison: Comparison | None) -> str:
    """What the first line says: that this branch calls the champion incomparable, or makes use of it."""
    new = contract and contract.incomparable
    if new and on_base and new != on_base.incomparable:
        return f"calls the champion, version {new.version}, incomparable: {new.reason}"
    if comparison is None or comparison.incomparable is None:
        return ""
    version, reason = comparison.incomparable.version, comparison.incomparable.reason
    compared = "compared only in part" if comparison.champion else "not compared"
    return f"{compared} with the champion, version {version}: {reason}"


def _contract_changes(base_and_head: BaseAndHead, contract: Contract | None) -> ContractChanges:
    text = base_and_head.before(FILE_NAME)
    if text is None or contract is None:
        return ContractChanges()
    try:
        return compare_contracts(parse_contract(text, FILE_NAME), contract)
    except BadInput:
        return ContractChanges()
