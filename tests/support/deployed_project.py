"""A project whose contract names a folder of deployment files, which are made and committed."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from beampermit.deployment.deployment import deployment_of
from beampermit.deployment.files import write
from beampermit.project import Project

DEVICES = "device,plane\nBPM1,X\nBPM1,Y\nBPM2,X\n"


@pytest.fixture(scope="session")
def deployed_repository(contract_repository: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The project of `deployed`, to be copied."""
    root = shutil.copytree(contract_repository, tmp_path_factory.mktemp("deployed") / "project")
    contract = root / "contract.yaml"
    text = contract.read_text().replace("dataset:\n", "  devices: devices.csv\ndataset:\n", 1)
    contract.write_text(f"{text}serving: {{deployment: deploy}}\n")
    (root / "devices.csv").write_text(DEVICES)
    write(Project(root), "deploy", deployment_of(Project(root)))
    for words in (("add", "--all"), ("commit", "--quiet", "-m", "Deployment files")):
        subprocess.run(["git", *words], cwd=root, check=True, capture_output=True)
    return root


@pytest.fixture
def deployed(tmp_path: Path, deployed_repository: Path) -> Project:
    """A copy, on a branch `change` of its own: the base revision is `main`."""
    root = shutil.copytree(deployed_repository, tmp_path / "project")
    subprocess.run(["git", "switch", "--quiet", "--create", "change"], cwd=root, check=True, capture_output=True)
    return Project(root, base="main")
