"""Example: replace with yours. Two days of usual operation, of which `beampermit backtest` made `calibration.json`.

A machine has them in its archiver, or in the log of the service. Here the simulator goes on where the data set ends: the
first minutes of a run an hour.
"""

from __future__ import annotations

import sys

import pandas as pd

from .pipeline import contract, tables
from .source import RUN, acquire

RUNS = 48
APART = pd.Timedelta("1h")


def recorded() -> pd.DataFrame:
    """Rows like those of the data set; they are always the same."""
    request = contract.of(contract.ForRequest).request
    known = request["options"]["runs"]
    rows = acquire(request["source"], {**request["options"], "runs": known + RUNS})
    number = rows.groupby("run", sort=False).ngroup() - known
    sooner = rows["measured_at"] - number * (RUN - APART)
    return rows.assign(measured_at=sooner)[number >= 0].reset_index(drop=True)


if __name__ == "__main__":
    tables.write_table(recorded(), sys.argv[1])
