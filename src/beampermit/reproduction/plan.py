"""Which stages make the model of the data: read from the project's own pipeline."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter
from typing import Any

from beampermit.contract import Contract
from beampermit.datasets.repository import Repository
from beampermit.errors import BadInput

WEIGHTS = ".safetensors"


@dataclass(frozen=True)
class Plan:
    """What is run again. Stages by name, in their order; paths in the project."""

    training: tuple[str, ...]
    """Make metrics and weights of data."""
    packaging: tuple[str, ...]
    """Make the saved model of what training left; run only where the weights turn out different."""
    data: tuple[str, ...]
    """What must be pulled first."""
    weights: dict[str, str]
    """File of weights in the saved model -> where training first writes these bytes."""
    outputs: dict[str, str]
    """Outputs of the training stages that DVC keeps -> their hash in `dvc.lock`."""


def plan(repository: Repository, contract: Contract) -> Plan:
    """The stages between the dataset and the saved model. Raises `BadInput` where no stage makes what is judged."""
    stages = {repository.name(stage): stage for stage in repository.stages}
    makers = {name: _paths(repository, stage.outs) for name, stage in stages.items()}
    needs = {name: _made_by(_paths(repository, stage.deps), makers) - {name} for name, stage in stages.items()}
    try:
        order = tuple(TopologicalSorter(needs).static_order())
    except CycleError:
        raise BadInput("the stages depend on each other in a circle", file="dvc.yaml") from None
    dataset = contract.dataset
    of_data = _with_ancestors(
        _made_by((*dataset.splits.values(), dataset.raw, dataset.labels, contract.evaluation.inputs), makers), needs
    )
    weights = _first_places(repository, contract, [name for name in order if name not in of_data])
    wanted = _makers_of((contract.evaluation.metrics, *weights.values()), makers)
    training = _with_ancestors(wanted, needs) - of_data
    packaging = _with_ancestors(_makers_of((contract.model.path,), makers), needs) - of_data - training
    again = training | packaging
    return Plan(
        training=tuple(name for name in order if name in training),
        packaging=tuple(name for name in order if name in packaging),
        data=tuple(
            output.path
            for output in repository.kept
            if output.stage not in again
            and any(_touch(output.path, path) for name in again for path in _paths(repository, stages[name].deps))
        ),
        weights=weights,
        outputs={output.path: output.oid for output in repository.kept if output.stage in training},
    )


def _paths(repository: Repository, things: Iterable[Any]) -> tuple[str, ...]:
    return tuple(repository.relative(thing.fs_path) for thing in things)


def _touch(one: str, other: str) -> bool:
    return one == other or one.startswith(f"{other}/") or other.startswith(f"{one}/")


def _made_by(paths: Iterable[str], makers: dict[str, tuple[str, ...]]) -> set[str]:
    wanted = tuple(paths)
    return {name for name, outs in makers.items() if any(_touch(path, out) for path in wanted for out in outs)}


def _makers_of(paths: tuple[str, ...], makers: dict[str, tuple[str, ...]]) -> set[str]:
    for path in paths:
        if not _made_by((path,), makers):
            raise BadInput(f"no stage makes {path}, so it cannot be made again", file="dvc.yaml")
    return _made_by(paths, makers)


def _with_ancestors(names: set[str], needs: dict[str, set[str]]) -> set[str]:
    found: set[str] = set()
    left = set(names)
    while left:
        name = left.pop()
        found.add(name)
        left |= needs[name] - found
    return found


def _first_places(repository: Repository, contract: Contract, order: list[str]) -> dict[str, str]:
    """Where each file of weights is first written: a stage before packaging often leaves the same bytes."""
    folder = f"{contract.model.path}/"
    leaves = {
        name: {path: oid for output in repository.kept if output.stage == name
               for path, oid in repository.leaves(output).items() if path.endswith(WEIGHTS)}
        for name in order
    }  # fmt: skip
    packaged = {path: oid for found in leaves.values() for path, oid in found.items() if path.startswith(folder)}
    if not packaged:
        raise BadInput(f"dvc.lock names no {WEIGHTS} below {folder}", file="dvc.lock", hint="dvc repro")
    return {
        path: next(place for name in order for place, found in leaves[name].items() if found == oid)
        for path, oid in packaged.items()
    }
