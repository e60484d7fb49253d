"""The hooks that `make environment` installs into a generated project refuse at the commit what CI would refuse."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from beampermit.generation import generate
from support.dvc_repositories import replace
from support.forked_commands import executable

pytestmark = pytest.mark.slow

OURS = ("CI", "GITHUB", "BEAMPERMIT", "MAKE", "MFLAGS")
"""`make test` may run this."""
OUTPUT = {"output_type": "stream", "name": "stdout", "text": ["x\n"]}
CELL = {"cell_type": "code", "execution_count": 1, "metadata": {}, "outputs": [OUTPUT], "source": "print('x')"}
NOTEBOOK = {"cells": [CELL], "metadata": {}, "nbformat": 4, "nbformat_minor": 5}


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A generated project whose environment is that of the tests, with what `make environment` does last."""
    root = generate(tmp_path_factory.mktemp("hooked"), {"environment": "uv"})
    link_environment(root / ".venv")
    (root / ".git/info").mkdir(exist_ok=True)
    (root / ".git/info/exclude").write_text("/.venv\n")
    assert call(root, "make", "hooks").returncode == 0
    assert (root / ".git/hooks/pre-commit").is_file()
    return root


def link_environment(folder: Path) -> None:
    """The environment of the tests, with a `beampermit` that starts at once."""
    here = Path(sys.prefix)
    (folder / "bin").mkdir(parents=True)
    for program in (here / "bin").iterdir():
        (folder / "bin" / program.name).symlink_to(program)
    for name in ("lib", "pyvenv.cfg"):
        (folder / name).symlink_to(here / name)
    (folder / "bin/beampermit").unlink()
    executable(folder / "bin")


def call(root: Path, *words: str, **changed: str) -> subprocess.CompletedProcess[str]:
    """As somebody types it: neither environment nor checker is on the path."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(OURS)}
    path = os.pathsep.join(one for one in kept["PATH"].split(os.pathsep) if not one.startswith(sys.prefix))
    cache = str(root.parent / "pre-commit")
    variables: Mapping[str, str] = {**kept, "PATH": path, "PRE_COMMIT_HOME": cache, "NO_COLOR": "1", **changed}
    return subprocess.run(words, cwd=root, env=dict(variables), capture_output=True, text=True, check=False)


def commit(root: Path, message: str = "A change") -> subprocess.CompletedProcess[str]:
    call(root, "git", "add", "--all")
    return call(root, "git", "commit", "--message", message)


def test_data_outputs_and_a_wrong_contract_are_refused_at_the_commit(project: Path) -> None:
    before = call(project, "git", "rev-parse", "HEAD").stdout
    assert "notebooks: {outputs: refused}" in (project / "contract.yaml").read_text()
    (project / "turns.csv").write_bytes(b"1.0,2.0,3.0\n" * 524_288)
    (project / "look.ipynb").write_text(json.dumps(NOTEBOOK))
    (project / "--help").write_bytes(b"1.0,2.0,3.0\n" * 262_144)
    refused = commit(project)
    assert refused.returncode == 1
    assert "--help: 3.0 MiB; the limit is 2.0 MiB" in refused.stderr
    assert "turns.csv: 6.0 MiB; the limit is 2.0 MiB" in refused.stderr
    assert "  git rm --cached FILE\n  dvc add FILE\n" in refused.stderr
    assert "look.ipynb has outputs: cell 1 has outputs" in refused.stderr
    assert "jupyter nbconvert --clear-output --inplace FILE" in refused.stderr
    assert call(project, "git", "rev-parse", "HEAD").stdout == before

    (project / "turns.csv").unlink()
    (project / "--help").unlink()
    (project / "look.ipynb").write_text(json.dumps({**NOTEBOOK, "cells": []}))
    replace(project / "contract.yaml", "review_by:", "review_at:")
    refused = commit(project)
    assert "did you mean 'review_by'?" in " ".join(refused.stderr.split())
    replace(project / "contract.yaml", "review_at:", "review_by:")
    (project / "notes.py").write_text("import os\nx  =  1\n")
    for option in ("--exit-zero", "--exclude=*.py"):
        (project / option).write_text("#!/usr/bin/env python3\n")
        (project / option).chmod(0o755)
    refused = commit(project)
    assert "ruff format" in refused.stderr
    assert "F401" in refused.stderr
    assert "1 file reformatted" in refused.stderr
    (project / "--exit-zero").unlink()
    (project / "--exclude=*.py").unlink()
    (project / "notes.py").write_text('"""Notes."""\n\nX = 1\n')
    assert (done := commit(project)).returncode == 0, done.stdout + done.stderr


def test_without_the_checker_the_hook_says_what_to_do(project: Path) -> None:
    (project / "other.txt").write_text("x\n")
    call(project, "git", "add", "other.txt")
    said = call(project, "git", "commit", "--message", "No checker", BEAMPERMIT_ENVIRONMENT="gone")
    assert said.returncode == 1
    assert "beampermit is not on PATH: activate the environment that has it, or install it (README.md)" in said.stderr
    call(project, "git", "rm", "--quiet", "--force", "other.txt")


def test_hooks_are_installed_where_they_can_be(project: Path, tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    assert call(project, "git", "worktree", "add", "--quiet", str(tree)).returncode == 0
    (tree / ".venv").symlink_to(project / ".venv")
    assert "installed at" in call(tree, "make", "hooks").stdout
    assert (quiet := call(project, "make", "hooks", CI="true")).stdout + quiet.stderr == ""
    call(project, "git", "config", "core.hooksPath", "/hooks")
    said = call(project, "make", "hooks")
    call(project, "git", "config", "--unset", "core.hooksPath")
    assert (said.returncode, said.stdout) == (
        0,
        'git takes its hooks from /hooks: let its pre-commit run "pre-commit run"\n',
    )
    without = tmp_path / "no git"
    without.mkdir()
    (without / "Makefile").write_bytes((project / "Makefile").read_bytes())
    assert (alone := call(without, "make", "hooks")).returncode == 0, alone.stderr
    listed = call(project, "make", "--dry-run", "environment").stdout
    assert "beampermit env install\n" in listed
