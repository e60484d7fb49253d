"""The environment that models are asked in: a generated project's own."""

from __future__ import annotations

from pathlib import Path

import pytest

from beampermit.environments import Environment


@pytest.fixture
def probed(environment_prefix: Path) -> Environment:
    return Environment(environment_prefix)
