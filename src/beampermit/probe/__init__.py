"""Asks a saved model things in a clean process: the project's interpreter, none of the project's source, no secrets.

What comes back is data: the files the process wrote are read strictly, what it printed is quoted only when it failed.
"""

from __future__ import annotations

import os
import re
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from pydantic import ValidationError

from beampermit.contract import Contract
from beampermit.contract.judging import Budget
from beampermit.environments import Environment
from beampermit.errors import BadInput, Outside, Tripped
from beampermit.metrics import read_metrics
from beampermit.processes import Finished, run
from beampermit.reading import read_json
from beampermit.verdict import Record

if TYPE_CHECKING:
    import numpy as np

Answer = TypeVar("Answer", bound=Record)
WORKER = Path(__file__).with_name("worker.py")
LARGEST_WEIGHED = 128 * 2**20
LONGEST = 1800.0
"""Seconds that one question may take."""
CLEAN = {
    "DO_NOT_TRACK": "true",
    "MLFLOW_ALLOW_PICKLE_DESERIALIZATION": "false",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_TRACKING_URI": "",
    # Two threads on a loaded machine of two cores were twenty to sixty times slower than one, and not repeatable.
    "MKL_NUM_THREADS": "1",
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
}
SECRET = re.compile(r"_KEY$|TOKEN|SECRET|PASSWORD|CREDENTIAL|^(AWS|AZURE|ACTIONS)_", re.IGNORECASE)


class Field(Record):
    """An input or output of the signature. `shape` starts with -1 for rows; None for a column of plain values."""

    name: str | None
    type: str
    shape: tuple[int, ...] | None

    @property
    def is_number(self) -> bool:
        """Whether its values, or those of its arrays, are numbers."""
        return bool(re.match(r"(Array\()*(float|double|u?int|integer|long)", self.type))


class Span(Record):
    """What an output held: its rows, whether all were finite, and the lowest and highest finite value."""

    rows: int
    finite: bool
    low: float | None
    high: float | None


class Loaded(Record):
    """A model that loads. `accepted` names wrong inputs that it did not refuse."""

    inputs: tuple[Field, ...]
    outputs: tuple[Field, ...]
    example: dict[str, Span]
    accepted: tuple[str, ...]


class Timing(Record):
    """Seconds for all rows, peak resident memory in MiB, and milliseconds for a row alone.

    Percentiles are over `alone` rows, each the best of its rounds; `worst` is the longest of all.
    """

    seconds: float
    memory: float
    alone: int
    p50: float
    p99: float
    worst: float


class Scored(Timing):
    """A table of scores: one row for each row of the inputs, and what its columns hold."""

    rows: int
    columns: dict[str, Span]

    @property
    def cost(self) -> str:
        """What a prediction took and held, in words."""
        took = f"{self.p99:.3g} ms for a row (99th percentile of {self.alone}, each the best of three)"
        return f"{took} and {self.memory:.0f} MiB"

    def beyond(self, budget: Budget) -> tuple[str, ...]:
        """A line for each part of the budget that it does not keep."""
        latency = budget.latency * 1000
        slow = self.p99 > latency
        large = self.memory > budget.memory
        return (
            *(
                (f"it takes {self.p99:.3g} ms for a row (p50 {self.p50:.3g} ms), {latency:g} ms allowed",)
                if slow
                else ()
            ),
            *((f"it holds {self.memory:.0f} MiB of memory, {budget.memory:g} MiB allowed",) if large else ()),
        )


def load(environment: Environment, model: Path) -> Loaded:
    """Load the model folder `model`, give it its own example and wrong inputs. Raises `Tripped` when it fails."""
    with _scratch() as scratch:
        return _parsed(Loaded, _ask(environment, scratch, model, "describe"))


def score(environment: Environment, model: Path, inputs: Path, out: Path, columns: Sequence[str]) -> Scored:
    """Give the model the `columns` of the Parquet file `inputs`; write what it gives to `out`, one row for each.

    One output becomes the column `score`; several keep their names. What it gives for rows alone goes beside `out`, for
    `replay`. Raises `Tripped` when the model fails.
    """
    with _scratch() as scratch:
        answer = _ask(environment, scratch, model, "score", *_scoring(inputs, out, columns))
        return _scored(answer, inputs, out)


def examine(
    environment: Environment, model: Path, inputs: Path, out: Path, columns: Sequence[str]
) -> tuple[Loaded, Scored]:
    """`load` and `score` with one process for both. Raises `Tripped` when either fails."""
    with _scratch() as scratch:
        answer = _ask(environment, scratch, model, "examine", *_scoring(inputs, out, columns))
        return _parsed(Loaded, answer.get("loaded")), _scored(answer.get("scored"), inputs, out)


def evaluate(environment: Environment, root: Path, contract: Contract, scores: Path) -> dict[str, float]:
    """Make metrics of `scores` with the project's own evaluation, whose file of metrics goes to a folder of ours.

    Raises `Tripped` when the command fails or what it wrote are no metrics.
    """
    with _scratch() as scratch:
        out = scratch / "metrics.json"
        places = {"inputs": root / contract.evaluation.inputs, "scores": scores.resolve(), "out": out}
        finished = _evaluation(environment, root, [_filled(word, places) for word in contract.evaluation.command])
        if finished.code:
            raise Tripped(f"the evaluation command failed: {finished.tail}", file="contract.yaml")
        try:
            return read_metrics(out, "the metrics that the evaluation command wrote")
        except BadInput as error:
            raise Tripped(str(error), hint=error.hint) from None


def weigh(
    environment: Environment, root: Path, inputs: str, command: Sequence[str], scores: Path, counts: np.ndarray
) -> dict[str, np.ndarray]:
    """Make metrics of `scores` once for each row of `counts`, shape (times, rows), by a `weighted` command.

    Gives name -> values, shape (times,), NaN where a metric has no meaning. Raises `Tripped` as `evaluate` does.
    """
    import numpy as np

    with _scratch() as scratch:
        places = {
            "inputs": root / inputs,
            "scores": scores.resolve(),
            "counts": scratch / "counts.npy",
            "out": scratch / "out.json",
        }
        np.save(places["counts"], counts)
        finished = _evaluation(environment, root, [_filled(word, places) for word in command])
        if finished.code:
            raise Tripped(f"the command of evaluation.weighted failed: {finished.tail}", file="contract.yaml")
        try:
            found = read_json(places["out"], limit=LARGEST_WEIGHED)
        except BadInput as error:
            raise Tripped(
                f"what evaluation.weighted wrote is no metrics: {error.message}", file="contract.yaml"
            ) from None
    return {name: _weighed(name, values, len(counts)) for name, values in _object(found).items()}


def _object(found: Any) -> dict[str, Any]:
    if not isinstance(found, dict):
        raise Tripped(
            "evaluation.weighted writes one JSON object: name -> a number for each time", file="contract.yaml"
        )
    return found


def _weighed(name: str, values: Any, times: int) -> np.ndarray:
    import numpy as np

    if not isinstance(values, list) or len(values) != times:
        raise Tripped(f"evaluation.weighted gave {name!r} not {times} times", file="contract.yaml")
    if not all(value is None or (isinstance(value, int | float) and not isinstance(value, bool)) for value in values):
        raise Tripped(f"evaluation.weighted gave {name!r} a value that is no number", file="contract.yaml")
    return np.array([np.nan if value is None else value for value in values], float)


def spans(scores: Path) -> dict[str, Span]:
    """What the columns of a table of scores hold, by our own look and not its writer's word. Raises `Tripped`."""
    import duckdb

    from beampermit.datasets.database import connect

    try:
        with connect() as connection:
            table = connection.read_parquet(str(scores))
            return {name: _measure(table, name) for name in table.columns}
    except duckdb.Error as error:
        raise Tripped(f"the model's scores are no table of numbers: {str(error).splitlines()[0]}") from None


def _scoring(inputs: Path, out: Path, columns: Sequence[str]) -> list[str]:
    places = {"--inputs": inputs, "--out": out, "--alone": alone_beside(out)}
    return [
        "--columns",
        ",".join(columns),
        *(word for name, path in places.items() for word in (name, str(path.resolve()))),
    ]


def alone_beside(scores: Path) -> Path:
    """Where the scores of rows alone are: beside those of all rows."""
    return scores.with_suffix(".alone.parquet")


def _scored(answer: Any, inputs: Path, out: Path) -> Scored:
    timing, found, expected = _parsed(Timing, answer), spans(out), _rows(inputs)
    rows = next(iter(found.values())).rows
    if rows != expected:
        raise Tripped(f"the model gave {rows} rows for the {expected} rows of {inputs.name}")
    return Scored(**timing.model_dump(), rows=rows, columns=found)


def _rows(table: Path) -> int:
    import duckdb

    from beampermit.datasets.database import connect

    try:
        with connect() as connection:
            return connection.read_parquet(str(table)).aggregate("count(*)").fetchall()[0][0]
    except duckdb.Error as error:
        raise Tripped(f"{table.name} is no Parquet table: {str(error).splitlines()[0]}") from None


def _measure(table: Any, name: str) -> Span:
    column = '"' + name.replace('"', '""') + '"::double'
    good = f"filter (isfinite({column}))"
    measures = ("count(*)", f"count({column}) {good}", f"min({column}) {good}", f"max({column}) {good}")
    rows, finite, low, high = table.aggregate(", ".join(measures)).fetchall()[0]
    return Span(rows=rows, finite=rows == finite, low=low, high=high)


def _ask(environment: Environment, scratch: Path, model: Path, verb: str, *words: str) -> dict[str, Any]:
    """Run the worker on a copy of the model, which so cannot reach beside itself nor leave compiled code behind."""
    copy, report = scratch / "model", scratch / "report.json"
    shutil.copytree(model, copy, symlinks=True, ignore=shutil.ignore_patterns("__pycache__"))
    finished = environment.run(
        ["-P", WORKER, verb, "--model", copy, "--report", report, *words],
        project=scratch,
        env=clean_variables(),
        timeout=LONGEST,
        own_code=False,
    )
    if not report.is_file():
        raise Tripped(f"the process that loaded the model ended with status {finished.code}: {finished.tail}")
    try:
        found = read_json(report)
    except BadInput as error:
        raise Tripped(f"the model spoiled its report: {error.message}") from None
    if finished.code or not isinstance(found, dict) or "error" in found:
        reason = str(found.get("error")) if isinstance(found, dict) else finished.tail
        raise Tripped(f"the saved model cannot be used: {reason.replace(f'{scratch}/', '')}")
    return found


def _parsed(kind: type[Answer], found: Any) -> Answer:
    try:
        return kind.model_validate(found)
    except ValidationError as error:
        raise Tripped(f"the model spoiled its report: {error.errors()[0]['msg']}") from None


def _evaluation(environment: Environment, root: Path, command: list[str]) -> Finished:
    if command[0] in ("python", "python3"):
        return environment.run(command[1:], project=root, env=clean_variables(), timeout=LONGEST)
    try:
        return run(command, cwd=root, env={**environment.variables(root), **clean_variables()}, timeout=LONGEST)
    except Outside as error:
        raise Tripped(error.message, file="contract.yaml") from None


def _filled(word: str, places: dict[str, Path]) -> str:
    for name, path in places.items():
        word = word.replace("{" + name + "}", str(path))
    return word


def clean_variables() -> dict[str, str]:
    """Variables that keep a run repeatable, and empty values for those that look like secrets.

    This spares honest code from leaking them; it is no wall, so no job that holds secrets runs unreviewed code.
    """
    return {name: "" for name in os.environ if SECRET.search(name) or _is_git_login(name)} | CLEAN


def _is_git_login(name: str) -> bool:
    """Whether a variable is what git sends along to a remote, as our actions tell it; an empty one sends nothing."""
    key = os.environ.get(name.replace("_VALUE_", "_KEY_"), "")
    return name.startswith("GIT_CONFIG_VALUE_") and key.lower().endswith(".extraheader")


@contextmanager
def _scratch() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="beampermit-", ignore_cleanup_errors=True) as folder:
        yield Path(folder).resolve()
