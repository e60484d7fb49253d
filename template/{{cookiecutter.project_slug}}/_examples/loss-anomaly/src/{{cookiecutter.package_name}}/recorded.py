"""Example: replace with yours. Two days of usual operation, of which `beampermit backtest` made `calibration.json`.

A machine has them in its archiver, or in the log of the service. Here the simulator goes on where the data set ends: the
first minutes of a fill an hour, of the same ring, in which nothing is provoked.
"""

from __future__ import annotations

import sys

import pandas as pd

from .pipeline import contract, tables
from .source import FILL, acquire

FILLS = 48
APART = pd.Timedelta("1h")


def recorded() -> pd.DataFrame:
    """Rows like those of the data set; they are always the same."""
    request = contract.of(contract.ForRequest).request
    known, provoked = request["options"]["fills"], request["options"]["test_fills"]
    rows = acquire(request["source"], {**request["options"], "fills": known + FILLS + provoked})
    number = rows.groupby("fill", sort=False).ngroup() - known
    sooner = rows["measured_at"] - number * (FILL - APART)
    return rows.assign(measured_at=sooner)[(number >= 0) & (number < FILLS)].reset_index(drop=True)


if __name__ == "__main__":
    tables.write_table(recorded(), sys.argv[1])
