"""One Python version in every file that names one."""

from __future__ import annotations

from pathlib import Path

import pytest

from beampermit.environments.conda_lock import lockfile
from beampermit.environments.environment import python_mismatches
from beampermit.environments.uv import Uv
from beampermit.generation import generate
from beampermit.generation.template import questions
from beampermit.interlocks import runner
from beampermit.interlocks.families import select_interlocks
from beampermit.project import Project
from support.conda_locks import CONDA, PACKAGE

PYTHON = PACKAGE.format(platform="linux-64", needs="").replace("torch", "python").replace("2.5", "3.11.9")
CONDA_LOCK = lockfile.parse(CONDA.format(platforms="linux-64", packages=PYTHON), "conda-lock.yml")
REQUIRES = '[project]\nname = "a"\nrequires-python = "{}"\n'


@pytest.mark.parametrize(
    ("file", "text", "said"),
    [
        ("pyproject.toml", REQUIRES.format("==3.11.*"), []),
        (
            "pyproject.toml",
            REQUIRES.format("==3.12.*"),
            ["requires-python is ==3.12.*, conda-lock.yml has Python 3.11.9"],
        ),
        (".python-version", "3.11\n", []),
        (".python-version", "cpython-3.11.9\n", []),
        (".python-version", "3.1\n", ["the file has Python 3.1, conda-lock.yml has Python 3.11.9"]),
        (".python-version", "3.11.8\n", ["the file has Python 3.11.8, conda-lock.yml has Python 3.11.9"]),
        (".python-version", "pypy@latest\n", []),
    ],
)
def test_a_conda_lock_s_python_is_the_one_that_other_files_name(
    tmp_path: Path, file: str, text: str, said: list[str]
) -> None:
    (tmp_path / file).write_text(text)
    assert [problem.message for problem in python_mismatches(tmp_path, CONDA_LOCK)] == said


@pytest.mark.parametrize(("named", "fits"), [("3.11", True), ("3.11.7", True), ("3.10", False), ("3.12.1", False)])
def test_a_uv_lock_s_python_is_the_one_that_python_version_names(tmp_path: Path, named: str, fits: bool) -> None:
    lock = Uv().parse('version = 1\nrequires-python = "==3.11.*"\n')
    (tmp_path / ".python-version").write_text(f"{named}\n")
    said = [problem.message for problem in python_mismatches(tmp_path, lock)]
    assert said == ([] if fits else [f"the file has Python {named}, uv.lock is for ==3.11.*"])


@pytest.mark.slow
def test_env002_fails_where_python_version_names_another(uv_project: Project) -> None:
    uv_project.path(".python-version").write_text("3.9\n")
    verdict = runner.check(uv_project, select_interlocks(["ENV002"]))[-1]
    assert (verdict.outcome, verdict.reason.partition(",")[0]) == ("failed", "the file has Python 3.9")


@pytest.mark.slow
@pytest.mark.parametrize("version", questions()["python_version"])
def test_a_generated_project_names_the_python_of_the_answer_everywhere(tmp_path: Path, version: str) -> None:
    root = generate(tmp_path, {"python_version": version})
    assert f"python {version}.*" in (root / "environment.yml").read_text()
    assert f'requires-python = "=={version}.*"' in (root / "pyproject.toml").read_text()
    assert (root / "Containerfile").read_text().count(f"FROM python:{version}-") == 4
    assert f"Python {version}" in (root / "docs/how-it-works.md").read_text()
