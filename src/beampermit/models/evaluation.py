"""Metrics of scores, made by the project's own evaluation and written where we say."""

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


LARGEST_WEIGHED = 128 * 2**20


def evaluate(environment: Environment, root: Path, contract: Contract, scores: Path) -> dict[str, float]:
    """Make metrics of `scores` with the project's own evaluation, whose file of metrics goes to a folder of ours.

    Raises `Failed` when the command fails or what it wrote are no metrics.
    """
    with scratch_folder() as scratch:
        out = scratch / "metrics.json"
        places = {"inputs": root / contract.evaluation.inputs, "scores": scores.resolve(), "out": out}
        finished = _evaluation(environment, root, [_filled(word, places) for word in contract.evaluation.command])
        if finished.code:
            raise Failed(f"the evaluation command failed: {finished.tail}", file="contract.yaml")
        try:
            return read_metrics(out, "the metrics that the evaluation command wrote")
        except BadInput as error:
            raise Failed(str(error), hint=error.hint) from None


def evaluate_weighted(
    environment: Environment, root: Path, inputs: str, command: Sequence[str], scores: Path, counts: np.ndarray
) -> dict[str, np.ndarray]:
    """Make metrics of `scores` once for each row of `counts`, shape (times, rows), by a `weighted` command.

    Gives name -> values, shape (times,), NaN where a metric has no meaning. Raises `Failed` as `evaluate` does.
    """
    import numpy as np

    with scratch_folder() as scratch:
        places = {
            "inputs": root / inputs,
            "scores": scores.resolve(),
            "counts": scratch / "counts.npy",
            "out": scratch / "out.json",
        }
        np.save(places["counts"], counts)
        finished = _evaluation(environment, root, [_filled(word, places) for word in command])
        if finished.code:
            raise Failed(f"the command of evaluation.weighted failed: {finished.tail}", file="contract.yaml")
        try:
            found = read_json(places["out"], limit=LARGEST_WEIGHED)
        except BadInput as error:
            raise Failed(
                f"what evaluation.weighted wrote is no metrics: {error.message}", file="contract.yaml"
            ) from None
    return {name: _weighed(name, values, len(counts)) for name, values in _object(found).items()}


def _object(found: Any) -> dict[str, Any]:
    if not isinstance(found, dict):
        raise Failed("evaluation.weighted writes one JSON object: name -> a number for each time", file="contract.yaml")
    return found


def _weighed(name: str, values: Any, times: int) -> np.ndarray:
    import numpy as np

    if not isinstance(values, list) or len(values) != times:
        raise Failed(f"evaluation.weighted gave {name!r} not {times} times", file="contract.yaml")
    if not all(value is None or (isinstance(value, int | float) and not isinstance(value, bool)) for value in values):
        raise Failed(f"evaluation.weighted gave {name!r} a value that is no number", file="contract.yaml")
    return np.array([np.nan if value is None else value for value in values], float)


def _evaluation(environment: Environment, root: Path, command: list[str]) -> Finished:
    if command[0] in ("python", "python3"):
        return environment.run(command[1:], project=root, env=clean_variables(), timeout=TIMEOUT)
    try:
        return run(command, cwd=root, env={**environment.variables(root), **clean_variables()}, timeout=TIMEOUT)
    except Outside as error:
        raise Failed(error.message, file="contract.yaml") from None


def _filled(word: str, places: dict[str, Path]) -> str:
    for name, path in places.items():
        word = word.replace("{" + name + "}", str(path))
    return word
