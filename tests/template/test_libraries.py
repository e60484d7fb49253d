"""A model without torch, whose weights are trees, from a table to a signed permit, in an environment from a bundle."""

from __future__ import annotations

import itertools
import subprocess
import sys
from pathlib import Path

import pytest

from beampermit.environments import choice
from beampermit.environments.environment import VARIABLE
from beampermit.environments.installation import install
from beampermit.environments.uv import Uv
from beampermit.generation import generate
from beampermit.progress import silent
from beampermit.project import Project
from support.csx_table import answered
from support.filled_projects import small_table
from support.lent_bytecode import lend
from support.permits import permitted
from support.trained_project import PEOPLE, commit_model, run_stages

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(1200),  # for what hangs: it takes a minute
]
ONLY_GITHUB = {"GIT001", "GIT002"}
"""Interlocks that only GitHub answers."""
OWN_TESTS = {"TST001", "TST002"}
"""Those that run the project's tests, which know no library; half a minute."""
WITHOUT_NETWORK = ("unshare", "-rn")


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """Generated from a table, with a lock."""
    folder = tmp_path_factory.mktemp("library")
    table = small_table(folder)
    answers = {"example": "table", "library": "xgboost", "environment": "uv", **PEOPLE, "summary": "Tells y and state."}
    return Project(generate(folder, answers, defaults=table.defaults, fill=table.fill, lock=True))


@pytest.fixture(scope="module")
def prefix(project: Project) -> Path:
    """Where its environment is, once it is installed."""
    return project.root.parent / "environment"


def test_its_whole_environment_is_installed_from_a_bundle_without_a_network(project: Project, prefix: Path) -> None:
    root = project.root
    if subprocess.run([*WITHOUT_NETWORK, "true"], capture_output=True, check=False).returncode:
        pytest.skip("no network namespace can be made here")
    done = choice.bundle(root, root.parent / "bundle", progress=silent)
    # DVC needs a package that is published as sources alone: it is built by the locked setuptools.
    assert list((root.parent / "bundle/wheels").glob("antlr4*.tar.gz"))
    words = ["env", "install", "--project", root, "--prefix", prefix, "--bundle", done.path]
    command = [*WITHOUT_NETWORK, sys.executable, "-m", "beampermit.cli.main", *words]
    found = subprocess.run(command, capture_output=True, text=True, check=False)
    assert found.returncode == 0, found.stderr
    assert Uv().installed(Uv().read(root), prefix) == ()


def test_a_model_of_xgboost_is_made_again_bit_by_bit_and_gets_a_permit(
    project: Project, prefix: Path, environment_prefix: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = project.root
    install(choice.backend_of(root), root, prefix, reuse=True, progress=silent)  # where it was not, above
    lend(environment_prefix, prefix)
    monkeypatch.setenv(VARIABLE, str(prefix))
    contract = root / "contract.yaml"
    text = answered(contract.read_text(), itertools.repeat("Call the person on call."))
    contract.write_text(text.replace("seeds: [0, 1, 2]", "seeds: [0]"))
    run_stages(project)
    commit_model(project)
    verdicts, permit = permitted(project, without=ONLY_GITHUB | OWN_TESTS)
    assert any(name.endswith(".ubj") for name in permit.predicate.model), permit.predicate.model
    assert verdicts["REP001"].reason.startswith("identical: "), verdicts["REP001"].reason
    assert project.git("status", "--porcelain") == ""
