"""The record that the project's training writes: its loss by epoch, and the machine it ran on."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from beampermit.errors import BadInput
from beampermit.reading import read_json

MOST_ROWS = 100_000
LONGEST_VALUE = 200


@dataclass(frozen=True)
class TrainingRecord:
    """`loss` by epoch; `machine`: flat names and text, such as `threads` and `packages.numpy`. Empty where unknown."""

    loss: tuple[float, ...] = ()
    machine: dict[str, str] = field(default_factory=dict)


def read_record(path: Path, name: str) -> TrainingRecord:
    """Read `{"training": [[epoch, loss, ...], ...], "machine": {...}}`; an empty record where there is no file.

    Raises `BadInput` for any other content; errors call the file `name`.
    """
    if not path.is_file():
        return TrainingRecord()
    try:
        return _record(read_json(path), name)
    except BadInput as error:
        raise BadInput(error.message, file=name, line=error.line) from None


def _record(content: Any, name: str) -> TrainingRecord:
    if not isinstance(content, dict):
        raise BadInput("the training record is not a JSON object", file=name)
    rows, machine = content.get("training", []), content.get("machine", {})
    if not isinstance(rows, list) or len(rows) > MOST_ROWS or not all(_is_row(row) for row in rows):
        raise BadInput("training is not a list of [epoch, loss, ...] of finite numbers", file=name)
    if not isinstance(machine, dict):
        raise BadInput("machine is not a JSON object", file=name)
    return TrainingRecord(tuple(float(row[1]) for row in rows), dict(_flatten(machine)))


def _is_row(row: Any) -> bool:
    return isinstance(row, list) and len(row) > 1 and all(
        isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value) for value in row
    )  # fmt: skip


def _flatten(tree: dict[str, Any], prefix: str = "") -> list[tuple[str, str]]:
    items: list[tuple[str, str]] = []
    for key, value in list(tree.items())[:MOST_ROWS]:
        if isinstance(value, dict) and not prefix:
            items += _flatten(value, f"{key}.")
        else:
            items.append((f"{prefix}{key}", str(value)[:LONGEST_VALUE]))
    return items
