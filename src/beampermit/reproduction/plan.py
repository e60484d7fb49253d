"""Which stages are run again, in which order, and on which data."""

from __future__ import annotations

from collections.abc import Collection, Container, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from graphlib import CycleError, TopologicalSorter
from pathlib import Path, PurePosixPath
from typing import Any

from beampermit.contract import Contract
from beampermit.contract.dataset import Dataset
from beampermit.datasets.remote import hash_of
from beampermit.datasets.repository import Repository, is_below, overlap
from beampermit.errors import BadInput, Failed
from beampermit.project import Project
from beampermit.reading import parse_yaml

EMPTY = "d41d8cd98f00b204e9800998ecf8427e"
"""The md5 of an empty file, which many have in common."""


@dataclass(frozen=True)
class Plan:
    """The stages to run again, in order; paths are relative to the project."""

    dataset: tuple[str, ...]
    """Stages that make the splits from the raw data."""
    not_run: dict[str, str]
    """Stage that the splits come from and that is not run -> why."""
    training: tuple[str, ...]
    """Stages that make the weights from the splits."""
    later: tuple[str, ...]
    """Stages after training: metrics, plots, limits, the saved model."""
    measuring: tuple[str, ...]
    """Those of `later` that make the metrics."""
    data: tuple[str, ...]
    """Tracked paths that the stages after the dataset read."""
    inputs: tuple[str, ...]
    """Those of `data` that training reads."""
    later_inputs: tuple[str, ...]
    """Those of `data` that later stages read."""
    judging: tuple[str, ...]
    """Tracked paths that hold the rows that judge the model."""
    judging_files: tuple[str, ...]
    """The splits that the model is judged on, which training must not see."""
    sources: tuple[str, ...]
    """Tracked paths that the stages of the dataset read."""
    raw: tuple[str, ...]
    """Tables of which the splits are made, which training must not see either."""
    weights: dict[str, str]
    """Weights file in the saved model -> file where training first writes the same bytes."""
    outputs: dict[str, tuple[str, ...]]
    """Stage -> its outputs, of the stages to run."""
    tracked: frozenset[str]
    """The outputs that DVC stores."""

    @cached_property
    def rerun(self) -> frozenset[str]:
        return frozenset((*self.dataset, *self.training, *self.later))

    @property
    def withheld(self) -> tuple[str, ...]:
        return (*self.judging_files, *self.raw)

    @property
    def dataset_outputs(self) -> tuple[str, ...]:
        return self.outputs_of(self.dataset)

    @property
    def trained(self) -> tuple[str, ...]:
        return self.outputs_of(self.training)

    @property
    def trained_tracked(self) -> tuple[str, ...]:
        return tuple(path for path in self.trained if path in self.tracked)

    @property
    def made_later(self) -> tuple[str, ...]:
        return self.outputs_of(self.later)

    def outputs_of(self, stages: Sequence[str]) -> tuple[str, ...]:
        return tuple(path for stage in stages for path in self.outputs[stage])

    def stage_of(self, path: str) -> str:
        """The stage that makes a file."""
        return next(stage for stage, outs in self.outputs.items() if any(is_below(path, out) for out in outs))


def make_plan(
    repository: Repository, contract: Contract, base_contract: Contract, packaged: Collection[str] = ()
) -> Plan:
    """The stages from the raw data to the saved model, its metrics, plots and limits.

    `packaged` are the files of the saved model that hold weights.

    Raises `BadInput` where no stage makes metrics or model, `Failed` where training declares that it reads what the
    model is judged on.
    """
    stages = Stages(repository)
    raw = tuple(dict.fromkeys((base_contract.dataset.raw, contract.dataset.raw)))
    data = contract.dataset
    of_dataset = stages.made_by(filter(None, (*data.splits.values(), data.labels, contract.evaluation.inputs)))
    before = stages.with_ancestors(of_dataset | stages.made_by((data.raw,)))
    # A pull request does not choose what counts as fetched, unless what the base branch fetches is gone.
    fetched = raw[:1] if stages.made_by(raw[:1]) else raw[-1:]
    dataset, not_run = stages.repeatable(of_dataset, fetched)
    weights = _find_weights(repository, packaged, [name for name in stages.order if name not in before])
    training = stages.with_ancestors(_training(stages, contract, weights, before)) - before
    if not training:
        raise BadInput("the stage that makes the model makes the splits too: give each its own", file="dvc.yaml")
    later = _later(stages, contract, training) - before - training
    reads = {name: stages.reads(group) for name, group in (("train", training), ("later", later), ("data", dataset))}
    tracked = {output.path: output.stage for output in repository.outputs}
    unmade = [path for path, stage in tracked.items() if stage not in training | later]
    judging_files, hidden_raw = hidden_from_training(base_contract, contract)
    refuse_declared(stages, training, judging_files, hidden_raw)
    inputs = _overlapping(unmade, reads["train"])
    return Plan(
        dataset=stages.ordered(dataset),
        not_run=not_run,
        training=stages.ordered(training),
        later=stages.ordered(later),
        measuring=stages.ordered(stages.with_ancestors(_measuring(stages, contract, base_contract)) & later),
        data=_overlapping(unmade, (*reads["train"], *reads["later"], *judging_files)),
        inputs=inputs,
        later_inputs=_overlapping(unmade, (*reads["later"], contract.evaluation.inputs)),
        judging=_overlapping(unmade, judging_files),
        judging_files=judging_files,
        sources=_overlapping([path for path in unmade if tracked[path] not in dataset], reads["data"]),
        raw=hidden_raw,
        weights=weights,
        outputs={name: stages.outputs[name] for name in stages.ordered(dataset | training | later)},
        tracked=frozenset(tracked),
    )


class Stages:
    """The stages with what they read and write, and in order. Raises `BadInput` for a circle."""

    def __init__(self, repository: Repository):
        self.repository = repository
        self.all = {repository.name(stage): stage for stage in repository.stages}
        self.outputs = {name: self._paths(stage.outs) for name, stage in self.all.items()}
        self.deps = {name: self._paths(stage.deps) for name, stage in self.all.items()}
        self.needs = {name: self.made_by(deps) - {name} for name, deps in self.deps.items()}
        try:
            self.order = tuple(TopologicalSorter(self.needs).static_order())
        except CycleError:
            raise BadInput("the stages depend on each other in a circle", file="dvc.yaml") from None

    def _paths(self, things: Iterable[Any]) -> tuple[str, ...]:
        return tuple(self.repository.relative(thing.fs_path) for thing in things)

    def ordered(self, names: Iterable[str]) -> tuple[str, ...]:
        names = set(names)
        return tuple(name for name in self.order if name in names)

    def reads(self, names: Iterable[str]) -> tuple[str, ...]:
        return tuple(path for name in names for path in self.deps[name])

    def made_by(self, paths: Iterable[str]) -> set[str]:
        """The stages that make any of `paths`."""
        paths = tuple(paths)
        return {
            name for name, outs in self.outputs.items() if any(overlap(path, out) for path in paths for out in outs)
        }

    def makers_of(self, *paths: str) -> set[str]:
        for path in paths:
            if not self.made_by((path,)):
                raise BadInput(f"no stage has {path} as an output, so it cannot be reproduced", file="dvc.yaml")
        return self.made_by(paths)

    def with_ancestors(self, names: set[str]) -> set[str]:
        return _closure(names, self.needs)

    def with_descendants(self, names: set[str]) -> set[str]:
        users: dict[str, set[str]] = {name: set() for name in self.needs}
        for name, needs in self.needs.items():
            for need in needs:
                users[need].add(name)
        return _closure(names, users)

    def repeatable(self, names: set[str], raw: Sequence[str]) -> tuple[set[str], dict[str, str]]:
        """Of `names` and the stages before them, those that can be run again, and why others are not."""
        run: set[str] = set()
        not_run: dict[str, str] = {}
        pending = set(names)
        while pending:
            name = pending.pop()
            if reason := self._from_outside(name, raw):
                not_run[name] = reason
                continue
            run.add(name)
            pending |= self.needs[name] - run - not_run.keys()
        return run, {name: not_run[name] for name in sorted(not_run)}

    def _from_outside(self, name: str, raw: Sequence[str]) -> str:
        """Why a stage is not run again: what it makes comes from outside; empty if it can be run."""
        stage = self.all[name]
        if stage.is_import:
            return f"it imports {', '.join(self.outputs[name])}"
        if not stage.cmd:
            return f"{', '.join(self.outputs[name])} was added by hand, no stage makes it"
        if made := next((path for path in raw if any(overlap(path, out) for out in self.outputs[name])), None):
            return f"it fetches {made}, the raw data"
        if stage.frozen:
            return "it is frozen"
        outside = next((item.def_path for item in stage.deps if not item.is_in_repo), None)
        return f"it reads {outside}, which is outside the project" if outside else ""


def hidden_from_training(base_contract: Contract, contract: Contract) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """What training must not see: the rows that judge the model, and raw data that they are a part of."""
    contracts = (base_contract, contract)
    judging = (path for one in contracts for path in _judging(one))
    raw = (path for one in contracts for path in _hidden_raw(one))
    return tuple(dict.fromkeys(judging)), tuple(dict.fromkeys(raw))


def _judging(contract: Contract) -> Iterator[str]:
    """The rows that judge, unless this contract judges on what it trains on: another cannot call them a split of its
    own."""
    splits = contract.dataset.splits
    yield from (path for path in (splits["test"], contract.evaluation.inputs) if path != splits["train"])


def _hidden_raw(contract: Contract) -> Iterator[str]:
    dataset = contract.dataset
    splits = (path for name, path in dataset.splits.items() if name != "test")
    if not any(overlap(dataset.raw, split) for split in splits):
        yield dataset.raw


def _training(stages: Stages, contract: Contract, weights: dict[str, str], before: set[str]) -> set[str]:
    """The stages that write the weights, and those that first write any other file of the model.

    Of a model in which no other stage's file is, those that write the model.
    """
    evaluation = contract.evaluation
    apart = {evaluation.metrics, evaluation.plots, evaluation.scores, contract.monitoring.limits}
    written = [(stage, path, oid) for stage, path, oid in _written(stages) if oid != EMPTY]
    packaged = {oid for _, path, oid in written if is_below(path, contract.model.path)}
    early = {
        stage
        for stage, path, oid in written
        if oid in packaged and not is_below(path, contract.model.path) and path not in apart and stage not in before
    }
    early &= stages.with_ancestors(stages.makers_of(contract.model.path))
    return early | (stages.makers_of(*weights.values()) if weights else set()) or stages.makers_of(contract.model.path)


def _written(stages: Stages) -> Iterator[tuple[str, str, str]]:
    """Stage, path and md5 of each file that a stage writes, in DVC or in git."""
    repository = stages.repository
    for output in repository.outputs:
        for path, oid in repository.files(output).items():
            yield output.stage, path, oid
    stored = {output.path for output in repository.outputs}
    for stage, paths in stages.outputs.items():
        for path in paths:
            file = repository.project.root / path
            if path not in stored and file.is_file() and not file.is_symlink():
                yield stage, path, hash_of(file)


def _makers_of_metrics(stages: Stages, contract: Contract) -> set[str]:
    """What writes the file of metrics; none has to where the checker computes them all."""
    file = contract.evaluation.metrics
    needed = any(metric.measure is None for metric in contract.metrics)
    return stages.makers_of(file) if needed else stages.made_by((file,))


def _measuring(stages: Stages, contract: Contract, base_contract: Contract) -> set[str]:
    """What makes the metrics of a training: their file, and the saved model where the checker measures its answers."""
    measured = any(metric.measure for metric in base_contract.metrics)
    model = stages.makers_of(contract.model.path) if measured else set[str]()
    return _makers_of_metrics(stages, contract) | model


def _later(stages: Stages, contract: Contract, training: set[str]) -> set[str]:
    """What makes the files that the contract names, and everything else that is made from the trained model."""
    named = stages.makers_of(contract.model.path) | _makers_of_metrics(stages, contract)
    shown = stages.made_by((contract.evaluation.plots, contract.monitoring.limits))
    needed = {name for name in stages.with_ancestors(named | shown) if stages.all[name].cmd}
    if frozen := next((name for name in stages.ordered(needed & stages.with_descendants(training))
                       if stages.all[name].frozen), None):  # fmt: skip
        reason = f"stage {frozen} is frozen, so {', '.join(stages.outputs[frozen])} cannot be made again"
        raise Failed(reason, file="dvc.yaml", hint=f"dvc unfreeze {frozen}")
    # A stage without outputs has an effect elsewhere, and nothing to compare.
    more = {name for name in stages.with_descendants(training) if stages.outputs[name] and not stages.all[name].frozen}
    return needed | {name for name in more if stages.all[name].cmd}


def refuse_declared(stages: Stages, training: set[str], judged: Sequence[str], raw: Sequence[str]) -> None:
    """Raises `Failed` where a stage of the training has one of these paths, or a part of it, as a dependency."""
    for name in stages.ordered(training):
        for path in stages.deps[name]:
            if any(is_below(path, hidden) for hidden in judged):
                reason = f"stage {name} makes the weights and reads {path}, on which the model is judged"
                hint = "let it read its own splits alone, and a later stage evaluate"
                raise Failed(reason, file="dvc.yaml", hint=hint)
            if any(is_below(path, hidden) for hidden in raw):
                reason = f"stage {name} makes the weights and reads {path}, which has the rows that judge the model"
                raise Failed(reason, file="dvc.yaml", hint="let it read the splits that a stage before it makes")


def _find_weights(repository: Repository, packaged: Collection[str], order: list[str]) -> dict[str, str]:
    """Where each weights file is first written: a stage before packaging often writes the same bytes."""
    files = {
        name: {path: oid for output in repository.outputs if output.stage == name
               for path, oid in repository.files(output).items()}
        for name in order
    }  # fmt: skip
    oids = {path: oid for made in files.values() for path, oid in made.items() if path in packaged}
    return {
        path: next(file for name in order for file, made in files[name].items() if made == oid)
        for path, oid in oids.items()
    }


def no_longer_made(repository: Repository, base: Project, rules: Dataset, run: Container[str]) -> list[str]:
    """Files that a stage of the base branch makes and that no stage of `run` makes any more, although they are there.

    `rules` is the dataset of the base branch's contract: what fetches its raw data, and what comes before, is never run
    again. Paths that are no longer in the project are left out.
    """
    raw, splits = rules.raw, tuple(rules.splits.values())
    made = {
        path: repository.name(stage)
        for stage in repository.stages
        if stage.cmd
        for path in (repository.relative(out.fs_path) for out in stage.outs)
    }
    here = {output.path for output in repository.outputs} | set(repository.project.git.tracked())
    problems: list[str] = []
    for path, stage, frozen in _made_on_base(base, raw):
        if not any(is_below(one, path) for one in here) or frozen:
            continue
        name = next((made[one] for one in made if overlap(path, one)), None)
        if name is None:
            problems.append(f"{path} is made by stage {stage} on the base branch, and by no stage here")
        elif name in run:
            continue
        elif next(one for one in repository.stages if repository.name(one) == name).frozen:
            problems.append(f"{path} can be made again on the base branch, and here stage {name} is frozen")
        elif any(overlap(split, path) for split in splits):
            problems.append(f"{path} is made from {raw} on the base branch, and here stage {name} is its own source")
    return problems


def _made_on_base(base: Project, raw: str) -> Iterator[tuple[str, str, bool]]:
    """Path, stage and whether it is frozen, of each output that the base branch's stages make after the raw data."""
    revision = base.base
    if revision is None:
        return
    for lock in base.git.files_at(revision):
        if Path(lock).name != "dvc.lock":
            continue
        stages = _stages_at(base, revision, lock)
        declared = _stages_at(base, revision, f"{lock.removesuffix('.lock')}.yaml")
        for name, body in stages.items():
            outs = [(PurePosixPath(lock).parent / path).as_posix() for path in _listed(body, "outs")]
            fetches = any(overlap(raw, path) for path in outs)
            of_yaml = declared.get(name.partition("@")[0])
            frozen = isinstance(of_yaml, dict) and bool(of_yaml.get("frozen"))
            yield from ((path, name, frozen) for path in outs if not fetches)


def _stages_at(base: Project, revision: str, file: str) -> dict[str, Any]:
    tree = parse_yaml(base.git.read(revision, file) or "", file, aliases=True)
    stages = tree.get("stages") if isinstance(tree, dict) else None
    return stages if isinstance(stages, dict) else {}


def _listed(body: Any, key: str) -> list[str]:
    items = body.get(key) if isinstance(body, dict) else None
    return [
        item["path"]
        for item in (items if isinstance(items, list) else [])
        if isinstance(item, dict) and isinstance(item.get("path"), str)
    ]


def _closure(names: set[str], edges: dict[str, set[str]]) -> set[str]:
    result: set[str] = set()
    pending = set(names)
    while pending:
        name = pending.pop()
        result.add(name)
        pending |= edges[name] - result
    return result


def _overlapping(paths: Iterable[str], others: Iterable[str]) -> tuple[str, ...]:
    others = tuple(others)
    return tuple(path for path in paths if any(overlap(path, other) for other in others))
