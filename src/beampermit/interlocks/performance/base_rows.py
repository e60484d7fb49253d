"""The test rows of the base branch: a pull request is judged on them, or says that its data are others.

Rows may be added, and people may correct their labels. Other changes need a larger `dataset.request.version`, which
reviewers see; the model is then evaluated on the earlier rows as well, and the numbers are shown.
"""

from __future__ import annotations

import csv
import io
import shutil
import tempfile
import weakref
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from beampermit.changes.base_and_head import BaseAndHead
from beampermit.contract import FILE_NAME, Contract, parse_contract
from beampermit.datasets.differences import KeptRows, compare_rows, fetch_file, write_kept_rows
from beampermit.digest import digest_file
from beampermit.environments import Environment
from beampermit.errors import BadInput, Failed, counted
from beampermit.interlocks.inputs import provides
from beampermit.interlocks.model import Evaluators
from beampermit.models import SavedModel
from beampermit.models.groups import column_names
from beampermit.models.manifest import Manifest
from beampermit.project import Project

ON_BASE_ROWS = "on the base branch's rows, "


@dataclass(frozen=True)
class BaseRows:
    """How the rows that are judged differ from the base branch's, which `note` says.

    `problem`: why they may not be judged on alone. `table`: the base branch's rows, where others are judged as well or
    instead; gates hold on them too if they are `binding`.
    """

    note: str = ""
    problem: str = ""
    table: Path | None = None
    binding: bool = False


@dataclass(frozen=True)
class OnBaseRows:
    """Metrics of the saved model on `BaseRows.table`, or why it has none there."""

    metrics: dict[str, float] = field(default_factory=dict)
    problem: str = ""


@provides
def base_rows(project: Project, contract: Contract, base_contract: Contract, judged_rows: Path) -> BaseRows:
    """How the rows that the model is judged on differ from the test rows of the base branch."""
    commit = BaseAndHead(project).merge_base
    text = commit and project.git.read(commit, FILE_NAME)
    if not commit or not text:
        return BaseRows()
    before = parse_contract(text, f"{commit[:12]}:{FILE_NAME}")
    path = before.evaluation.inputs
    versions = before.dataset.request.version, contract.dataset.request.version
    raised = f"dataset.request.version {versions[0]} -> {versions[1]}" if versions[1] > versions[0] else ""
    try:
        digest = _recorded(project, commit, before.model.manifest, path)
        if digest is None or digest == digest_file(judged_rows):
            return BaseRows()
        earlier = _fetch(project, commit, path, digest)
        files = _below(project, earlier), _below(project, judged_rows)
        fixed = _fixed(before, base_contract, contract, column_names(judged_rows))
        relabelled = _relabelled(project, commit, contract, before.dataset.key)
        kept = compare_rows(project.root, *files, before.dataset.key, fixed, relabelled)
    except (BadInput, Failed) as error:
        problem = f"the test rows cannot be compared with those of the base branch: {error.message}"
        return BaseRows(note=f"{raised}; {problem}") if raised else BaseRows(problem=problem)
    if raised:
        return BaseRows(f"{raised}: {_changes(kept)}", table=earlier)
    return _same_version(project, files, before, kept)


def _fixed(before: Contract, base_contract: Contract, contract: Contract, columns: Sequence[str]) -> list[str]:
    """Inputs whose values tell that a row is the same: all of the base's.

    Not those that this pull request drops from model and table, as long as others are left to tell.
    """
    inputs = [signal.name for signal in (*before.signals.inputs, *base_contract.signals.inputs)]
    own = {signal.name for signal in contract.signals.inputs}
    kept = [name for name in inputs if name in own or name in columns]
    return kept if any(name in columns for name in kept) else inputs


def _same_version(project: Project, files: tuple[str, str], before: Contract, kept: KeptRows) -> BaseRows:
    """What follows from other rows under the same `dataset.request.version`."""
    if not kept.all_kept:
        return BaseRows(
            problem=f"{files[1]} is not the base branch's test set: {_changes(kept)} (first: {kept.first}), and "
            f"dataset.request.version is {before.dataset.request.version} as before"
        )
    note = f"{files[1]} has changed: {_changes(kept)}"
    if not kept.added:
        return BaseRows(note)
    folder = Path(tempfile.mkdtemp(prefix="beampermit-rows-"))
    rows = BaseRows(note, table=folder / "rows.parquet", binding=True)
    weakref.finalize(rows, shutil.rmtree, folder, ignore_errors=True)
    write_kept_rows(project.root, *files, before.dataset.key, folder / "rows.parquet")
    return rows


def _fetch(project: Project, commit: str, path: str, digest: str) -> Path:
    file = fetch_file(project, commit, path)
    if digest_file(file) != digest:
        raise Failed(f"{path} of {commit[:12]} is not the file that its manifest lists")
    return file


@provides
def on_base_rows(
    contract: Contract, environment: Environment, model: SavedModel, evaluators: Evaluators, base_rows: BaseRows
) -> OnBaseRows | None:
    """The saved model on the base branch's test rows; None where those are all that is judged on."""
    if base_rows.table is None:
        return None
    try:
        return OnBaseRows(_metrics_on(base_rows.table, contract, environment, model.folder, evaluators))
    except Failed as error:
        if base_rows.binding:
            raise
        return OnBaseRows(problem=f"it cannot be evaluated on the base branch's rows: {error.message}")


def _metrics_on(
    table: Path, contract: Contract, environment: Environment, model: Path, evaluators: Evaluators
) -> dict[str, float]:
    """The metrics of a saved model on the rows of another table. Raises `Failed`."""
    from beampermit.models.scoring import score_rows

    with tempfile.TemporaryDirectory(prefix="beampermit-rows-") as scratch:
        scores = Path(scratch, "scores.parquet")
        score_rows(environment, model, table, scores, contract.signals)
        return evaluators.judging.evaluate(scores, table)


def _recorded(project: Project, commit: str, manifest: str, path: str) -> str | None:
    """The digest of a file by the manifest of a commit; None where that commit has no model, or no such file.

    Raises `BadInput` for what is not a manifest.
    """
    text = project.git.read(commit, manifest)
    return None if text is None else Manifest.parse(text, f"{commit[:12]}:{manifest}").files.get(path)


def _below(project: Project, file: Path) -> str:
    root = project.root if file.is_relative_to(project.root) else project.root.resolve()
    return file.relative_to(root).as_posix()


def _relabelled(project: Project, commit: str, contract: Contract, key: tuple[str, ...]) -> set[tuple[str, ...]]:
    """Keys of rows that people have labelled since `commit`: their labels may differ, and DAT006 judges them."""
    review = contract.dataset.review
    if review is None or not project.path(review.file).is_file():
        return set()
    now = _lines(project.path(review.file).read_text(encoding="utf-8", errors="replace"))
    before = set(_lines(project.git.read(commit, review.file) or ""))
    return {tuple(dict(line).get(name) or "" for name in key) for line in now if line not in before}


def _lines(text: str) -> list[tuple[tuple[str, str], ...]]:
    return [tuple(row.items()) for row in csv.DictReader(io.StringIO(text))]


def _changes(kept: KeptRows) -> str:
    """Such as `30 of 648 rows are missing, 2 of 648 rows are changed, 5 new rows`."""
    parts = [f"{kept.missing} of {kept.rows} rows are missing"] if kept.missing else []
    parts += [f"{kept.changed} of {kept.rows} rows are changed"] if kept.changed else []
    parts += [f"{kept.relabelled} of {kept.rows} rows were labelled by people"] if kept.relabelled else []
    parts += [counted(kept.added, "new row")] if kept.added else []
    return ", ".join(parts) or f"the {kept.rows} rows are the same"
