"""A model without torch, whose weights are trees, from a table to a signed permit."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest

from beampermit.environments.choice import backend_of
from beampermit.environments.environment import VARIABLE
from beampermit.environments.installation import install
from beampermit.generation import generate
from beampermit.progress import silent
from beampermit.project import Project
from support.csx_table import answered
from support.filled_projects import small_table
from support.permits import permitted
from support.trained_project import PEOPLE, dvc, run_stages

ONLY_GITHUB = {"GIT001", "GIT002"}
"""Interlocks that only GitHub answers."""
OWN_TESTS = {"TST001", "TST002"}
"""Those that run the project's tests, which know no library; half a minute."""


@pytest.mark.slow
@pytest.mark.timeout(1200)  # for what hangs: it takes a minute
def test_a_model_of_xgboost_is_made_again_bit_by_bit_and_gets_a_permit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    table = small_table(tmp_path)
    answers = {"example": "table", "library": "xgboost", "environment": "uv", **PEOPLE, "summary": "Tells y and state."}
    root = generate(tmp_path, answers, defaults=table.defaults, fill=table.fill, lock=True)
    prefix = tmp_path / "environment"
    monkeypatch.setenv(VARIABLE, str(prefix))
    install(backend_of(root), root, prefix, progress=silent)
    project, contract = Project(root), root / "contract.yaml"
    text = answered(contract.read_text(), itertools.repeat("Call the person on call."))
    contract.write_text(text.replace("seeds: [0, 1, 2]", "seeds: [0]"))
    run_stages(project)
    dvc(project, "commit", "--force", "--quiet")
    project.git("add", "--all")
    project.git("commit", "--quiet", "--message", "The first model")
    dvc(project, "push", "--quiet")
    verdicts, permit = permitted(project, without=ONLY_GITHUB | OWN_TESTS)
    assert any(name.endswith(".ubj") for name in permit.predicate.model), permit.predicate.model
    assert verdicts["REP001"].reason.startswith("identical: "), verdicts["REP001"].reason
    assert project.git("status", "--porcelain") == ""
