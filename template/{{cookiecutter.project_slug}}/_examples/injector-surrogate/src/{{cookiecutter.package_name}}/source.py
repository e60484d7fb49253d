"""Example: replace with yours. Where the rows come from: here simulated runs of a photo-injector.

Rows of a machine have the same columns: settings and measurements of one shot, or means over a few.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from pydantic import BaseModel, ConfigDict, Field

from .simulator import Settings, simulate

SIMULATOR = "simulator"
SHOT = pd.Timedelta("10s")
RUN = pd.Timedelta("8h")
LOW_CHARGE = 100.0
"""Below, the injector runs in its low-charge mode. pC."""


class Options(BaseModel):
    """`dataset.request.options` of the contract; an unknown key is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    runs: int = Field(gt=0)
    """Runs of the machine, 8 hours apart."""
    shots: int = Field(gt=0, le=2880)
    """Shots in each run, 10 seconds apart."""
    noise: float = Field(default=0.01, ge=0, lt=0.2)
    """Of each measurement, relative, rms."""
    seed: int = Field(ge=0)
    start: str = "2025-02-03T06:00:00Z"


def acquire(source: str, options: Mapping[str, Any]) -> pd.DataFrame:
    """One row per shot: run, shot, measured_at, mode, the eight settings, the five measurements, origin.

    `source` and `options` are those of `dataset.request` in contract.yaml. The same options always give the same table;
    more runs leave those before them as they are. Raises `ValueError` for what it cannot answer.
    """
    if source != SIMULATOR:
        raise ValueError(f"source: {source!r} is not {SIMULATOR}")
    chosen = Options.model_validate(options)
    return pd.concat([_run(number, chosen) for number in range(chosen.runs)], ignore_index=True)


def _run(number: int, options: Options) -> pd.DataFrame:
    rng = np.random.default_rng([options.seed, number])
    settings = Settings.drawn(options.shots, rng)
    measured = {
        name: values * np.exp(rng.normal(0, options.noise, options.shots))
        for name, values in simulate(settings).items()
    }
    times = pd.date_range(pd.Timestamp(options.start) + number * RUN, periods=options.shots, freq=SHOT)
    return pd.DataFrame(
        {
            "run": f"R{options.seed:03d}-{number:04d}",
            "shot": np.arange(options.shots),
            "measured_at": times.astype("datetime64[us, UTC]"),
            "mode": np.where(settings.charge < LOW_CHARGE, "low-charge", "nominal"),
            **vars(settings),
            **measured,
            "origin": SIMULATOR,
        }
    )
