"""The environment that models are asked in: a generated project's own."""

from __future__ import annotations

import pytest

from beampermit.environments import Environment
from beampermit.environments.environment import environment_of
from beampermit.project import Project


@pytest.fixture(scope="session")
def probed(trained_project: Project) -> Environment:
    return environment_of(trained_project.root)
