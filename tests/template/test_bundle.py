"""A generated project's whole environment travels on a stick: no network is there when it is installed."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from beampermit.environments import choice
from beampermit.environments.uv import Uv
from beampermit.project import Project


@pytest.mark.slow
def test_a_bundle_of_a_real_project_installs_without_a_network(trained_project: Project, tmp_path: Path) -> None:
    root, prefix = trained_project.root, tmp_path / "environment"
    if subprocess.run(["unshare", "-rn", "true"], capture_output=True, check=False).returncode:
        pytest.skip("no network namespace can be made here")
    done = choice.bundle(root, tmp_path / "bundle", progress=lambda _: None)
    # DVC needs a package that is published as sources alone: it is built by the locked setuptools.
    assert list((tmp_path / "bundle/wheels").glob("antlr4*.tar.gz"))
    command = [
        "-m",
        "beampermit.cli.main",
        "env",
        "install",
        "--project",
        root,
        "--prefix",
        prefix,
        "--bundle",
        done.path,
    ]
    found = subprocess.run(["unshare", "-rn", sys.executable, *command], capture_output=True, text=True, check=False)
    assert found.returncode == 0, found.stderr
    assert Uv().installed(Uv().read(root), prefix) == ()
