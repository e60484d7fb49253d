"""Ask a saved model in a clean process: the project's interpreter, none of the project's source, no secrets."""

from __future__ import annotations

import re
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeVar

from pydantic import ValidationError

from beampermit.contract.judging import Budget
from beampermit.environments import Environment
from beampermit.errors import BadInput, Failed
from beampermit.models.surroundings import LONGEST, clean_variables, scratch_folder
from beampermit.reading import read_json
from beampermit.record import Record


def spans(scores: Path) -> dict[str, Span]:
    """What the columns of a table of scores hold, by our own look and not its writer's word. Raises `Failed`."""
    import duckdb

    from beampermit.datasets.tables import connect

    try:
        with connect() as connection:
            table = connection.read_parquet(str(scores))
            return {name: _measure(table, name) for name in table.columns}
    except duckdb.Error as error:
        raise Failed(f"the model's scores are no table of numbers: {str(error).splitlines()[0]}") from None


def rows(table: Path) -> int:
    """How many rows a Parquet table has. Raises `Failed`."""
    import duckdb

    from beampermit.datasets.tables import connect

    try:
        with connect() as connection:
            return connection.read_parquet(str(table)).aggregate("count(*)").fetchall()[0][0]
    except duckdb.Error as error:
        raise Failed(f"{table.name} is no Parquet table: {str(error).splitlines()[0]}") from None


def _measure(table: Any, name: str) -> Span:
    column = '"' + name.replace('"', '""') + '"::double'
    good = f"filter (isfinite({column}))"
    measures = ("count(*)", f"count({column}) {good}", f"min({column}) {good}", f"max({column}) {good}")
    rows, finite, low, high = table.aggregate(", ".join(measures)).fetchall()[0]
    return Span(rows=rows, finite=rows == finite, low=low, high=high)


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


Answer = TypeVar("Answer", bound=Record)
WORKER = Path(__file__).with_name("worker.py")


def load(environment: Environment, model: Path) -> Loaded:
    """Load the model folder `model`, give it its own example and wrong inputs. Raises `Failed` when it fails."""
    with scratch_folder() as scratch:
        return _parsed(Loaded, _ask(environment, scratch, model, "describe"))


def score(environment: Environment, model: Path, inputs: Path, out: Path, columns: Sequence[str]) -> Scored:
    """Give the model the `columns` of the Parquet file `inputs`; write what it gives to `out`, one row for each.

    One output becomes the column `score`; several keep their names. What it gives for rows alone goes beside `out`, for
    `replay`. Raises `Failed` when the model fails.
    """
    with scratch_folder() as scratch:
        answer = _ask(environment, scratch, model, "score", *_scoring(inputs, out, columns))
        return _scored(answer, inputs, out)


def examine(
    environment: Environment, model: Path, inputs: Path, out: Path, columns: Sequence[str]
) -> tuple[Loaded, Scored]:
    """`load` and `score` with one process for both. Raises `Failed` when either fails."""
    with scratch_folder() as scratch:
        answer = _ask(environment, scratch, model, "examine", *_scoring(inputs, out, columns))
        return _parsed(Loaded, answer.get("loaded")), _scored(answer.get("scored"), inputs, out)


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
    timing, found, expected = _parsed(Timing, answer), spans(out), rows(inputs)
    given = next(iter(found.values())).rows
    if given != expected:
        raise Failed(f"the model gave {given} rows for the {expected} rows of {inputs.name}")
    return Scored(**timing.model_dump(), rows=given, columns=found)


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
        raise Failed(f"the process that loaded the model ended with status {finished.code}: {finished.tail}")
    try:
        found = read_json(report)
    except BadInput as error:
        raise Failed(f"the model spoiled its report: {error.message}") from None
    if finished.code or not isinstance(found, dict) or "error" in found:
        reason = str(found.get("error")) if isinstance(found, dict) else finished.tail
        raise Failed(f"the saved model cannot be used: {reason.replace(f'{scratch}/', '')}")
    return found


def _parsed(kind: type[Answer], found: Any) -> Answer:
    try:
        return kind.model_validate(found)
    except ValidationError as error:
        raise Failed(f"the model spoiled its report: {error.errors()[0]['msg']}") from None
