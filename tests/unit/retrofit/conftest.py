"""A foreign repository, made once and copied for each test."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path

import pytest

from beampermit.retrofit import additions
from support.existing_repository import git, make


@pytest.fixture(scope="session")
def _foreign(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make(tmp_path_factory.mktemp("foreign") / "orbit")


@pytest.fixture
def orbit(_foreign: Path, tmp_path: Path) -> Path:
    """A copy of the repository, on `main`, with a `pyproject.toml` and no lock."""
    shutil.copytree(_foreign, tmp_path / "orbit", symlinks=True)
    git(tmp_path / "orbit", "status")
    return tmp_path / "orbit"


@pytest.fixture(scope="session")
def _rendered(tmp_path_factory: pytest.TempPathFactory) -> dict[frozenset[tuple[str, str]], Path]:
    return {}


@pytest.fixture(autouse=True)
def _each_set_of_answers_is_rendered_once(
    _rendered: dict[frozenset[tuple[str, str]], Path],
    tmp_path_factory: pytest.TempPathFactory,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    real = additions.generate

    def generate(folder: Path, answers: Mapping[str, str]) -> Path:
        key = frozenset(answers.items())
        if key not in _rendered:
            _rendered[key] = real(tmp_path_factory.mktemp("rendered"), answers)
        return _rendered[key]

    monkeypatch.setattr(additions, "generate", generate)
