"""`beampermit validate`: the model is fitted as often as there are folds, and measured on the rows that each holds out.

The rows are those of the splits train and validation. The test split is not there, as for a trial, whose module fits.
"""

from __future__ import annotations

import os
import shutil
import statistics
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np

from beampermit.compute.collect import perform_all
from beampermit.compute.executor import open_executor
from beampermit.compute.resources import Resources
from beampermit.compute.unit import Ended, Unit
from beampermit.contract import Contract
from beampermit.contract.measured import MeasuredMetric, measured_metrics
from beampermit.datasets.overlap import overlaps
from beampermit.datasets.tables import open_tables
from beampermit.digest import digest_bytes, digest_file, digest_json
from beampermit.environments import Environment
from beampermit.errors import BadInput, Failed
from beampermit.files import new_folder
from beampermit.progress import Progress
from beampermit.project import Project
from beampermit.record import Count, Number, Record
from beampermit.reproduction.environments import reused_environment
from beampermit.trials.binding import Subject, subject_of
from beampermit.trials.folds import (
    By,
    Fold,
    by_group,
    by_time,
    never_held_out,
    require_apart,
    require_fitting,
    require_later,
)
from beampermit.trials.records import Objective
from beampermit.trials.results import kept_of, measured_of
from beampermit.trials.tree import TREES, cut_tree

SPLITS = ("train", "validation")
MOST = 100
"""Folds."""
AGAIN = "type the command again: folds that ended are kept"


class FoldResult(Record):
    """Of one fold; `metrics` are those that its held-out rows define."""

    number: Count
    fitted: Count
    held_out: Count
    metrics: dict[str, Number]
    seconds: Number
    machine: str
    reused: bool


class Spread(Record):
    """Of a metric over the folds that define it; the deviation is that of single folds, None for fewer than two."""

    mean: Number
    deviation: Number | None
    low: Number
    high: Number
    folds: Count


class CrossValidation(Record):
    """The result."""

    bound: dict[str, str]
    """Digests of the data, code, lock and parameters that were fitted."""
    by: str
    rows: Count
    """Of the splits train and validation together."""
    never_held_out: Count
    """Of these rows."""
    because: dict[str, Count]
    """Why they are not -> how many: they are the first in time, their groups belong to several folds, or are null."""
    folds: tuple[FoldResult, ...]
    metrics: dict[str, Spread]
    notes: tuple[str, ...] = ()


def cross_validate(
    project: Project,
    count: int,
    by: By | None,
    resources: Resources,
    progress: Progress,
    *,
    variant: str = "",
    rules: Contract | None = None,
) -> CrossValidation:
    """By the groups of `dataset.split`, or by its time, which is the default where it has one.

    `rules` is the contract whose split and metrics judge, by default the project's own.
    Raises `BadInput` for more folds than there are groups, and for one that nothing can be fitted on; `Failed` for a
    fold whose fit fails, when all others are done; and as `subject_of` and the executor.
    """
    rules = rules or project.contract
    contract = _judged_by(project.contract, rules)
    chosen = _way(contract, by, count)
    work = resources.folder()
    opening = open_executor(resources.on, resources, work)  # says what is wrong with --on before anything is done
    progress("laying out the folds")
    subject = subject_of(project)
    tree = cut_tree(subject, work)
    rows = _Rows(tree, contract)
    folds = by_time(rows.times, rows.groups, count) if chosen == "time" else by_group(rows.groups, count)
    notes = require_fitting(folds, rows.target, contract.dataset.target or "")
    for fold in folds:
        require_apart(fold, rows.groups)
        if chosen == "time":
            require_later(fold, rows.times)
    variables = project.base_contract.environment.variables
    environment = reused_environment(project.root, tree, progress, variant).passing(variables)
    units = dict[str, tuple[Unit, Fold]]()
    for fold in folds:
        unit = _unit(subject, _laid_out(subject, tree, rows, fold, chosen, count, work), fold, environment)
        units[unit.digest] = unit, fold
    measured = measured_metrics(rules, contract.signals)
    results, failed = list[FoldResult](), list[tuple[int, str]]()
    with opening as executor:
        each = iter([unit for unit, _ in units.values()])
        with closing(perform_all(each, executor, work, progress, total=count, what="folds")) as performed:
            for ended in performed:
                _, fold = units[ended.unit.digest]
                try:
                    results.append(_result(ended, fold, measured, contract))
                except Failed as error:
                    failed.append((fold.number, error.message))
    if failed:
        number, reason = min(failed)
        more = f" (and {len(failed) - 1} more)" if len(failed) > 1 else ""
        raise Failed(f"fold {number}{more}: {reason}", hint=AGAIN)
    results.sort(key=lambda one: one.number)
    because = never_held_out(folds, rows.groups, rows.times if chosen == "time" else None)
    values = digest_json({"fixed": subject.bound.parameters, "all": subject.params({})})
    bound = subject.bound.model_dump(include={"code", "lock"})
    return CrossValidation(
        bound={**bound, "data": digest_json(subject.bound.data), "parameters": values},
        by=", ".join((contract.dataset.split.time or "",) if chosen == "time" else contract.dataset.split.by),
        rows=len(folds[0].held_out),
        never_held_out=sum(because.values()),
        because=because,
        folds=tuple(results),
        metrics=spreads(results, [metric.name for metric in rules.metrics]),
        notes=tuple(notes),
    )


def spreads(results: Sequence[FoldResult], first: Sequence[str]) -> dict[str, Spread]:
    """Of each metric, those named `first` in front."""
    names = dict.fromkeys(name for one in results for name in one.metrics)
    found = dict[str, Spread]()
    for name in sorted(names, key=lambda name: (name not in first, [*first, name].index(name))):
        values = [one.metrics[name] for one in results if name in one.metrics]
        deviation = statistics.stdev(values) if len(values) > 1 else None
        found[name] = Spread(
            mean=statistics.fmean(values), deviation=deviation, low=min(values), high=max(values), folds=len(values)
        )
    return found


def _judged_by(contract: Contract, rules: Contract) -> Contract:
    dataset = contract.dataset.model_copy(update={"split": rules.dataset.split})
    return contract.model_copy(update={"dataset": dataset})


def _way(contract: Contract, by: By | None, count: int) -> By:
    if not 2 <= count <= MOST:
        raise BadInput(f"--folds is {count}, and 2 to {MOST} are possible")
    dataset = contract.dataset
    if "validation" not in dataset.splits:
        reason = "dataset.splits has no split validation, on which what trains here is measured"
        raise BadInput(reason, file="contract.yaml", hint="beampermit reproduce --seeds all")
    if by == "time" and not dataset.split.time:
        raise BadInput("dataset.split has no time, so folds are by group", file="contract.yaml", hint="--by group")
    return by or ("time" if dataset.split.time else "group")


class _Rows:
    """Of the splits train and validation, one after the other: what folds are made by."""

    def __init__(self, tree: Path, contract: Contract):
        import pyarrow.parquet as pq

        dataset = contract.dataset
        self.files = [tree / dataset.splits[name] for name in SPLITS]
        self.contract = contract
        target = dataset.target if dataset.target and _is_scalar(contract, dataset.target) else None
        wanted = list(dict.fromkeys(filter(None, (*dataset.split.by, dataset.split.time, target))))
        tables = []
        for file, name in zip(self.files, SPLITS, strict=True):
            try:
                if missing := [column for column in wanted if column not in pq.read_schema(file).names]:
                    raise Failed(f"there is no column {missing[0]!r}", file=dataset.splits[name])
                tables.append(pq.read_table(file, columns=wanted))
            except (OSError, ValueError) as error:
                reason = f"this is no table of rows: {str(error).splitlines()[0]}"
                raise Failed(reason, file=dataset.splits[name], hint="dvc repro") from None
        columns = {name: [value for table in tables for value in table[name].to_pylist()] for name in wanted}
        self.groups = {name: _codes(columns[name]) for name in dataset.split.by}
        self.target = _codes(columns[target]) if target else None
        time = dataset.split.time
        if time and None in columns[time]:
            raise Failed(f"{time} is null in some rows, so they have no place in time", file=dataset.splits["train"])
        self.times = _codes(columns[time]) if time else np.zeros(0, int)


def _is_scalar(contract: Contract, target: str) -> bool:
    column = next((column for column in contract.dataset.columns if column.name == target), None)
    output = next((output for output in contract.signals.outputs if output.target == target), None)
    return not (column and column.shape) and not (output and output.shape)


def _codes(values: Sequence[Any]) -> np.ndarray:
    """Their places in order; -1 for a null."""
    places = {value: place for place, value in enumerate(sorted({value for value in values if value is not None}))}
    return np.array([-1 if value is None else places[value] for value in values], int)


def _laid_out(subject: Subject, tree: Path, rows: _Rows, fold: Fold, by: By, count: int, work: Path) -> Path:
    """The tree of a study with the fold's rows in the files of its splits."""
    chosen = digest_bytes(fold.fitted.tobytes() + fold.held_out.tobytes())
    name = digest_json({"tree": subject.tree_digest, "by": by, "count": count, "rows": chosen}).removeprefix("sha256:")
    place = work / TREES / name
    if place.is_dir():
        return place
    with new_folder(place) as folder:
        shutil.copytree(tree, folder, dirs_exist_ok=True, copy_function=_linked)
        for split, source in zip(SPLITS, rows.files, strict=True):
            target = folder / source.relative_to(tree)
            target.unlink()
            _write(rows.files, fold.fitted if split == "train" else fold.held_out, target)
        _require_apart(folder, rows.contract, fold, by)
    return place


def _linked(source: str, target: str) -> None:
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)


def _write(files: Sequence[Path], marked: np.ndarray, target: Path) -> None:
    """The marked rows of all files, in their order."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    schema = pq.read_schema(files[0])
    first = 0
    with pq.ParquetWriter(target, schema, compression="zstd") as writer:
        for file in files:
            for batch in pq.ParquetFile(file).iter_batches():
                kept = batch.filter(pa.array(marked[first : first + batch.num_rows]))
                first += batch.num_rows
                writer.write_table(pa.Table.from_batches([kept]).select(schema.names).cast(schema))


def _require_apart(folder: Path, contract: Contract, fold: Fold, by: By) -> None:
    """By the rules by which the interlocks judge splits, on the files that the model is fitted and measured on."""
    dataset = contract.dataset
    rule = dataset.split if by == "time" else dataset.split.model_copy(update={"time": None})
    splits = {name: dataset.splits[name] for name in SPLITS}
    shared = overlaps(open_tables(folder, splits), dataset.model_copy(update={"split": rule}))
    if shared:
        raise Failed(f"fold {fold.number}: {shared[0].message}", file=shared[0].paths[0])


def _unit(subject: Subject, tree: Path, fold: Fold, environment: Environment) -> Unit:
    splits = subject.project.contract.dataset.splits
    files = {name: digest_file(tree / splits[name]) for name in SPLITS}
    return Unit(
        label=f"fold {fold.number}",
        module=subject.module,
        request={"parameters": {}, "params": subject.params({}), "scores": True},
        tree=tree,
        tree_digest=digest_json({"tree": subject.tree_digest, "files": files}),
        environment=environment,
        lock=subject.lock.digest,
        team=subject.module.endswith(".pipeline.trial"),
    )


def _result(ended: Ended, fold: Fold, metrics: tuple[MeasuredMetric, ...], contract: Contract) -> FoldResult:
    """Raises `Failed` where the fit failed, or its answers cannot be measured."""
    if ended.result is None:
        raise Failed(ended.reason)
    tree = ended.unit.tree
    rows = (tree or Path()) / contract.dataset.splits["validation"]
    kept, _ = kept_of(ended, tuple[Objective, ...](), measured_of(ended, metrics, rows))
    if kept.reason:
        raise Failed(kept.reason)
    by_checker = {metric.name for metric in metrics}
    return FoldResult(
        number=fold.number,
        fitted=int(fold.fitted.sum()),
        held_out=int(fold.held_out.sum()),
        metrics=_in_order(kept.metrics, by_checker),
        seconds=kept.seconds or 0.0,
        machine=kept.machine,
        reused=ended.reused,
    )


def _in_order(metrics: Mapping[str, float], first: set[str]) -> dict[str, float]:
    return dict(sorted(metrics.items(), key=lambda item: (item[0] not in first, item[0])))


def text(found: CrossValidation) -> Iterator[str]:
    """Lines for a terminal."""
    rows = f"{found.rows:,} rows of {' and '.join(SPLITS)}"
    yield f"{len(found.folds)} folds of {rows}, by {found.by}"
    if found.never_held_out:
        why = ", ".join(f"{count:,} {reason}" for reason, count in found.because.items())
        yield f"  {found.never_held_out:,} rows are in no fold's held-out part: {why}"
    for name, spread in found.metrics.items():
        deviation = "" if spread.deviation is None else f" ± {spread.deviation:.2g}"
        missing = f", in {spread.folds} of {len(found.folds)} folds" if spread.folds < len(found.folds) else ""
        yield f"{name}: {spread.mean:.4g}{deviation} ({spread.low:.4g} to {spread.high:.4g}{missing})"
        each = ((one.number, one.metrics[name]) for one in found.folds if name in one.metrics)
        yield "  " + "  ".join(f"{number}: {value:.4g}" for number, value in each)
    yield from found.notes
