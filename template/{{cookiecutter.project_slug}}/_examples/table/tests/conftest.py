"""Example: a table of any kind, with few rows."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from {{ cookiecutter.package_name }}.pipeline import contract

ROOT = Path(__file__).parents[1]
ROWS = 2000
"""Enough for each split to have all classes, in most tables."""


@pytest.fixture(scope="session")
def small_request() -> dict[str, object]:
    """`dataset.request` of a part of the table, for tests of the whole pipeline."""
    request = contract.of(contract.ForRequest, ROOT / "contract.yaml").request
    table = ROOT / request["options"]["path"]
    if not table.is_file():
        pytest.skip(f"{table.name} is not here: dvc pull brings it")
    return {**request, "options": {**request["options"], "path": str(table), "rows": ROWS}}


@pytest.fixture(scope="session")
def inputs() -> dict[str, np.ndarray]:
    """40 rows of a number and of a text that is one of three."""
    random = np.random.default_rng(0)
    return {"x": random.normal(5, 2, 40), "mode": random.integers(0, 3, 40).astype(np.float64)}
