"""Example: replace with yours. What all tests share."""

from __future__ import annotations

import pytest


@pytest.fixture(scope="session")
def small_request() -> dict[str, object]:
    """`dataset.request` of a few rows, for tests of the whole pipeline."""
    return {"source": "simulator", "options": {"runs": 10, "shots": 20, "seed": 3}}
