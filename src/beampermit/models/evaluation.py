"""Metrics of scores, computed by the project's own evaluation command in a clean process."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from beampermit.contract import Contract
from beampermit.environments import Environment
from beampermit.errors import BadInput, Failed, Outside
from beampermit.models.isolation import TIMEOUT, clean_variables, scratch_folder
from beampermit.models.metrics import read_metrics
from beampermit.processes import Finished, run
from beampermit.reading import read_json

if TYPE_CHECKING:
    import numpy as np


LARGEST_RESULT = 128 * 2**20


def evaluate(environment: Environment, root: Path, contract: Contract, scores: Path) -> dict[str, float]:
    """The metrics of `scores`, by `evaluation.command` of the contract; nothing is written to the project.

    Raises `Failed` when the command fails or does not write metrics.
    """
    with scratch_folder() as scratch:
        out = scratch / "metrics.json"
        paths = {"inputs": root / contract.evaluation.inputs, "scores": scores.resolve(), "out": out}
        finished = _evaluation(environment, root, [_fill(word, paths) for word in contract.evaluation.command])
        if finished.code:
            raise Failed(f"the evaluation command failed: {finished.tail}", file="contract.yaml")
        try:
            return read_metrics(out, "the metrics that the evaluation command wrote")
        except BadInput as error:
            raise Failed(str(error), hint=error.hint) from None


def evaluate_weighted(
    environment: Environment, root: Path, inputs: str, command: Sequence[str], scores: Path, counts: np.ndarray
) -> dict[str, np.ndarray]:
    """The metrics of `scores` for each row of `counts`, shape (times, rows), by `evaluation.weighted`.

    Returns name -> values, shape (times,), NaN where a metric is undefined. Raises `Failed` as `evaluate` does.
    """
    import numpy as np

    with scratch_folder() as scratch:
        paths = {
            "inputs": root / inputs,
            "scores": scores.resolve(),
            "counts": scratch / "counts.npy",
            "out": scratch / "out.json",
        }
        np.save(paths["counts"], counts)
        finished = _evaluation(environment, root, [_fill(word, paths) for word in command])
        if finished.code:
            raise Failed(f"the evaluation.weighted command failed: {finished.tail}", file="contract.yaml")
        try:
            result = read_json(paths["out"], limit=LARGEST_RESULT)
        except BadInput as error:
            raise Failed(f"evaluation.weighted did not write metrics: {error.message}", file="contract.yaml") from None
    if not isinstance(result, dict):
        message = "evaluation.weighted must write one JSON object: metric name -> list of numbers"
        raise Failed(message, file="contract.yaml")
    return {name: _values(name, values, len(counts)) for name, values in result.items()}


def _values(name: str, values: Any, times: int) -> np.ndarray:
    import numpy as np

    if not isinstance(values, list) or len(values) != times:
        raise Failed(f"evaluation.weighted did not write {times} values of {name!r}", file="contract.yaml")
    if not all(value is None or (isinstance(value, int | float) and not isinstance(value, bool)) for value in values):
        raise Failed(f"evaluation.weighted wrote a value of {name!r} that is not a number", file="contract.yaml")
    return np.array([np.nan if value is None else value for value in values], float)


def _evaluation(environment: Environment, root: Path, command: list[str]) -> Finished:
    if command[0] in ("python", "python3"):
        return environment.run(command[1:], project=root, env=clean_variables(), timeout=TIMEOUT)
    try:
        return run(command, cwd=root, env={**environment.variables(root), **clean_variables()}, timeout=TIMEOUT)
    except Outside as error:
        raise Failed(error.message, file="contract.yaml") from None


def _fill(word: str, paths: dict[str, Path]) -> str:
    for name, path in paths.items():
        word = word.replace("{" + name + "}", str(path))
    return word
