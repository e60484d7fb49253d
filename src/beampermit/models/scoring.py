"""Load and score a saved model in a clean process: the project's interpreter, none of its source, no secrets.

Only the files that the process writes are read, and strictly; what it prints is quoted where it fails.
"""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import Any, TypeVar

from pydantic import ValidationError

from beampermit.contract.judging import Budget
from beampermit.contract.signals import Signals
from beampermit.environments import Environment
from beampermit.errors import BadInput, Failed
from beampermit.models.score_table import ScoreTable, ValueRange
from beampermit.models.worker_process import run_worker
from beampermit.processes import scratch_folder
from beampermit.reading import read_json
from beampermit.record import Record

NEEDS_TORCH = re.compile(r"(?im)^torch\b")


class Field(Record):
    """An input or output of the signature. `shape` begins with -1 for rows; None for a column of scalars."""

    name: str | None
    type: str
    shape: tuple[int, ...] | None

    @property
    def is_number(self) -> bool:
        """Whether its values, or those of its arrays, are numbers."""
        return bool(re.match(r"(Array\()*(float|double|u?int|integer|long)", self.type))


class Description(Record):
    """What a model that loads takes and gives. `accepted` names wrong inputs that it did not refuse."""

    inputs: tuple[Field, ...]
    outputs: tuple[Field, ...]
    example: dict[str, ValueRange]
    accepted: tuple[str, ...]


class Timing(Record):
    """Seconds for all rows, peak resident memory in MiB, and milliseconds for a single row.

    Percentiles are over `single_rows` rows, each at its fastest of three; `worst` is the slowest prediction of all.
    """

    seconds: float
    memory: float
    single_rows: int
    p50: float
    p99: float
    worst: float


class Scores(Timing):
    """A table with one row of scores for each row of inputs."""

    rows: int
    columns: dict[str, ValueRange]

    @property
    def cost(self) -> str:
        """`1.2 ms for a row (...) and 300 MiB`."""
        latency = f"{self.p99:.3g} ms for a row (99th percentile of {self.single_rows}, each the fastest of three)"
        return f"{latency} and {self.memory:.0f} MiB"

    def over_budget(self, budget: Budget) -> tuple[str, ...]:
        """One message for each limit that is exceeded."""
        latency = budget.latency * 1000
        messages: list[str] = []
        if self.p99 > latency:
            messages.append(f"it takes {self.p99:.3g} ms for a row (p50 {self.p50:.3g} ms), {latency:g} ms allowed")
        if self.memory > budget.memory:
            messages.append(f"it uses {self.memory:.0f} MiB of memory, {budget.memory:g} MiB allowed")
        return tuple(messages)


def describe(environment: Environment, model: Path, signals: Signals) -> Description:
    """Load the model folder `model`, give it its own example and wrong inputs. Raises `Failed` when it fails."""
    with scratch_folder() as scratch:
        return _parse(Description, _run_worker(environment, scratch, model, "describe", *_outputs(signals)))


def score(environment: Environment, model: Path, inputs: Path, out: Path, signals: Signals) -> Scores:
    """As `score_rows`, and how long it took.

    The scores of single rows, for `compare_scores`, go to `single_row_scores(out)`. Raises `Failed` as it does.
    """
    with scratch_folder() as scratch:
        options = (*_score_options(environment, scratch, model, inputs, out, signals), *_single(out))
        return _read_scores(_run_worker(environment, scratch, model, "score", *options), inputs, out)


def score_rows(environment: Environment, model: Path, inputs: Path, out: Path, signals: Signals) -> None:
    """Give the model its inputs of the Parquet file `inputs`; write one row of scores for each row to `out`.

    There is a column for each output, under the name that the model gives it; an array without a name is the contract's
    only output. Raises `Failed` when the model fails.
    """
    with scratch_folder() as scratch:
        options = _score_options(environment, scratch, model, inputs, out, signals)
        _run_worker(environment, scratch, model, "score_rows", *options)
        _read_ranges(inputs, out)


def describe_and_score(
    environment: Environment, model: Path, inputs: Path, out: Path, signals: Signals
) -> tuple[Description, Scores]:
    """Both in one process, which loads the model once. Raises `Failed` when either fails."""
    with scratch_folder() as scratch:
        options = (*_score_options(environment, scratch, model, inputs, out, signals), *_single(out))
        answer = _run_worker(environment, scratch, model, "describe_and_score", *options)
        return _parse(Description, answer.get("description")), _read_scores(answer.get("scores"), inputs, out)


def single_row_scores(scores: Path) -> Path:
    """The file of the scores of single rows, beside that of all rows."""
    return scores.with_suffix(".single.parquet")


def value_ranges(scores: Path) -> dict[str, ValueRange]:
    """The range of each column of a Parquet file, computed here, not by the model. Raises `Failed`."""
    try:
        with ScoreTable(scores) as table:
            return {name: table.range_of(name) for name in table.outputs}
    except Failed as error:
        raise Failed(f"the model's scores cannot be used: {error.message}") from None


def _count_rows(path: Path) -> int:
    import duckdb

    from beampermit.datasets.tables import connect_to_read

    try:
        with connect_to_read() as connection:
            return connection.read_parquet(str(path)).aggregate("count(*)").fetchall()[0][0]
    except duckdb.Error as error:
        raise Failed(f"{path.name} is not a Parquet table: {str(error).splitlines()[0]}") from None


def _score_options(
    environment: Environment, scratch: Path, model: Path, inputs: Path, out: Path, signals: Signals
) -> list[str | Path]:
    """Options of the worker. The model gets a table of its inputs alone, without labels, in a folder of its own."""
    rows = scratch / "rows" / inputs.name
    rows.parent.mkdir()
    named = ["--columns", ",".join(signal.name for signal in signals.inputs)]
    _run(environment, scratch, model, "select", *named, "--inputs", inputs.resolve(), "--out", rows)
    return [*named, *_outputs(signals), "--inputs", rows, "--out", out.resolve()]


def _single(out: Path) -> tuple[str, Path]:
    return "--single", single_row_scores(out).resolve()


def _outputs(signals: Signals) -> tuple[str, str]:
    """The worker's option for the names and shapes of the contract's outputs."""
    return "--outputs", json.dumps({signal.name: signal.shape for signal in signals.outputs})


def _read_scores(answer: Any, inputs: Path, out: Path) -> Scores:
    timing, ranges = _parse(Timing, answer), _read_ranges(inputs, out)
    return Scores(**timing.model_dump(), rows=next(iter(ranges.values())).rows, columns=ranges)


def _read_ranges(inputs: Path, out: Path) -> dict[str, ValueRange]:
    """The ranges of the scores, of which there must be a row for each of the inputs. Raises `Failed`."""
    ranges, expected = value_ranges(out), _count_rows(inputs)
    rows = next(iter(ranges.values())).rows
    if rows != expected:
        raise Failed(f"the model gave {rows} rows for the {expected} rows of {inputs.name}")
    return ranges


def _run_worker(
    environment: Environment, scratch: Path, model: Path, verb: str, *options: str | Path
) -> dict[str, Any]:
    """Run the worker on a copy of the model, so that it neither sees other files nor leaves compiled code behind."""
    copy = scratch / "model"
    shutil.copytree(model, copy, symlinks=True, ignore=shutil.ignore_patterns("__pycache__"))
    return _run(environment, scratch, model, verb, "--model", copy, *options)


def _run(environment: Environment, scratch: Path, model: Path, verb: str, *options: str | Path) -> dict[str, Any]:
    report = scratch / f"{verb}.json"
    # Only what this model needs: its memory is measured.
    modules = ("torch",) if _needs_torch(model) else ()
    finished = run_worker(environment, [verb, "--report", report, *options], folder=scratch, modules=modules)
    if not report.is_file():
        raise Failed(f"the process that loaded the model ended with status {finished.code}: {finished.tail}")
    try:
        answer = read_json(report)
    except BadInput as error:
        raise Failed(f"the model's code overwrote the report: {error.message}") from None
    if finished.code or not isinstance(answer, dict) or "error" in answer:
        reason = str(answer.get("error")) if isinstance(answer, dict) else finished.tail
        raise Failed(f"the saved model cannot be used: {reason.replace(f'{scratch}/', '')}")
    return answer


def _needs_torch(model: Path) -> bool:
    requirements = model / "requirements.txt"
    return requirements.is_file() and bool(NEEDS_TORCH.search(requirements.read_text("utf-8", errors="replace")))


Answer = TypeVar("Answer", bound=Record)


def _parse(kind: type[Answer], value: Any) -> Answer:
    try:
        return kind.model_validate(value)
    except ValidationError as error:
        raise Failed(f"the model's code overwrote the report: {error.errors()[0]['msg']}") from None
