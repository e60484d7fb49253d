"""A trial: fit with the parameters in `request.json`, measure on the validation split, and write `result.json`.

`beampermit trials run` runs it in a folder of its own, in which the code, the data of the training and the contract
are linked. The test split is not there: no trial is chosen by it.
"""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

from .. import metrics, model
from . import contract, machine, tables
from .processes import Checkpoint, Processes, together
from .train import train_and_held_out

REQUEST, RESULT, SCORES = Path("request.json"), Path("result.json"), Path("scores.parquet")
INTERMEDIATE, CHECKPOINT = Path("intermediate.jsonl"), Path("checkpoint.pt")


class Watched(Processes):
    """The processes of a trial: what the first one reports is read while it runs, and may end it early."""

    def report(self, step: int, loss: float) -> None:
        """A line in `intermediate.jsonl`."""
        if self.rank == 0 and math.isfinite(loss):
            with INTERMEDIATE.open("a", encoding="utf-8") as stream:
                stream.write(json.dumps({"step": step, "value": loss}) + "\n")


def main() -> None:
    """One trial; ended and begun again, it goes on from its checkpoint."""
    request = json.loads(REQUEST.read_text(encoding="utf-8"))
    params = contract.valid(model.Training, request["params"]["train"], "params.yaml: train")
    part = contract.of(contract.ForTraining)
    train, held_out = train_and_held_out(part)
    device = str(getattr(params, "device", "cpu"))
    with together(device, Watched(checkpoint=Checkpoint(CHECKPOINT))) as team:
        trained, curve = model.fit(train, held_out, params, team)
    if team.rank:
        return  # the first process writes
    losses = [float(loss) for row in curve for loss in row[1:]]
    if not all(map(math.isfinite, losses)):
        raise SystemExit("the loss is not finite: training did not converge with these parameters")
    outputs = trained(held_out.inputs)
    if request["scores"]:
        tables.write_arrays(outputs, SCORES)
    write(
        {
            "parameters": request["parameters"],
            "curve": curve,
            "metrics": measured(outputs, held_out),
            "machine": machine.describe(device, team.count),
        }
    )
    CHECKPOINT.unlink(missing_ok=True)


def measured(outputs: tables.Arrays, rows: tables.Rows) -> dict[str, float]:
    """The metrics of `metrics.py`, without those that the validation split leaves undefined."""
    found = metrics.metrics(outputs, rows)
    return {name: float(value) for name, value in found.items() if math.isfinite(value)}


def write(result: dict[str, Any]) -> None:
    """The result is there, or it is not."""
    temporary = RESULT.with_suffix(".part")
    temporary.write_text(json.dumps(result, allow_nan=False) + "\n", encoding="utf-8")
    temporary.replace(RESULT)


if __name__ == "__main__":
    main()
