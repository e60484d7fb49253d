"""Where the data come from: the imported model itself, or a table of recorded rows."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from pydantic import BaseModel, ConfigDict, Field

from .model import IMPORTED, Model
from .pipeline import contract, tables

RECORDED = Path("acquisitions")
"""Folder of recorded rows."""


class Options(BaseModel):
    """An option that is not known is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Asked(Options):
    """Options of `imported-model`."""

    rows: int = Field(gt=0)
    seed: int = 0


class Recorded(Options):
    """Options of `files`."""

    path: Path


def acquire(source: str, options: Mapping[str, Any]) -> pd.DataFrame:
    """One row for each sample: its number, each input, each output's target, and `origin`.

    `source` and `options` are those of `dataset.request` in contract.yaml. `imported-model` draws inputs within the
    contract's ranges and asks the imported model for the targets: metrics then compare the model with itself. `files`
    reads a Parquet table below acquisitions/, with columns named as the contract names inputs and targets. Raises
    `ValueError` for what it cannot answer.
    """
    if source == "imported-model":
        return _asked(Asked.model_validate(options))
    if source == "files":
        return _recorded(Recorded.model_validate(options))
    raise ValueError(f"source: {source!r} is not one of imported-model, files")


def _asked(options: Asked) -> pd.DataFrame:
    model = Model.load(IMPORTED)
    random = np.random.default_rng(options.seed)
    signals = contract.of(contract.ForRequest).inputs
    inputs = {
        signal.name: random.uniform(*signal.range, options.rows)
        if signal.value is None
        else np.full(options.rows, signal.value)
        for signal in signals
    }
    targets = {output.target: output.name for output in contract.of(contract.ForTraining).outputs if output.target}
    answers = model(inputs)
    columns = {
        "sample": np.arange(options.rows),
        **inputs,
        **{target: answers[name] for target, name in targets.items()},
    }
    return pd.DataFrame(columns).assign(origin="imported model")


def _recorded(options: Recorded) -> pd.DataFrame:
    if RECORDED.resolve() not in options.path.resolve().parents:
        raise ValueError(f"options.path: {options.path} is not below {RECORDED}/")
    table = tables.read_table(options.path)
    if "sample" not in table.columns:
        table = table.assign(sample=np.arange(len(table)))
    return table.assign(origin="files")
