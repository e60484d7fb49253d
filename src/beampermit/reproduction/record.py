"""What training says of itself: its loss, epoch by epoch, and the machine it ran on. Written by the project's code."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from beampermit.errors import BadInput
from beampermit.reading import read_json

MOST = 100_000
LONGEST = 200


@dataclass(frozen=True)
class TrainingRecord:
    """`loss` by epoch; `machine`: flat names and words, such as `threads` and `packages.numpy`. Empty where unknown."""

    loss: tuple[float, ...] = ()
    machine: dict[str, str] = field(default_factory=dict)


def read_record(path: Path, name: str) -> TrainingRecord:
    """Read `{"training": [[epoch, loss, ...], ...], "machine": {...}}`; an empty record where there is no file.

    Raises `BadInput` for anything of another shape; `name` is what the error calls the file.
    """
    if not path.is_file():
        return TrainingRecord()
    try:
        return _record(read_json(path), name)
    except BadInput as error:
        raise BadInput(error.message, file=name, line=error.line) from None


def _record(content: Any, name: str) -> TrainingRecord:
    if not isinstance(content, dict):
        raise BadInput("the record of a training is a JSON object", file=name)
    rows, machine = content.get("training", []), content.get("machine", {})
    if not isinstance(rows, list) or len(rows) > MOST or not all(_is_row(row) for row in rows):
        raise BadInput("training is a list of [epoch, loss, ...], finite numbers", file=name)
    if not isinstance(machine, dict):
        raise BadInput("machine is a JSON object of names and words", file=name)
    return TrainingRecord(tuple(float(row[1]) for row in rows), dict(_flat(machine)))


def _is_row(row: Any) -> bool:
    return isinstance(row, list) and len(row) > 1 and all(
        isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value) for value in row
    )  # fmt: skip


def _flat(tree: dict[str, Any], before: str = "") -> list[tuple[str, str]]:
    found: list[tuple[str, str]] = []
    for key, value in list(tree.items())[:MOST]:
        if isinstance(value, dict) and not before:
            found += _flat(value, f"{key}.")
        else:
            found.append((f"{before}{key}", str(value)[:LONGEST]))
    return found
