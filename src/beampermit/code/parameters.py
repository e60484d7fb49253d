"""Parameters that no code reads, seeds that are not there, and metrics that nothing writes."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from beampermit.code.modules import RUN, Modules
from beampermit.code.sources import PARAMS, WORD, Python, Sources, is_test
from beampermit.contract import FILE_NAME as CONTRACT
from beampermit.contract import Contract
from beampermit.contract.load import line_of
from beampermit.errors import Problem
from beampermit.reading import parse_yaml

TRIALS = "trials"
"""Section of params.yaml that `beampermit trials` reads, and no code of the project."""
FIX = "Remove it here and in dvc.yaml, or read it where it counts."


def unread_parameters(sources: Sources, before: Sources | None) -> Iterator[Problem]:
    """Keys of `params.yaml` that no code names.

    A key in a section counts only where the section is read key by key, or was so on the base branch: code that passes
    a section on as a whole names none of its keys. Raises `BadInput` for a file that is not YAML.
    """
    text = sources.text(PARAMS)
    tree = parse_yaml(text, PARAMS, lines=True, aliases=True) if text else None
    if not isinstance(tree, Mapping) or not sources.python:
        return
    earlier = before.words if before else frozenset()
    for path, key, line in _keys(tree, ()):
        words = frozenset(WORD.findall(key))
        if not words or words & sources.words or (*path, key)[0] == TRIALS:
            continue
        whole = not path or (path[-1] in sources.words and _is_read_by_key(sources, path[-1], path, tree))
        if whole or words <= earlier:
            yield Problem(f"{'.'.join((*path, key))} is a parameter that no code reads", PARAMS, line, FIX)


def _keys(node: Any, path: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], str, int]]:
    """Each key with those above it and its line."""
    for key, value in node.items():
        yield path, str(key), node.lc.key(key)[0] + 1
        if isinstance(value, Mapping):
            yield from _keys(value, (*path, str(key)))


def _is_read_by_key(sources: Sources, section: str, path: tuple[str, ...], tree: Any) -> bool:
    """Whether a class of the project has a field for each key of a section, but those that no code names."""
    keys = tree
    for part in path:
        keys = keys[part]
    named = {key for key in map(str, keys) if key in sources.words}
    if not named:
        return False
    code = [python for file, python in sources.python.items() if not is_test(file)]
    types = {
        word for python in code for fields in python.fields.values() for word in WORD.findall(fields.get(section, ""))
    }
    known = [fields for python in code for name, fields in python.fields.items() if name in types]
    return any(named <= fields.keys() for fields in known)


def missing_seed(contract: Contract, sources: Sources, text: str, marked: frozenset[int]) -> Iterator[Problem]:
    """`reproducibility.seed_at` where its file is in git and has no such key; `text` is the contract's."""
    file, _, key = contract.reproducibility.seed_at.partition(":")
    content = sources.text(file)
    if content is None:
        return
    node = parse_yaml(content, file, aliases=True)
    for part in key.split("."):
        node = node.get(part) if isinstance(node, Mapping) else None
    if node is None and (line := line_of(text, ("reproducibility", "seed_at"))) not in marked:
        what = f"reproducibility.seed_at is {file}:{key}, and {file} has no {key}"
        yield Problem(what, CONTRACT, line, "Name the key that the training reads its seed from.")


def unwritten_metrics(
    contract: Contract, sources: Sources, modules: Modules, text: str, marked: frozenset[int], written: frozenset[str]
) -> Iterator[Problem]:
    """Metrics without a `measure` that neither the project's Python names nor the file of metrics has (`written`).

    Only where `evaluation.command` runs the project's own Python: of another program nothing can be known.
    """
    command = contract.evaluation.command
    stems = [stem for name in RUN.findall(" ".join(command)) for stem in modules.stems(name)]
    if not any(map(modules.at, stems)) and not any(word in sources.python for word in command):
        return
    code = [python for path, python in sources.python.items() if not is_test(path)]
    for place, metric in enumerate(contract.metrics):
        line = line_of(text, ("metrics", place))
        if (
            metric.measure
            or metric.name in written
            or line in marked
            or any(_names(file, metric.name) for file in code)
        ):
            continue
        what = f"metric {metric.name} has no measure, and no code of the project computes it"
        fix = "Give it a `measure`, or compute it in the code that `evaluation.command` runs."
        yield Problem(what, CONTRACT, line, fix)


def _names(python: Python, name: str) -> bool:
    if name in python.words or any(name in re.findall(r"[\w-]+", text.value) for text in python.texts):
        return True
    return any(pattern.fullmatch(name) for pattern in python.patterns)
