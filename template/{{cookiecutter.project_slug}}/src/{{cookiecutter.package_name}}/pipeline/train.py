"""Stage `train`: fit the model (`models/trained/`), and record its loss curve and the machine.

With torch, `torchrun --standalone --nproc-per-node 2 -m <package>.pipeline.train` uses several processes.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path

from .. import model
from . import contract, machine, tables
from .contract import TRAINED
from .processes import together

HELD_OUT = "validation"


def load(split: str, part: contract.ForTraining) -> tables.Rows:
    """A split's rows with inputs and targets."""
    return tables.read_rows(part.splits[split], part.inputs, part.outputs)


def train_and_held_out(part: contract.ForTraining) -> tuple[tables.Rows, tables.Rows]:
    """The rows to fit and those to watch the loss on; without a split called validation, these are the same."""
    train = load("train", part)
    return train, load(HELD_OUT, part) if HELD_OUT in part.splits else train


def main() -> None:
    """Stage `train`."""
    part, params = contract.of(contract.ForTraining), contract.params("train", model.Training)
    device = str(getattr(params, "device", "cpu"))
    with together(device) as team:
        trained, curve = model.fit(*train_and_held_out(part), params, team)
    if team.rank:
        return  # the first process writes
    shutil.rmtree(TRAINED, ignore_errors=True)
    TRAINED.mkdir(parents=True)
    trained.save(TRAINED)
    record = Path(part.record)
    record.parent.mkdir(parents=True, exist_ok=True)
    content = {"training": curve, "machine": machine.describe(device, team.count)}
    record.write_text(json.dumps(content) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
