"""The environment that models run in: that of a generated project."""

from __future__ import annotations

from pathlib import Path

import pytest

from beampermit.environments import Environment


@pytest.fixture
def probed(environment_prefix: Path) -> Environment:
    return Environment(environment_prefix)
