"""A channel on 127.0.0.1, a project that asks for what it has, and its lock."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from beampermit.environments.conda_lock import CondaLock
from support.conda_channel import PYTHON, QUIET, Channel, laboratory, serving
from support.forked_pythons import forked
from support.kept_bytecode import keep_bytecode
from support.shared import made_once, shared_folder

ENVIRONMENT = """\
name: faults
channels:
  - {url}
platforms: [linux-64, osx-arm64]
dependencies:
  - python {python}.*
  - orbit >=1.0
  - torch
"""
DEVELOPMENT = """\
category: dev
channels:
  - {url}
platforms: [linux-64, osx-arm64]
dependencies:
  - probe
"""
VIRTUAL = """\
subdirs:
  linux-64:
    packages:
      __unix: "0"
      __glibc: "2.28"{cuda}
  osx-arm64:
    packages:
      __unix: "0"
      __osx: "11.0"
"""
THEIRS = "from conda_lock.conda_lock import main; main()"


@pytest.fixture(autouse=True)
def _own_cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("BEAMPERMIT_CACHE", str(tmp_path / "cache"))
    keep_bytecode(tmp_path)


@pytest.fixture(scope="session")
def packed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The channel's packages, packed once."""
    return made_once(shared_folder(tmp_path_factory) / "channel", laboratory)


@pytest.fixture(scope="session")
def served(packed: Path) -> Iterator[Channel]:
    """The channel at one address for all tests, so that a lock can be made once."""
    with serving(Channel(packed)) as channel:
        yield channel


@pytest.fixture
def channel(served: Channel, packed: Path, tmp_path: Path) -> Iterator[Channel]:
    """The channel of one test, which may add to it, take from it and break it."""
    served.folder = tmp_path / "lab"
    shutil.copytree(packed, served.folder)
    served.asked.clear()
    yield served
    served.faults.clear()
    served.login = ""
    served.folder = packed


@pytest.fixture
def root(channel: Channel, tmp_path: Path) -> Path:
    """A folder with the files that a user of conda-lock has: two categories, two variants, two platforms."""
    return written(tmp_path / "faults", channel.url)


@pytest.fixture
def backend() -> CondaLock:
    return CondaLock()


@pytest.fixture(scope="session")
def locked_once(served: Channel, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The project with its locks, to be copied."""
    folder = tmp_path_factory.mktemp("locked")
    root = written(folder / "faults", served.url)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("BEAMPERMIT_CACHE", str(folder / "cache"))
        CondaLock().lock(root, progress=QUIET)
    return root


@pytest.fixture
def locked(channel: Channel, locked_once: Path, tmp_path: Path) -> Path:
    """The project, locked."""
    shutil.copytree(locked_once, tmp_path / "faults", dirs_exist_ok=True)
    return tmp_path / "faults"


def written(root: Path, url: str) -> Path:
    """Write the project's files."""
    root.mkdir()
    (root / "environment.yml").write_text(ENVIRONMENT.format(url=url, python=PYTHON))
    (root / "dev-environment.yml").write_text(DEVELOPMENT.format(url=url))
    (root / "virtual-packages.yml").write_text(VIRTUAL.format(cuda=""))
    (root / "cuda.virtual-packages.yml").write_text(VIRTUAL.format(cuda='\n      __cuda: "12.4"'))
    return root


@pytest.fixture
def judge(tmp_path: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """conda-lock's own command, in a folder. Its `conda` cannot solve: whatever is not fresh makes it fail."""
    conda = tmp_path / "conda"
    conda.write_text('#!/bin/sh\n[ "$1" = --version ] && echo "conda 24.1.0" && exit 0\nexit 9\n')
    conda.chmod(0o755)

    def run(*arguments: str, cwd: Path, solver: bool = False) -> subprocess.CompletedProcess[str]:
        words = [*arguments, *(["--conda", str(conda)] if solver else [])]
        child = forked(THEIRS, *words, cwd=cwd, needs=("conda_lock.conda_lock",), apart="conda-lock")
        return subprocess.CompletedProcess(["conda-lock", *words], *child.finish())

    return run
