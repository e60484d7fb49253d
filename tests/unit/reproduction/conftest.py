"""A project that trains in an instant, and a function that reproduces it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from beampermit.project import Project
from beampermit.reproduction.reproduce import Reproduction, reproduce
from beampermit.reproduction.tree import commit_of_work_tree
from support.slurm import slurm, slurm_session
from support.toy_project import HERE, trainable, trained_once

__all__ = ["slurm", "slurm_session", "trainable", "trained_once"]


@pytest.fixture
def again(trainable: Project) -> Callable[..., Reproduction]:
    """Reproduce its work tree."""

    def run(base: str | None = None, **options: Any) -> Reproduction:
        project = Project(trainable.root, base)
        commit = commit_of_work_tree(project.git)
        return reproduce(project, project.base_contract, commit, lambda _: HERE, **options)

    return run
