"""Names that the contract of the base branch has and this one has not, and files that are gone: where they still occur.

An exact match only: `"turns"` in Python, `turns:` in `params.yaml`, `` `turns` `` in a document.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

from beampermit.code.documents import read_document
from beampermit.code.modules import Modules
from beampermit.code.sources import PARAMS, Sources, is_test
from beampermit.code.stages import contract_paths
from beampermit.contract import FILE_NAME as CONTRACT
from beampermit.contract import Contract
from beampermit.datasets.dvc_lock import PIPELINE
from beampermit.errors import BadInput, Problem
from beampermit.reading import parse_yaml

SHORTEST = 2
"""Letters of a name that is looked for: `x` means too much."""
KEPT = "leave it where it means something else"


@dataclass(frozen=True)
class Gone:
    """What a name was, such as `an input of the contract`, and what it is called now, if that is known."""

    what: str
    now: str = ""

    def problem(self, name: str, file: str, line: int) -> Problem:
        fix = f"Write {self.now}, or {KEPT}." if self.now else f"Remove it, or {KEPT}."
        return Problem(f"{name} was {self.what} before, and is gone", file, line, fix)


def gone_names(before: Contract, after: Contract) -> dict[str, Gone]:
    """Names and paths of the earlier contract that the later one has nowhere."""
    known = {*_strings(after.model_dump(mode="json"))}
    old, new = _names(before), _names(after)
    gone: dict[str, Gone] = {}
    for kind, names in old.items():
        missing = [name for name in names if name not in known and len(name) >= SHORTEST]
        added = [name for name in new.get(kind, ()) if name not in names]
        for name in missing:
            gone.setdefault(name, Gone(kind, added[0] if len(missing) == len(added) == 1 else ""))
    return gone


def _names(contract: Contract) -> dict[str, list[str]]:
    """What it is -> names of the contract that code and documents use."""
    dataset, signals = contract.dataset, contract.signals
    targets = [dataset.target, *(signal.target for signal in signals.outputs)]
    groups = [column for metric in contract.metrics for group in metric.subgroups for column in group.columns]
    columns = [column.name for column in dataset.columns]
    review = dataset.review
    names: dict[str, Iterable[str | None]] = {
        "an input": [signal.name for signal in signals.inputs],
        "an output": [signal.name for signal in signals.outputs],
        "a metric": [metric.name for metric in contract.metrics],
        "a target": targets,
        "a column of the key": dataset.key,
        "a column of the split": [*dataset.split.by, dataset.split.time],
        "a column of the dataset": [*columns, *groups, review and review.column],
        "a split": dataset.splits,
        **{".".join(map(str, key)): [path] for key, path in contract_paths(contract).items()},
    }
    return {kind: [*dict.fromkeys(filter(None, found))] for kind, found in names.items()}


def _strings(node: Any) -> Iterator[str]:
    if isinstance(node, str):
        yield node
    elif isinstance(node, Mapping):
        for key, value in node.items():
            yield str(key)
            yield from _strings(value)
    elif isinstance(node, list | tuple):
        for value in node:
            yield from _strings(value)


def gone_files(before: Sources, after: Sources, made: frozenset[str]) -> dict[str, Gone]:
    """Paths, and dotted names of modules, that the base branch has and the work tree has not, nor makes."""
    modules = Modules(before)
    gone = {path: Gone("a file") for path in before.paths - after.paths - made if "." in PurePosixPath(path).name}
    names = {modules.name(path): Gone("a module") for path in gone}
    return {**gone, **{name: what for name, what in names.items() if "." in name}}


def gone_keys(before: Sources, after: Sources) -> dict[str, Gone]:
    """Dotted keys of `contract.yaml` and `params.yaml`, and names of stages, that only documents are asked for."""
    gone: dict[str, Gone] = {}
    for file, what in ((CONTRACT, f"a key of {CONTRACT}"), (PARAMS, f"a key of {PARAMS}"), (PIPELINE, "")):
        if before.text(file) == after.text(file):
            continue
        old, new = (_tree(side.text(file), file) for side in (before, after))
        if file == PIPELINE:
            stages = (tree.get("stages") if isinstance(tree, Mapping) else None for tree in (old, new))
            first, second = ({str(name) for name in names or ()} for names in stages)
            gone |= {f"dvc repro {name}": Gone("a stage") for name in first - second}
        else:
            gone |= {key: Gone(what) for key in {*_keys(old)} - {*_keys(new)} if "." in key}
    return gone


def _tree(text: str | None, file: str) -> Any:
    try:
        return parse_yaml(text or "{}", file, aliases=True)
    except BadInput:
        return {}


def _keys(node: Any, above: str = "") -> Iterator[str]:
    if isinstance(node, Mapping):
        for key, value in node.items():
            yield f"{above}{key}"
            yield from _keys(value, f"{above}{key}.")


def leftovers(sources: Sources, names: Mapping[str, Gone], files: Mapping[str, Gone]) -> Iterator[Problem]:
    """Gone names and files in Python and in settings."""
    for path, python in sources.python.items():
        for text in python.texts:
            if gone := names.get(text.value):
                yield gone.problem(f'"{text.value}"', path, text.line)
            elif text.value in files and not (is_test(path) and files[text.value].what == "a file"):
                yield files[text.value].problem(f'"{text.value}"', path, text.line)
    for path in {PARAMS, PIPELINE} & sources.scripts.keys():
        for number, line in enumerate(sources.scripts[path].splitlines(), 1):
            for name in _scalars(line):
                if (gone := names.get(name)) and (path == PARAMS or "/" in name):
                    yield gone.problem(name, path, number)
    for path in sources.scripts.keys() - {PARAMS, PIPELINE, CONTRACT}:
        for number, line in enumerate(sources.scripts[path].splitlines(), 1):
            for name in re.findall(r"[\w./-]+", line):
                if (gone := files.get(name)) and not line.lstrip().startswith("#") and "/" in name:
                    yield gone.problem(name, path, number)


def _scalars(line: str) -> list[str]:
    """The keys and values of a line of YAML, without quotes and what follows a `#`."""
    plain = re.sub(r"(^|\s)#.*", "", line)
    return [part.strip(" \t\"'") for part in re.split(r"[,\[\]{}]|:(?=\s|$)|^\s*-\s|\s-\s", plain)]


def in_documents(sources: Sources, gone: Mapping[str, Gone]) -> Iterator[Problem]:
    """Gone names, keys, stages and files in the code of documents."""
    for path, text in sources.documents.items():
        for code, line in read_document(text).code:
            for name in dict.fromkeys(_named(code)):
                if what := gone.get(name):
                    yield what.problem(f"`{name}`", path, line)


def _named(code: str) -> Iterator[str]:
    """What a piece of code may name: itself, what is quoted in it, keys of YAML, paths, and stages that it runs."""
    yield code.strip()
    yield from (quoted for _, quoted in re.findall(r"([\"'])([^\"'\n]+)\1", code))
    yield from re.findall(r"^\s*(?:-\s+)?([\w.-]+):(?=\s|$)", code, re.MULTILINE)
    yield from re.findall(r"(?<![\w.-])[\w.-]++/[\w./-]+", code)
    for stages in re.findall(r"dvc repro((?:[ \t]+[\w.-]+)+)", code):
        yield from (f"dvc repro {stage}" for stage in stages.split())
