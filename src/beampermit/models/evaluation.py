"""Metrics of scores: those with a measure by the checker, others by the project's own command in a clean process.

A pull request is evaluated by the commands and the code of its base branch as well: what it changes in its own
evaluation does not decide about it.
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from beampermit.contract import FILE_NAME, Contract
from beampermit.contract.load import written_alike
from beampermit.contract.measured import MeasuredMetric, measured_metrics
from beampermit.datasets.dvc_lock import bound_outputs
from beampermit.environments import Environment
from beampermit.errors import BadInput, Failed, Outside
from beampermit.git import Git
from beampermit.models.measures import measure, measure_weighted, read_compared
from beampermit.models.metrics import read_metrics
from beampermit.processes import REPEATABLE, TIMEOUT, Finished, run, scratch_folder
from beampermit.reading import read_json

if TYPE_CHECKING:
    import numpy as np


LARGEST_RESULT = 128 * 2**20
WIDEST = 2**20
SEPARATELY = "merge a change of the evaluation first, in a pull request of its own that works before and after"


@dataclass(frozen=True)
class Evaluator:
    """The commands of `contract`, run with the code of the tree `root` on the rows of the file `inputs`.

    The checker computes the metrics `measured` itself: a number that a command writes for one of them does not count.
    `origin` begins messages where it is not the project's own evaluation.
    """

    environment: Environment
    root: Path
    contract: Contract
    inputs: Path
    origin: str = ""
    measured: tuple[MeasuredMetric, ...] = ()

    @classmethod
    def of(cls, environment: Environment, root: Path, contract: Contract, inputs: Path) -> Evaluator:
        """A project's own evaluation, with the measures of its contract."""
        return cls(environment, root, contract, inputs, measured=measured_metrics(contract, contract.signals))

    def evaluate(self, scores: Path, inputs: Path | None = None) -> dict[str, float]:
        """The metrics of `scores` of the rows of `inputs`. Raises `Failed`."""
        rows = inputs or self.inputs
        try:
            by_command = self.contract.evaluation.command
            values = evaluate(self.environment, self.root, self.contract, scores, rows) if by_command else {}
            return {**values, **measure(self.measured, read_compared(self.measured, scores, rows))}
        except Failed as error:
            raise self._named(error) from None

    def evaluate_weighted(self, scores: Path, counts: np.ndarray) -> dict[str, np.ndarray]:
        """As the function of this name, and the measures; these alone where `evaluation.weighted` is not set."""
        command = self.contract.evaluation.weighted
        try:
            values = (
                evaluate_weighted(self.environment, self.root, str(self.inputs), command, scores, counts)
                if command
                else {}
            )
            return {**values, **self.measure_weighted(scores, counts)}
        except Failed as error:
            raise self._named(error) from None

    def measure_weighted(self, scores: Path, counts: np.ndarray) -> dict[str, np.ndarray]:
        """The measures for each row of `counts`, shape (times, rows). Raises `Failed`."""
        return measure_weighted(self.measured, read_compared(self.measured, scores, self.inputs), counts)

    def resamples(self, name: str) -> bool:
        """Whether it can compute a metric for weighted rows."""
        return bool(self.contract.evaluation.weighted) or any(metric.name == name for metric in self.measured)

    def _named(self, error: Failed) -> Failed:
        if not self.origin:
            return error
        return Failed(f"{self.origin}: {error.message}", file=FILE_NAME, hint=SEPARATELY)


def export_tree(git: Git, commit: str, folder: Path) -> Path:
    """Write the files of a commit below `folder`; the project's own clone is not linked to them.

    Returns the project's folder there.
    """
    tree = folder / "tree"
    tree.mkdir()
    return git.export(commit, tree)


def take_signals(tree: Path, contract: Path) -> None:
    """Let the contract in an exported tree have the signals of `contract`: its evaluation reads their alarm limits.

    Both have been parsed before. Values stay as they are written: readers of YAML do not agree on `1e-06` or `on`.
    """
    from ruamel.yaml import YAML

    now, wanted = (file.read_text(encoding="utf-8") for file in (tree / FILE_NAME, contract))
    if now == wanted or written_alike(now, wanted, "signals"):
        return
    yaml = YAML(typ="rt", pure=True)
    yaml.preserve_quotes = True
    yaml.width = WIDEST
    own, other = yaml.load(now), yaml.load(wanted)
    own["signals"] = other["signals"]
    with (tree / FILE_NAME).open("w", encoding="utf-8") as file:
        yaml.dump(own, file)


def link_outputs(tree: Path, root: Path) -> None:
    """Let data that git does not hold be where the code of an exported tree looks for them."""
    files = {path.relative_to(tree).as_posix(): path for path in tree.rglob("*") if path.is_file()}
    for path in bound_outputs(files, lambda name: files[name].read_text(encoding="utf-8") if name in files else None):
        target, link = root / path, tree / path
        if target.exists() and not link.exists():
            link.parent.mkdir(parents=True, exist_ok=True)
            link.symlink_to(target)


def evaluate(
    environment: Environment, root: Path, contract: Contract, scores: Path, inputs: Path | None = None
) -> dict[str, float]:
    """The metrics of `scores`, by `evaluation.command` of the contract; nothing is written to the project.

    `scores` are of the rows of `inputs`, by default those that the contract names. Raises `Failed` when the command
    fails or does not write metrics.
    """
    with scratch_folder() as scratch:
        out = scratch / "metrics.json"
        paths = {
            "inputs": inputs or root / contract.evaluation.inputs,
            "scores": Path(shutil.copy(scores, scratch / "scores.parquet")),
            "out": out,
        }
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
            "scores": Path(shutil.copy(scores, scratch / "scores.parquet")),
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
        return environment.run(command[1:], project=root, env=REPEATABLE, timeout=TIMEOUT)
    try:
        variables = {**environment.clean_variables(root), **REPEATABLE}
        return run(command, cwd=root, env=variables, timeout=TIMEOUT, clean=True)
    except Outside as error:
        raise Failed(error.message, file="contract.yaml") from None


def _fill(word: str, paths: dict[str, Path]) -> str:
    for name, path in paths.items():
        word = word.replace("{" + name + "}", str(path))
    return word
