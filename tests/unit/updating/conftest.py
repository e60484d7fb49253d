"""Four versions of the template, and a project of the first one, made once."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from beampermit.git import Git
from beampermit.updating import source
from support.shared import made_once, shared_folder
from support.template_versions import FIRST, install_version, make_versions, project_of

Install = Callable[[str], Path]


@pytest.fixture(scope="session")
def _made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`repository` has the versions, `9.0.0` and so on each as it is installed, `project` is of the first."""
    return made_once(shared_folder(tmp_path_factory) / "template-versions", _make)


def _make(folder: Path) -> None:
    repository = make_versions(folder / "repository")
    for tag in Git(repository)("tag").splitlines():
        install_version(repository, tag[1:], folder / tag[1:])
    project_of(folder / FIRST / "template", folder / "project")


@pytest.fixture
def repository(_made: Path) -> Path:
    return _made / "repository"


@pytest.fixture
def install(_made: Path, monkeypatch: pytest.MonkeyPatch) -> Install:
    """Have the template of a version installed; nothing is fetched from then on."""

    def refuse(address: str, _: Path) -> Git:
        raise AssertionError(f"{address} was fetched")

    def chosen(version: str) -> Path:
        monkeypatch.setattr(source, "template_folder", lambda: _made / version / "template")
        monkeypatch.setattr(source, "_fetched", refuse)
        return _made / version / "template"

    return chosen


@pytest.fixture
def git(_made: Path, tmp_path: Path) -> Git:
    """A copy of the project of 9.0.0."""
    (project,) = (path for path in (_made / "project").iterdir() if path.is_dir())
    return Git(Path(shutil.copytree(project, tmp_path / "bpm-faults")))
