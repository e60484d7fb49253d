"""What a stage imports: to import torch takes seconds, and a stage that does not use the model does without."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from support.paths import ROOT

PIPELINE = ROOT / "template/{{cookiecutter.project_slug}}/src/{{cookiecutter.package_name}}/pipeline"
OF_THE_PROJECT = {"model", "features"}


def imported(module: str) -> set[str]:
    """Modules of the package that are imported with this one of the pipeline, by their names."""
    found: set[str] = set()
    for statement in ast.parse((PIPELINE / f"{module}.py").read_text()).body:
        if isinstance(statement, ast.ImportFrom) and statement.level:
            found |= {statement.module} if statement.module else {name.name for name in statement.names}
    below = {name for name in found if Path(PIPELINE, f"{name}.py").is_file()}
    return found.union(*(imported(name) for name in below))


@pytest.mark.parametrize("stage", ["contract", "request", "splits", "package", "served", "evaluate"])
def test_a_stage_that_does_not_use_the_model_does_not_import_it(stage: str) -> None:
    assert not imported(stage) & OF_THE_PROJECT


def test_it_is_seen_where_a_stage_does() -> None:
    assert "model" in imported("train")
