"""Stages of `dvc.yaml` against the contract and the work tree: parameters, inputs, scripts, and what nobody makes."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any

from beampermit.code.sources import Sources
from beampermit.contract import FILE_NAME as CONTRACT
from beampermit.contract import Contract
from beampermit.contract.completeness import todos
from beampermit.contract.load import line_of
from beampermit.datasets.dvc_lock import PIPELINE
from beampermit.datasets.repository import Repository, is_below, overlap
from beampermit.errors import Problem, did_you_mean
from beampermit.reading import parse_yaml

SCRIPT = re.compile(r"\bpython[\d.]*\s+(?:-[A-Za-z]+\s+)*([\w./-]+\.py)\b")
ABSENT: Any = object()
Key = tuple[str | int, ...]


def stage_problems(repository: Repository, sources: Sources) -> Iterator[Problem]:
    """Parameters, inputs and scripts of stages that are not there. Raises `BadInput` for what DVC cannot read."""
    outs, trees = outputs(repository), _Trees()
    for stage in repository.stages:
        if stage.is_import:
            continue
        name, file = repository.name(stage), repository.relative(stage.path)
        parameters = _parameters(repository, stage, outs, trees)
        for what, fix, word in (*parameters, *_inputs(repository, stage, outs, sources), *_scripts(stage)):
            yield Problem(f"stage {name} {what}", file, _line(sources.text(file) or "", file, name, word), fix)


def outputs(repository: Repository) -> tuple[str, ...]:
    """Paths in the project that stages and `.dvc` files make."""
    return tuple(repository.relative(out.fs_path) for stage in repository.stages for out in stage.outs)


def unmade(repository: Repository, contract: Contract, text: str, sources: Sources) -> Iterator[Problem]:
    """Files that the contract names, that no stage makes, and that are not in git; `text` is the contract's.

    Of a first draft, which lines marked TODO tell, nothing is asked yet.
    """
    if todos(text) or not any(PurePosixPath(stage.path).name == PIPELINE for stage in repository.stages):
        return
    outs = outputs(repository)
    for key, path in contract_paths(contract).items():
        if any(overlap(path, out) for out in outs) or path in sources.paths | sources.folders:
            continue
        name = ".".join(map(str, key))
        what = f"{name} is {path}, and no stage of dvc.yaml makes it{did_you_mean(path, outs)}"
        yield Problem(what, CONTRACT, line_of(text, key), "Name the file that a stage makes, or write the stage.")


def contract_paths(contract: Contract) -> dict[Key, str]:
    """Key -> path of each file that the pipeline makes."""
    dataset, evaluation, training = contract.dataset, contract.evaluation, contract.reproducibility
    by_project = any(metric.measure is None for metric in contract.metrics)
    paths: dict[Key, str | None] = {
        ("model", "path"): contract.model.path,
        ("model", "manifest"): contract.model.manifest,
        ("dataset", "raw"): dataset.raw,
        ("dataset", "labels"): dataset.labels,
        ("dataset", "lineage"): dataset.lineage,
        **{("dataset", "splits", split): path for split, path in dataset.splits.items()},
        ("evaluation", "metrics"): evaluation.metrics if by_project else None,
        ("evaluation", "scores"): evaluation.scores,
        ("reproducibility", "record"): training.record if "record" in training.model_fields_set else None,
        ("monitoring", "limits"): contract.monitoring.limits,
        ("signals", "devices"): contract.signals.devices,
    }
    return {key: path for key, path in paths.items() if path}


class _Trees(dict[str, Any]):
    """Files of parameters, each read once, since YAML is slow."""

    def __missing__(self, path: str) -> Any:
        from dvc.fs import LocalFileSystem
        from dvc.utils.serialize import load_path

        self[path] = load_path(path, LocalFileSystem())
        return self[path]


def _parameters(
    repository: Repository, stage: Any, outs: tuple[str, ...], trees: _Trees
) -> Iterator[tuple[str, str, str]]:
    """What is wrong, the fix, and a word of its line. A file that a stage makes is another one when it is read."""
    import dpath
    from dvc.dependency import ParamsDependency

    for dependency in stage.deps:
        if not isinstance(dependency, ParamsDependency):
            continue
        path = repository.relative(dependency.fs_path)
        if any(overlap(path, out) for out in outs):
            continue
        if not dependency.exists:
            yield f"reads parameters of {path}, which is not there", f"Write {path}, or remove the entry.", path
            continue
        tree = trees[dependency.fs_path]
        for name in dependency.params or ():
            if dpath.get(tree, name, separator=".", default=ABSENT) is ABSENT:
                what = f"names the parameter {name}, which {path} does not have"
                similar = did_you_mean(name, _names(tree))
                fix = f"Name the key that the stage reads now, or write it in {path}: `dvc repro` stops here."
                yield f"{what}{similar}", fix, name


def _names(tree: Any, above: str = "") -> Iterator[str]:
    if not isinstance(tree, dict):
        return
    for key, value in tree.items():
        yield f"{above}{key}"
        yield from _names(value, f"{above}{key}.")


def _inputs(
    repository: Repository, stage: Any, outs: tuple[str, ...], sources: Sources
) -> Iterator[tuple[str, str, str]]:
    from dvc.dependency import ParamsDependency

    for dependency in stage.deps:
        path = repository.relative(dependency.fs_path)
        if isinstance(dependency, ParamsDependency) or not dependency.is_in_repo:
            continue
        if path in sources.paths or any(overlap(path, out) for out in outs):
            continue
        if dependency.exists and not _is_ignored(repository, path):
            continue
        where = "which git ignores" if dependency.exists else "which is not there"
        what = f"reads {path}, {where} and which no stage makes{did_you_mean(path, outs)}"
        yield what, "Name the file that it reads now, or remove the entry.", str(dependency.def_path)


def _is_ignored(repository: Repository, path: str) -> bool:
    """Whether what lies here is a leftover of a stage that is gone, or another file that no other clone has."""
    return repository.project.git.try_("check-ignore", "--quiet", "--", path).code == 0


def _scripts(stage: Any) -> Iterator[tuple[str, str, str]]:
    commands = stage.cmd if isinstance(stage.cmd, list) else [stage.cmd or ""]
    made = {Path(out.fs_path) for out in stage.outs}
    for command in commands:
        if re.search(r"\bcd\b|\$", command):
            continue  # where the script is, or which, only the shell knows
        for script in SCRIPT.findall(command):
            places = [Path(folder) / script for folder in (stage.wdir, stage.repo.root_dir)]
            if not any(place.exists() or any(is_below(str(place), str(out)) for out in made) for place in places):
                yield f"runs {script}, which is not there", "Name the script that does this now.", script


def _line(text: str, file: str, stage: str, word: str) -> int:
    """The line, from 1, of the first `word` in a stage; the stage's first line where a template makes the word."""
    tree: Any = parse_yaml(text, file, lines=True, aliases=True) if file.endswith(PIPELINE) else None
    stages: Any = (tree or {}).get("stages")
    starts = {str(key): stages.lc.key(key)[0] for key in stages or ()}
    start = starts.get(stage.partition("@")[0], 0)
    lines = text.splitlines()
    end = min((other for other in starts.values() if other > start), default=len(lines))
    pattern = re.compile(rf"(?<![\w./-]){re.escape(word)}(?![\w./-])")
    return 1 + next((number for number in range(start, end) if pattern.search(lines[number])), start)
