"""A project of a LUME model: its code is sound, its own tests pass, and every stage of its pipeline runs."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from beampermit.generation import generate
from beampermit.processes import run
from beampermit.project import Project
from support.forked_trainings import own_tests
from support.lume_project import lume_project

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    found = lume_project(tmp_path_factory.mktemp("lume"))
    answers = {"example": "lume", "environment": "uv", "project_slug": "injector"}
    return generate(tmp_path_factory.mktemp("made"), answers, defaults=found.defaults, fill=found.fill)


def test_its_code_is_linted_and_formatted(project: Path) -> None:
    for command in (("check",), ("format", "--check")):
        finished = run((sys.executable, "-m", "ruff", *command, "."), cwd=project)
        assert finished.code == 0, finished.out


def test_its_tests_pass_and_every_stage_runs(project: Path, environment_prefix: Path) -> None:
    finished = own_tests(Project(project))
    assert finished.code == 0, finished.out
