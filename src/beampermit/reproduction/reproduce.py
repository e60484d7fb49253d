"""`beampermit reproduce`: a commit trained again with its own seed, compared, diagnosed; and with other seeds."""

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
from beampermit.reproduction.comparison import Compared, Predictions, Spreads, machines, pairs, predictions, spread
from beampermit.reproduction.diagnosis import Diagnosis, Kind, diagnose
from beampermit.reproduction.prepared import Prepared, prepared
from beampermit.reproduction.record import TrainingRecord, read_record
from beampermit.reproduction.retraining import Retrained, run_stages, train
from beampermit.reproduction.weights import Likeness

Environments = Callable[[Prepared], Environment]
"""Gives the environment that the lock of a tree names."""


class Reproduction(Record):
    """A commit made again. `compared` is None where nothing was trained: other data, other code."""

    commit: str
    seed: int
    diagnosis: Diagnosis
    compared: Compared | None
    spread: Spreads | None = None
    seconds: float
    resumed: tuple[int, ...] = ()
    """Seeds that an interrupted run had trained already."""

    @property
    def sound(self) -> bool:
        """Whether the model was reproduced, and the seeds agree where they were asked for."""
        return self.diagnosis.kind.sound and (self.spread is None or self.spread.within)

    def as_json(self) -> dict[str, Any]:
        """For a program, and for the evidence of a verdict."""
        found = self.compared.as_evidence() if self.compared else None
        return {**self.model_dump(mode="json"), "sound": self.sound, "compared": found}


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
    """Train `commit` again with its own seed, and with `seeds`, in clean work trees; `base_contract` holds tolerances.

    `digest` is that of the model which the commit is to have, where it is known from elsewhere. `out` is a folder for
    what the trainings left, however they ended. Raises as `prepared` does, and `Failed` for another model, and where a
    training fails.
    """
    began = time.monotonic()
    with prepared(project, commit, progress) as ready, ExitStack() as stack:
        if digest and digest_folder(ready.model) != digest:
            raise Failed(
                f"commit {commit[:12]} has another model than the one in service, whose digest is {digest[:19]}",
                file="dvc.lock",
                hint="beampermit history",
            )
        if found := _unlike(ready):
            return _told(ready, found, None, None, began, [])
        if out:
            stack.callback(shutil.copytree, ready.results, out, dirs_exist_ok=True)
        environment = environments(ready)
        others = tuple(seed for seed in seeds if seed != ready.seed)

        done = train(chain([ready.order()], ready.orders(others, stack)), environment, progress)
        own = next(one for one in done if one.seed == ready.seed)
        progress("comparing")
        compared = _compared(ready, base_contract, own, environment)
        found = diagnose(
            compared, ready.record, _record(ready, own), lambda: _repeats(ready, own, environment, progress)
        )
        spreads = _spread(ready, base_contract, [one for one in done if one.seed in seeds]) if seeds else None
        return _told(ready, found, compared, spreads, began, done)


def _unlike(ready: Prepared) -> Diagnosis | None:
    """What makes training in vain: the committed model was made of something else."""
    if ready.other_data:
        return Diagnosis(kind=Kind.DATA, because=ready.other_data)
    return Diagnosis(kind=Kind.CODE, because=ready.other_code) if ready.other_code else None


def _compared(ready: Prepared, base_contract: Contract, done: Retrained, environment: Environment) -> Compared:
    metrics = read_metrics(done.folder / ready.contract.evaluation.metrics, ready.contract.evaluation.metrics)
    tensors = _tensors(ready, base_contract, done)
    alike = all(one.likeness is Likeness.IDENTICAL for one in tensors)
    same = alike and all(done.outputs.get(path) == oid for path, oid in ready.plan.outputs.items())
    found = Compared(
        metrics=pairs(base_contract, ready.metrics, metrics),
        tensors=tensors,
        predictions=None,
        machine=machines(ready.record.machine, _record(ready, done).machine),
    )
    if same:
        return found
    try:
        return found.model_copy(update={"predictions": _predictions(ready, base_contract, environment)})
    except Failed as error:
        if found.within:
            raise
        # It is another model already: why is worth more than that this one cannot even be asked here.
        return found.model_copy(update={"unscored": str(error)})


def _tensors(ready: Prepared, base_contract: Contract, done: Retrained) -> tuple[weights.Tensor, ...]:
    several = len(ready.plan.weights) > 1
    folder = f"{ready.contract.model.path}/"
    return tuple(
        tensor
        for packaged, first in ready.plan.weights.items()
        for tensor in weights.compare(
            ready.model / packaged.removeprefix(folder),
            done.folder / first,
            base_contract.reproducibility.weight_tolerance,
            prefix=f"{packaged.removeprefix(folder)}: " if several else "",
        )
    )


def _predictions(ready: Prepared, base_contract: Contract, environment: Environment) -> Predictions:
    """Both saved models on the reference set, each in a clean process."""
    contract = ready.contract
    if ready.plan.packaging:
        run_stages(ready.tree, ready.plan.packaging, environment, ready.results / "packaging")
    columns = [signal.name for signal in contract.signals.inputs]
    inputs = ready.tree / contract.evaluation.inputs
    was, now = ready.results / "committed.parquet", ready.results / "retrained.parquet"
    scoring.score(environment, ready.model, inputs, was, columns)
    scoring.score(environment, ready.tree / contract.model.path, inputs, now, columns)
    return predictions(was, now, base_contract.reproducibility.prediction_tolerance)


def _repeats(ready: Prepared, done: Retrained, environment: Environment, progress: Progress) -> bool:
    """Whether a second retraining gives the weights of the first."""
    (again,) = train(iter([ready.order("again")]), environment, progress)
    return all(
        (again.folder / file).read_bytes() == (done.folder / file).read_bytes() for file in ready.plan.weights.values()
    )


def _spread(ready: Prepared, base_contract: Contract, done: list[Retrained]) -> Spreads:
    file = ready.contract.evaluation.metrics
    metrics = {one.seed: read_metrics(one.folder / file, f"seed {one.seed}: {file}") for one in done}
    return spread(base_contract, metrics, {one.seed: _record(ready, one) for one in done})


def _record(ready: Prepared, done: Retrained) -> TrainingRecord:
    file = ready.contract.reproducibility.record
    return read_record(done.folder / file, file)


def _told(
    ready: Prepared,
    found: Diagnosis,
    compared: Compared | None,
    spreads: Spreads | None,
    began: float,
    done: list[Retrained],
) -> Reproduction:
    return Reproduction(
        commit=ready.commit,
        seed=ready.seed,
        diagnosis=found,
        compared=compared,
        spread=spreads,
        seconds=round(time.monotonic() - began, 3),
        resumed=tuple(one.seed for one in done if one.resumed),
    )
