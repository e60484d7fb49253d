"""An environment that is installed once and put back for each test. Its place stays, which its files and seal name."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from beampermit.environments import installation
from beampermit.environments.conda_lock import CondaLock
from support.conda_channel import QUIET
from support.kept_bytecode import keep_bytecode

KEPT = ("environment", "cache")


def install_once(root: Path, folder: Path) -> Path:
    """Install the conda lock at `root` into `environment` in the folder, with `cache`; set both aside."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("BEAMPERMIT_CACHE", str(folder / "cache"))
        keep_bytecode(folder)
        installation.install(CondaLock(), root, folder / "environment", progress=QUIET)
    for name in KEPT:
        (folder / name).rename(folder / f"{name} as it was")
    return folder


def put_back(folder: Path, patch: pytest.MonkeyPatch) -> Path:
    """The environment of `install_once`, as it was, with its cache for the time of `patch`."""
    patch.setenv("BEAMPERMIT_CACHE", str(folder / "cache"))
    for name in KEPT:
        shutil.rmtree(folder / name, ignore_errors=True)
        shutil.copytree(folder / f"{name} as it was", folder / name, symlinks=True)
    return folder / "environment"
