"""Example: simulated signals of monitors, for all tests."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from {{ cookiecutter.package_name }} import faults, simulator

DEVICES = [f"BPM.{number:02d}" for number in range(10)]


@pytest.fixture(scope="session")
def small_request() -> dict[str, object]:
    """`dataset.request` of a few rows, for tests of the whole pipeline."""
    return {"source": "simulator", "options": {"acquisitions": 12, "seed": 3}}


@pytest.fixture(scope="session")
def table() -> pd.DataFrame:
    """Signals of 10 monitors, 10 acquisitions and both planes, every third with a fault."""
    return simulator.simulate(DEVICES, acquisitions=10, seed=7).assign(origin="simulator")


@pytest.fixture(scope="session")
def turns(table: pd.DataFrame) -> np.ndarray:
    """The signals of the table, shape (200, 250), mm."""
    return faults.turns_of(table)
