"""Train a commit again with its own seed, compare and diagnose; optionally with other seeds."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable
from contextlib import ExitStack
from itertools import chain
from pathlib import Path
from typing import Any

from beampermit.contract import Contract
from beampermit.digest import digest_folder
from beampermit.environments import Environment
from beampermit.errors import Failed
from beampermit.models import scoring
from beampermit.models.metrics import read_metrics
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
from beampermit.reproduction.diagnosis import Diagnosis, Kind, diagnose
from beampermit.reproduction.preparation import Prepared, prepare
from beampermit.reproduction.record import TrainingRecord, read_record
from beampermit.reproduction.retraining import Retrained, run_stages, train
from beampermit.reproduction.weights import Likeness

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

    @property
    def sound(self) -> bool:
        """Whether the model was reproduced, and its seeds, if any, agree."""
        return self.diagnosis.kind.sound and (self.spread is None or self.spread.within)

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
    progress: Progress = silent,
) -> Reproduction:
    """Train `commit` again with its own seed, and with `seeds`, within the tolerances of `base_contract`.

    `digest` is the expected digest of the committed model, if known. `out` receives the files of all trainings, failed
    ones included. Raises as `prepare` does, and `Failed` for another model or a training that fails.
    """
    began = time.monotonic()
    with prepare(project, commit, progress) as prepared, ExitStack() as stack:
        if digest and digest_folder(prepared.model) != digest:
            raise Failed(
                f"the model of commit {commit[:12]} is not the one in service, which has digest {digest[:19]}",
                file="dvc.lock",
                hint="beampermit history",
            )
        if changed := _changed_inputs(prepared):
            return _result(prepared, changed, None, None, began, [])
        if out:
            stack.callback(shutil.copytree, prepared.results, out, dirs_exist_ok=True)
        environment = environments(prepared)
        others = tuple(seed for seed in seeds if seed != prepared.seed)
        done = train(chain([prepared.training()], prepared.trainings(others, stack)), environment, progress)
        own = next(retrained for retrained in done if retrained.seed == prepared.seed)
        progress("comparing")
        compared = _compare(prepared, base_contract, own, environment)
        record = _record(prepared, own)
        diagnosis = diagnose(compared, prepared.record, record, lambda: _repeats(prepared, own, environment, progress))
        of_seeds = [retrained for retrained in done if retrained.seed in seeds]
        spreads = _compare_seeds(prepared, base_contract, of_seeds) if seeds else None
        return _result(prepared, diagnosis, compared, spreads, began, done)


def _changed_inputs(prepared: Prepared) -> Diagnosis | None:
    """Training is pointless where the committed model was made from other data or code."""
    if prepared.data_changes:
        return Diagnosis(kind=Kind.DATA, because=prepared.data_changes)
    return Diagnosis(kind=Kind.CODE, because=prepared.code_changes) if prepared.code_changes else None


def _compare(prepared: Prepared, base_contract: Contract, done: Retrained, environment: Environment) -> Comparison:
    metrics = read_metrics(done.folder / prepared.contract.evaluation.metrics, prepared.contract.evaluation.metrics)
    tensors = _tensors(prepared, base_contract, done)
    same_weights = all(tensor.likeness is Likeness.IDENTICAL for tensor in tensors)
    same = same_weights and all(done.outputs.get(path) == oid for path, oid in prepared.plan.outputs.items())
    compared = Comparison(
        metrics=compare_metrics(base_contract, prepared.metrics, metrics),
        tensors=tensors,
        predictions=None,
        machine=compare_machines(prepared.record.machine, _record(prepared, done).machine),
    )
    if same:
        return compared
    try:
        return compared.model_copy(update={"predictions": _predictions(prepared, base_contract, environment)})
    except Failed as error:
        if compared.within:
            raise
        # The models differ anyway, and the diagnosis is worth more than this error.
        return compared.model_copy(update={"unscored": str(error)})


def _tensors(prepared: Prepared, base_contract: Contract, done: Retrained) -> tuple[weights.Tensor, ...]:
    several = len(prepared.plan.weights) > 1
    folder = f"{prepared.contract.model.path}/"
    return tuple(
        tensor
        for packaged, first in prepared.plan.weights.items()
        for tensor in weights.compare_weights(
            prepared.model / packaged.removeprefix(folder),
            done.folder / first,
            base_contract.reproducibility.weight_tolerance,
            prefix=f"{packaged.removeprefix(folder)}: " if several else "",
        )
    )


def _predictions(prepared: Prepared, base_contract: Contract, environment: Environment) -> Predictions:
    """Score the evaluation's inputs with both saved models, each in a clean process."""
    contract = prepared.contract
    if prepared.plan.packaging:
        run_stages(prepared.tree, prepared.plan.packaging, environment, prepared.results / "packaging")
    columns = [signal.name for signal in contract.signals.inputs]
    inputs = prepared.tree / contract.evaluation.inputs
    committed, retrained = prepared.results / "committed.parquet", prepared.results / "retrained.parquet"
    scoring.score(environment, prepared.model, inputs, committed, columns)
    scoring.score(environment, prepared.tree / contract.model.path, inputs, retrained, columns)
    return compare_predictions(committed, retrained, base_contract.reproducibility.prediction_tolerance)


def _repeats(prepared: Prepared, done: Retrained, environment: Environment, progress: Progress) -> bool:
    """Whether a second retraining gives the same weights as the first."""
    (again,) = train(iter([prepared.training("again")]), environment, progress)
    return all(
        (again.folder / file).read_bytes() == (done.folder / file).read_bytes()
        for file in prepared.plan.weights.values()
    )


def _compare_seeds(prepared: Prepared, base_contract: Contract, done: list[Retrained]) -> SeedSpreads:
    file = prepared.contract.evaluation.metrics
    metrics = {each.seed: read_metrics(each.folder / file, f"seed {each.seed}: {file}") for each in done}
    return compare_seeds(base_contract, metrics, {each.seed: _record(prepared, each) for each in done})


def _record(prepared: Prepared, done: Retrained) -> TrainingRecord:
    file = prepared.contract.reproducibility.record
    return read_record(done.folder / file, file)


def _result(
    prepared: Prepared,
    diagnosis: Diagnosis,
    compared: Comparison | None,
    spreads: SeedSpreads | None,
    began: float,
    done: list[Retrained],
) -> Reproduction:
    return Reproduction(
        commit=prepared.commit,
        seed=prepared.seed,
        diagnosis=diagnosis,
        compared=compared,
        spread=spreads,
        seconds=round(time.monotonic() - began, 3),
        resumed=tuple(retrained.seed for retrained in done if retrained.resumed),
    )
