"""Monitoring limits from the reference split, written by stage `evaluate`: what a window of the service is compared with.

`reference.py` computes them as the monitor of the service computes its readings.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from . import contract, reference, tables

if TYPE_CHECKING:
    from ..model import Model


def limits(part: contract.ForLimits, rows: tables.Rows, outputs: tables.Arrays) -> dict[str, Any]:
    """The content of the file of limits: from rows of the reference, and the model's answers to them."""
    truth = {name: values for name, values in rows.targets.items() if np.issubdtype(values.dtype, np.number)}
    found = {"split": part.reference} | reference.limits(
        rows.inputs,
        outputs,
        expected={signal.name: signal.expected or signal.range for signal in part.inputs},
        alarms={output.name: output.alarms for output in part.outputs if output.alarms != (None, None)},
        truth=truth,
    )
    for of in (*found["inputs"].values(), *found["outputs"].values()):
        if never := [name for name, distribution in of["numbers"].items() if distribution is None]:
            raise SystemExit(f"monitoring: {never[0]} has no finite value in the reference split")
    return found


def text(value: Any, indent: str = "") -> str:
    """JSON with a line for each thing that has a limit, so that a change of one is a line."""
    if not isinstance(value, dict) or not any(isinstance(inner, dict) for inner in value.values()):
        return json.dumps(value, ensure_ascii=False, allow_nan=False)
    lines = [f"{indent} {json.dumps(key, ensure_ascii=False)}: {text(inner, indent + ' ')}" for key, inner in value.items()]
    return "{\n" + ",\n".join(lines) + f"\n{indent}}}"


def write(model: Model) -> None:
    """Write the limits of a trained model to the file that the contract names."""
    part = contract.of(contract.ForLimits)
    rows = tables.read_rows(part.splits[part.reference], part.inputs, part.outputs)
    path = Path(part.limits)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text(limits(part, rows, model(rows.inputs))) + "\n", encoding="utf-8")
