"""Train a commit again with its own seed, compare and diagnose; optionally with other seeds."""

from __future__ import annotations

import math
import shutil
import time
from collections.abc import Callable, Iterable
from contextlib import ExitStack
from itertools import chain
from pathlib import Path
from typing import Any

from pydantic import Field

from beampermit.contract import Contract
from beampermit.contract.measured import measured_metrics
from beampermit.contract.signals import tolerance_of
from beampermit.contract.tolerance import RELATIVE, allowed
from beampermit.datasets.remote import hash_of
from beampermit.datasets.repository import is_below
from beampermit.environments import Environment
from beampermit.errors import Failed
from beampermit.models import scoring
from beampermit.models.measures import measure, read_compared
from beampermit.models.metrics import read_project_metrics
from beampermit.models.weight_files import external_files
from beampermit.progress import Progress, silent
from beampermit.project import Project
from beampermit.record import Record
from beampermit.reproduction import weights
from beampermit.reproduction.comparison import (
    Comparison,
    Predictions,
    SeedSpreads,
    compare_machines,
    compare_metrics,
    compare_predictions,
    compare_seeds,
)
from beampermit.reproduction.diagnosis import Diagnosis, Kind, Repeated, diagnose
from beampermit.reproduction.made_again import FileRules, compare_files
from beampermit.reproduction.preparation import Prepared, prepare
from beampermit.reproduction.retraining import Retrained, Trainer, TrainingRecord, files_below, read_record, run_stages
from beampermit.reproduction.retraining import train as train_here

COMMITTED, RETRAINED = "committed.parquet", "retrained.parquet"
"""Scores of the two models."""
LOOSEST = 0.05
"""The largest part by which a number of a text may differ after another training, or on another kind of machine."""
Environments = Callable[[Prepared], Environment]
"""Installs or finds the environment of a tree's lock."""


class Reproduction(Record):
    """The result. `compared` is None where nothing was trained, because data or code differ."""

    commit: str
    seed: int
    diagnosis: Diagnosis
    compared: Comparison | None
    spread: SeedSpreads | None = None
    seconds: float
    resumed: tuple[int, ...] = ()
    """Seeds that an interrupted run had finished."""
    not_run: dict[str, str] = Field(default_factory=dict)
    """Stage that the splits come from and that was not run again -> why."""
    remade: tuple[str, ...] = ()
    """Files that stages made again, besides the weights, and that say what the committed ones say."""
    unsteady: tuple[str, ...] = ()
    """Files that differ each time they are made; only what does not was compared."""

    @property
    def sound(self) -> bool:
        """Whether the model was reproduced, and its seeds, if any, agree."""
        return self.diagnosis.kind.sound and (self.spread is None or self.spread.within)

    @property
    def notes(self) -> tuple[str, ...]:
        """What was not made again."""
        stages = (f"stage {name} was not run again: {why}" for name, why in self.not_run.items())
        return (*stages, *(f"{path} differs each time it is made" for path in self.unsteady))

    def as_json(self) -> dict[str, Any]:
        compared = self.compared.as_evidence() if self.compared else None
        return {**self.model_dump(mode="json"), "sound": self.sound, "compared": compared}


def reproduce(
    project: Project,
    base_contract: Contract,
    commit: str,
    environments: Environments,
    *,
    seeds: tuple[int, ...] = (),
    digest: str = "",
    out: Path | None = None,
    kept: bool = False,
    resume: bool = False,
    train: Trainer = train_here,
    progress: Progress = silent,
) -> Reproduction:
    """Train `commit` again with its own seed, and with `seeds`, within the tolerances of `base_contract`.

    First the splits are made again from the raw data; then training runs where the rows that judge the model are not;
    then the later stages make metrics, plots, limits and the saved model. `digest`, `kept` and `resume` are as for
    `prepare`. `out` receives the files of all trainings, failed ones included; `train` runs them. Raises as `prepare`
    does, and `Failed` for a training that fails.
    """
    began = time.monotonic()
    options = {"digest": digest, "kept": kept, "resume": resume}
    with prepare(project, base_contract, commit, progress, **options) as prepared, ExitStack() as stack:
        if changed := _changed_inputs(prepared):
            return _result(prepared, changed, began)
        if out:
            stack.callback(shutil.copytree, prepared.results, out, dirs_exist_ok=True)
        environment = environments(prepared).passing(base_contract.environment.variables)
        if changed := _changed_dataset(prepared, environment, progress):
            return _result(prepared, changed, began)
        others = tuple(seed for seed in seeds if seed != prepared.seed)
        done = train(chain([prepared.training()], prepared.trainings(others, stack)), environment, progress)
        own = next(retrained for retrained in done if retrained.seed == prepared.seed)
        train(prepared.evaluations(done, stack), environment, progress)
        record = _record(prepared, own)
        evaluate = lambda name: _evaluate_committed(prepared, name, environment, train, progress)  # noqa: E731
        with prepared.committed(_compared_outputs(prepared)) as committed:
            progress("comparing")
            compared = _compare(prepared, base_contract, own, committed, environment)
            problems, unsteady = _problems(prepared, base_contract, compared, own, committed, evaluate)
            of_seeds = [retrained for retrained in done if retrained.seed in seeds]
            scored = {prepared.seed: RETRAINED} if compared.predictions else {}
            spreads = (
                _compare_seeds(prepared, base_contract, of_seeds, committed, environment, scored) if seeds else None
            )
        repeat = lambda: _repeat(prepared, own, environment, train, progress)  # noqa: E731
        diagnosis = diagnose(compared, prepared.record, record, repeat, problems)
        made = (*prepared.plan.dataset_outputs, *prepared.plan.trained, *prepared.plan.made_later)
        remade = tuple(path for path in prepared.committed_files(made) if path not in problems)
        return _result(prepared, diagnosis, began, compared, spreads, done, remade, unsteady)


def _changed_inputs(prepared: Prepared) -> Diagnosis | None:
    """Training is pointless where the committed model was made from other data or code."""
    if prepared.data_changes:
        return Diagnosis(kind=Kind.DATA, because=prepared.data_changes)
    return Diagnosis(kind=Kind.CODE, because=prepared.code_changes) if prepared.code_changes else None


def _changed_dataset(prepared: Prepared, environment: Environment, progress: Progress) -> Diagnosis | None:
    """Make the splits again from the raw data. What was made is gone before anything is trained."""
    plan = prepared.plan
    if not plan.dataset:
        return None
    progress("making the splits again")
    with ExitStack() as stack:
        training = prepared.dataset(stack)
        stack.callback(shutil.rmtree, training.results, ignore_errors=True)
        run_stages(training, environment)
        made = files_below(training.tree, plan.dataset_outputs)
        wanted = prepared.committed_files(plan.dataset_outputs)
        if wanted == {path: hash_of(file) for path, file in made.items()}:
            return None
        rules = FileRules(lambda one, other: math.isclose(one, other, rel_tol=RELATIVE, abs_tol=RELATIVE**2))
        with prepared.committed(path for path in plan.dataset_outputs if path in plan.tracked) as committed:
            problems = compare_files(files_below(committed, plan.dataset_outputs), made, rules)
    lines = tuple(f"{path}: {text} by stage {plan.stage_of(path)}" for path, text in sorted(problems.items()))
    return Diagnosis(kind=Kind.DATA, because=lines, file="dvc.lock") if lines else None


def _same_training(prepared: Prepared, done: Retrained) -> bool:
    wanted = prepared.committed_files(prepared.plan.trained)
    apart = {prepared.contract.reproducibility.record, prepared.contract.model.manifest}
    return wanted == {path: value for path, value in done.outputs.items() if path not in apart}


def _compared_outputs(prepared: Prepared) -> tuple[str, ...]:
    plan, contract = prepared.plan, prepared.contract
    made = (*plan.trained, *plan.made_later)
    return (contract.model.path, *plan.judging, *(path for path in made if path in plan.tracked))


def _compare(
    prepared: Prepared, base_contract: Contract, done: Retrained, committed: Path, environment: Environment
) -> Comparison:
    metrics = _project_metrics(prepared, base_contract, done)
    by_checker = {metric.name for metric in base_contract.metrics if metric.measure}
    pairs = compare_metrics(base_contract, prepared.metrics, metrics)
    compared = Comparison(
        metrics=tuple(pair for pair in pairs if pair.name not in by_checker),
        tensors=_tensors(prepared, base_contract, done, committed),
        predictions=None,
        machine=compare_machines(prepared.record.machine, _record(prepared, done).machine),
    )
    try:
        predictions = _predictions(prepared, base_contract, done, committed, environment)
        measured = [_measured(prepared, base_contract, name, committed) for name in (COMMITTED, RETRAINED)]
    except Failed as error:
        if compared.within:
            raise
        # The models differ anyway, and the diagnosis is worth more than this error.
        return compared.model_copy(update={"unscored": str(error)})
    pairs = compare_metrics(base_contract, {**prepared.metrics, **measured[0]}, {**metrics, **measured[1]})
    return compared.model_copy(update={"metrics": pairs, "predictions": predictions})


def _project_metrics(prepared: Prepared, base_contract: Contract, done: Retrained) -> dict[str, float]:
    """Metrics as the pipeline wrote them after a training."""
    file = prepared.contract.evaluation.metrics
    name = file if done.seed == prepared.seed else f"seed {done.seed}: {file}"
    return read_project_metrics(done.folder / file, name, base_contract.metrics)


def _measured(prepared: Prepared, base_contract: Contract, scores: str, committed: Path) -> dict[str, float]:
    """The checker's own metrics of a table of scores, on the committed rows that judge the model."""
    metrics = measured_metrics(base_contract, prepared.contract.signals)
    inputs = committed / prepared.contract.evaluation.inputs
    return measure(metrics, read_compared(metrics, prepared.results / scores, inputs))


def _tensors(
    prepared: Prepared, base_contract: Contract, done: Retrained, committed: Path
) -> tuple[weights.Tensor, ...]:
    made = prepared.plan.weights
    beside = {file for packaged in made for file in external_files(committed / packaged)}
    compared = {packaged: first for packaged, first in made.items() if committed / packaged not in beside}
    several = len(compared) > 1
    folder = f"{prepared.contract.model.path}/"
    return tuple(
        tensor
        for packaged, first in compared.items()
        for tensor in weights.compare_weights(
            committed / packaged,
            done.folder / first,
            base_contract.reproducibility.weight_tolerance,
            prefix=f"{packaged.removeprefix(folder)}: " if several else "",
        )
    )


def _predictions(
    prepared: Prepared, base_contract: Contract, done: Retrained, committed: Path, environment: Environment
) -> Predictions:
    """Score the rows that judge the model with both saved models, each in a clean process."""
    contract = prepared.contract
    inputs = committed / contract.evaluation.inputs
    before, after = prepared.results / COMMITTED, prepared.results / RETRAINED
    scoring.score_rows(environment, committed / contract.model.path, inputs, before, contract.signals)
    scoring.score_rows(environment, done.folder / contract.model.path, inputs, after, contract.signals)
    return compare_predictions(before, after, base_contract.signals.outputs)


def _problems(
    prepared: Prepared,
    base_contract: Contract,
    compared: Comparison,
    own: Retrained,
    committed: Path,
    evaluate: Callable[[str], Path],
) -> tuple[dict[str, str], tuple[str, ...]]:
    """What the later stages make from the committed training, where it is not what is committed; what is unsteady."""
    if not compared.within:
        return {}, ()
    plan, contract = prepared.plan, prepared.contract
    same = _same_training(prepared, own)
    tolerance = lambda column: tolerance_of(base_contract.signals.outputs, column, "score_tolerance")  # noqa: E731
    rules = FileRules(_agree(base_contract, compared), tolerance, times=True)
    problems: dict[str, str] = {}
    if not same:
        apart = (*plan.weights.values(), contract.evaluation.metrics, contract.model.path)
        loose = FileRules(_agree(base_contract, compared, loose=True), tolerance, times=True)
        problems |= compare_files(*_pair(prepared, plan.trained, own.folder, committed, apart), loose)
    if not plan.later:
        return problems, ()
    folder = own.folder if same else evaluate("committed")
    pair = _pair(prepared, plan.made_later, folder, committed, (contract.model.path,))
    wrong = compare_files(*pair, rules)
    if not wrong:
        return problems, ()
    # What differs each time it is made says nothing of the commit, unless the contract relies on it.
    again = evaluate("committed-again")
    named = {contract.evaluation.metrics, contract.evaluation.plots, contract.monitoring.limits}
    steady = compare_files(*pair, rules, _pair(prepared, plan.made_later, again, committed, ())[1])
    kept = {path: text for path, text in wrong.items() if path in named or path in steady}
    return {**problems, **kept}, tuple(sorted(wrong.keys() - kept.keys()))


def _pair(
    prepared: Prepared, outputs: tuple[str, ...], folder: Path, committed: Path, apart: tuple[str, ...]
) -> tuple[dict[str, Path], dict[str, Path]]:
    """The committed files of `outputs` and those below `folder`, but for record, manifest and `apart`."""
    contract = prepared.contract
    left_out = {contract.reproducibility.record, contract.model.manifest, *apart}

    def files(root: Path) -> dict[str, Path]:
        found = files_below(root, outputs)
        return {path: file for path, file in found.items() if not any(is_below(path, one) for one in left_out)}

    return files(committed), files(folder)


def _agree(base_contract: Contract, compared: Comparison, *, loose: bool = False) -> Callable[[float, float], bool]:
    """Whether two numbers of a text are the same: as two evaluations of the same bytes, or another machine's.

    What a number of a text is, nobody knows: it may differ by as large a part as a metric may, at most `LOOSEST`.
    """
    committed = {pair.name: pair.committed for pair in compared.metrics}
    parts = [
        allowed(metric.tolerance, value) / abs(value)
        for metric in base_contract.metrics
        if (value := committed.get(metric.name))
    ]
    tolerance = min(LOOSEST, max(parts, default=0.0))

    def agree(one: float, other: float) -> bool:
        if base_contract.evaluation.agree(one, other):
            return True
        far = loose or not compared.weights_comparable
        finite = math.isfinite(one) and math.isfinite(other)
        return far and finite and abs(one - other) <= tolerance * max(1.0, abs(one), abs(other))

    return agree


def _evaluate_committed(
    prepared: Prepared, name: str, environment: Environment, train: Trainer, progress: Progress
) -> Path:
    with ExitStack() as stack:
        (done,) = train(iter([prepared.evaluation_of_committed(name, stack)]), environment, progress)
        return done.folder


def _repeat(
    prepared: Prepared, done: Retrained, environment: Environment, train: Trainer, progress: Progress
) -> Repeated:
    """Train once more, where the rows that judge the model can be read, and compare the files that training writes."""
    with ExitStack() as stack:
        (again,) = train(iter([prepared.training_on_all(stack)]), environment, progress)
    apart = {prepared.contract.reproducibility.record, prepared.contract.model.manifest}

    def files(outputs: dict[str, str]) -> dict[str, str]:
        weights = set(prepared.plan.weights.values())
        return {path: value for path, value in outputs.items() if path in weights or not (weights or path in apart)}

    if files(again.outputs) == files(done.outputs):
        return Repeated.SAME
    committed = prepared.committed_files(prepared.plan.trained)
    return Repeated.COMMITTED if files(again.outputs) == files(committed) else Repeated.OTHER


def _compare_seeds(
    prepared: Prepared,
    base_contract: Contract,
    done: list[Retrained],
    committed: Path,
    environment: Environment,
    scored: dict[int, str],
) -> SeedSpreads:
    """`scored`: seed -> the table of scores that is there already."""
    metrics = {each.seed: _project_metrics(prepared, base_contract, each) for each in done}
    if measured_metrics(base_contract, prepared.contract.signals):
        contract = prepared.contract
        inputs = committed / contract.evaluation.inputs
        for each in done:
            name, model = f"seed-{each.seed}.parquet", each.folder / contract.model.path
            if each.seed not in scored:
                scoring.score_rows(environment, model, inputs, prepared.results / name, contract.signals)
            name = scored.get(each.seed, name)
            metrics[each.seed] |= _measured(prepared, base_contract, name, committed)
    return compare_seeds(base_contract, metrics, {each.seed: _record(prepared, each) for each in done})


def _record(prepared: Prepared, done: Retrained) -> TrainingRecord:
    file = prepared.contract.reproducibility.record
    return read_record(done.folder / file, file)


def _result(
    prepared: Prepared,
    diagnosis: Diagnosis,
    began: float,
    compared: Comparison | None = None,
    spreads: SeedSpreads | None = None,
    done: Iterable[Retrained] = (),
    remade: tuple[str, ...] = (),
    unsteady: tuple[str, ...] = (),
) -> Reproduction:
    return Reproduction(
        commit=prepared.commit,
        seed=prepared.seed,
        diagnosis=diagnosis,
        compared=compared,
        spread=spreads,
        seconds=round(time.monotonic() - began, 3),
        resumed=tuple(retrained.seed for retrained in done if retrained.resumed),
        not_run=prepared.plan.not_run,
        remade=remade,
        unsteady=unsteady,
    )
