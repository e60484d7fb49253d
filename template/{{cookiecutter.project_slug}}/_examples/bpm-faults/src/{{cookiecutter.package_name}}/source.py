"""Example: replace with yours. Where the data come from: a simulator, or recorded acquisitions."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from pydantic import BaseModel, ConfigDict, Field

from .faults import inject
from .pipeline import contract, tables
from .simulator import simulate

ACQUISITIONS = Path("acquisitions")
"""Folder of recorded acquisitions, a dependency of stage `request`."""
COLUMNS = ["acquisition", "device", "plane", "acquired_at", "turns"]


class Options(BaseModel):
    """An option that is not known is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Simulated(Options):
    """Options of the simulator."""

    acquisitions: int = Field(default=60, gt=0)
    seed: int = 0
    amplitude: float = Field(default=1.0, gt=0)
    """Typical kick, mm."""
    faults: float = Field(default=0.3, ge=0, le=1)
    """Fraction of the signals that are faulty."""
    start: str = "2024-01-08T08:00:00Z"


class Recorded(Options):
    """Options of recorded acquisitions; `acquisitions/README.md` describes the table."""

    path: Path
    faults: float = Field(default=0.0, ge=0, le=1)
    """Fraction of signals to inject a fault into, for signals without labels."""
    seed: int = 0
    train_on: Simulated | None = None
    """Training and validation are simulated, and all recorded signals are the test split."""


def acquire(source: str, options: Mapping[str, Any]) -> pd.DataFrame:
    """One row for each monitor and plane in each acquisition: the contract's key, time and input, `origin`, `injected`.

    `source` and `options` are those of `dataset.request` in contract.yaml. Raises `ValueError` for what it cannot answer.
    """
    if source == "simulator":
        return _simulated(Simulated.model_validate(options))
    if source == "files":
        return _recorded(Recorded.model_validate(options))
    raise ValueError(f"source: {source!r} is not one of simulator, files")


def _simulated(options: Simulated) -> pd.DataFrame:
    devices = contract.of(contract.ForRequest).devices
    if devices is None:
        raise ValueError("the simulator needs signals.devices, a table with the column device")
    names = pd.read_csv(devices)["device"].drop_duplicates().tolist()
    return simulate(names, **options.model_dump()).assign(origin="simulator")


def _recorded(options: Recorded) -> pd.DataFrame:
    if ACQUISITIONS.resolve() not in options.path.resolve().parents:
        raise ValueError(f"options.path: {options.path} is not below {ACQUISITIONS}/")
    table = tables.read_table(options.path, COLUMNS)
    recorded = inject(table, options.faults, np.random.default_rng(options.seed)).assign(origin="files")
    if options.train_on is None:
        return recorded
    return pd.concat([_simulated(options.train_on), recorded], ignore_index=True)
