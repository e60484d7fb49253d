"""Example: replace with yours. A few simulated fills for all tests."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from {{ cookiecutter.package_name }}.features import INPUT
from {{ cookiecutter.package_name }}.pipeline.tables import Rows
from {{ cookiecutter.package_name }}.source import acquire

FEW = {"fills": 4, "rows": 50, "test_fills": 1, "share": 0.3, "seed": 4}


@pytest.fixture(scope="session")
def small_request() -> dict[str, object]:
    """`dataset.request` of a few rows, for tests of the whole pipeline."""
    return {"source": "simulator", "options": {"fills": 10, "rows": 40, "test_fills": 2, "seed": 3}}


@pytest.fixture(scope="session")
def table() -> pd.DataFrame:
    """Four fills of 50 rows; in the last, a third of the rows has a provoked loss."""
    return acquire("simulator", FEW)


@pytest.fixture(scope="session")
def usual(table: pd.DataFrame) -> Rows:
    """The 150 rows without provoked losses in the fills before."""
    return rows_of(table[table["fill"] != table["fill"].iloc[-1]])


@pytest.fixture(scope="session")
def last(table: pd.DataFrame) -> Rows:
    """The 50 rows of the last fill."""
    return rows_of(table[table["fill"] == table["fill"].iloc[-1]])


def rows_of(table: pd.DataFrame) -> Rows:
    """Rows as the pipeline gives them to the model."""
    readings = np.stack(table["losses"].to_list()).astype(np.float32)
    return Rows(table=table, inputs={INPUT: readings}, targets={"score": table["provoked"].to_numpy(np.float64)})
