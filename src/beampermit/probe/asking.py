"""Ask a saved model in a clean process: the project's interpreter, none of the project's source, no secrets."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeVar

from pydantic import ValidationError

from beampermit.environments import Environment
from beampermit.errors import BadInput, Tripped
from beampermit.probe.answers import Loaded, Scored, Timing
from beampermit.probe.scores import rows, spans
from beampermit.probe.surroundings import LONGEST, clean_variables, scratch_folder
from beampermit.reading import read_json
from beampermit.verdict import Record

Answer = TypeVar("Answer", bound=Record)
WORKER = Path(__file__).with_name("worker.py")


def load(environment: Environment, model: Path) -> Loaded:
    """Load the model folder `model`, give it its own example and wrong inputs. Raises `Tripped` when it fails."""
    with scratch_folder() as scratch:
        return _parsed(Loaded, _ask(environment, scratch, model, "describe"))


def score(environment: Environment, model: Path, inputs: Path, out: Path, columns: Sequence[str]) -> Scored:
    """Give the model the `columns` of the Parquet file `inputs`; write what it gives to `out`, one row for each.

    One output becomes the column `score`; several keep their names. What it gives for rows alone goes beside `out`, for
    `replay`. Raises `Tripped` when the model fails.
    """
    with scratch_folder() as scratch:
        answer = _ask(environment, scratch, model, "score", *_scoring(inputs, out, columns))
        return _scored(answer, inputs, out)


def examine(
    environment: Environment, model: Path, inputs: Path, out: Path, columns: Sequence[str]
) -> tuple[Loaded, Scored]:
    """`load` and `score` with one process for both. Raises `Tripped` when either fails."""
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
        raise Tripped(f"the model gave {given} rows for the {expected} rows of {inputs.name}")
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
