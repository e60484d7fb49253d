"""Example: replace with yours. Where the rows come from: here simulated fills of a storage ring.

Rows of a machine have the same columns. `provoked` is 1 only where operators made a loss on purpose, as in loss maps.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from pydantic import BaseModel, ConfigDict, Field, model_validator

from .simulator import Ring, losses, provoke

SIMULATOR = "simulator"
PERIOD = 10.0
"""Between two rows, s."""
FILL = pd.Timedelta("12h")


class Options(BaseModel):
    """`dataset.request.options` of the contract; an unknown key is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    fills: int = Field(gt=1)
    """12 hours apart."""
    rows: int = Field(gt=0, le=4320)
    """In each fill, 10 seconds apart."""
    test_fills: int = Field(gt=0)
    """The last ones, in which losses are provoked: they must all be in the test split, see `split` in params.yaml."""
    share: float = Field(default=0.2, gt=0, lt=1)
    """Of the rows of these fills, with a provoked loss."""
    seed: int = Field(ge=0)
    start: str = "2025-03-01T00:00:00Z"

    @model_validator(mode="after")
    def _some_are_usual(self) -> Options:
        if self.test_fills >= self.fills:
            raise ValueError(f"test_fills: {self.test_fills} of {self.fills} fills leaves none to train on")
        return self


def acquire(source: str, options: Mapping[str, Any]) -> pd.DataFrame:
    """One row per reading of all monitors: fill, number, measured_at, losses (32,), anomaly, provoked, origin.

    `source` and `options` are those of `dataset.request` in contract.yaml. The same options always give the same table.
    Raises `ValueError` for what it cannot answer.
    """
    if source != SIMULATOR:
        raise ValueError(f"source: {source!r} is not {SIMULATOR}")
    chosen = Options.model_validate(options)
    ring = Ring.drawn(chosen.seed)
    return pd.concat([_fill(ring, number, chosen) for number in range(chosen.fills)], ignore_index=True)


def _fill(ring: Ring, number: int, options: Options) -> pd.DataFrame:
    rng = np.random.default_rng([options.seed, 1, number])
    seconds = PERIOD * np.arange(options.rows)
    readings, anomalies = losses(ring, seconds, rng), np.full(options.rows, "none")
    if number >= options.fills - options.test_fills:
        readings, anomalies = provoke(readings, options.share, rng)
    start = pd.Timestamp(options.start) + number * FILL
    return pd.DataFrame(
        {
            "fill": f"F{options.seed:03d}-{number:04d}",
            "number": np.arange(options.rows),
            "measured_at": (start + pd.to_timedelta(seconds, unit="s")).astype("datetime64[us, UTC]"),
            "losses": list(readings),
            "anomaly": anomalies.astype(str),
            "provoked": (anomalies != "none").astype(np.int8),
            "origin": SIMULATOR,
        }
    )
