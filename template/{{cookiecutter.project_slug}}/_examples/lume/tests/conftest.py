"""What tests share."""

from __future__ import annotations

from typing import Any

import pytest


@pytest.fixture(scope="session")
def small_request() -> dict[str, Any]:
    """A request for few rows, for the test of the whole pipeline."""
    return {"source": "imported-model", "version": 1, "options": {"rows": 300, "seed": 1}}
