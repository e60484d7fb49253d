"""Example: replace with yours. Two days of usual operation, of which `beampermit backtest` made `calibration.json`.

A machine has them in its archiver, or in the log of the service. Here the simulator goes on where the data set ends: an
acquisition an hour, of the same ring.
"""

from __future__ import annotations

import sys

import pandas as pd

from .pipeline import contract, tables
from .source import acquire

BEGAN = "2024-02-01T00:30:00Z"
ACQUISITIONS = 48


def recorded() -> pd.DataFrame:
    """Rows like those of the data set; they are always the same."""
    request = contract.of(contract.ForRequest).request
    known = request["options"]["acquisitions"]
    rows = acquire(request["source"], {**request["options"], "acquisitions": known + ACQUISITIONS})
    number = rows.groupby("acquisition", sort=False).ngroup() - known
    times = pd.Timestamp(BEGAN) + pd.to_timedelta(number, unit="h")
    return rows.assign(acquired_at=times.astype("datetime64[us, UTC]"))[number >= 0].reset_index(drop=True)


if __name__ == "__main__":
    tables.write_table(recorded(), sys.argv[1])
