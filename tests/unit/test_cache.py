"""The cache folder is one, absolute, and said to be unusable in one line."""

from __future__ import annotations

from pathlib import Path

import pytest

from beampermit.cache import cache_folder
from beampermit.errors import BadInput, Outside


def test_the_variable_moves_the_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BEAMPERMIT_CACHE", str(tmp_path / "new/cache"))
    assert cache_folder() == tmp_path / "new/cache"
    assert cache_folder().is_dir()


def test_a_tilde_is_the_home_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("BEAMPERMIT_CACHE", "~/cache")
    assert cache_folder() == tmp_path / "cache"


def test_a_relative_path_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BEAMPERMIT_CACHE", "cache")
    with pytest.raises(BadInput, match="BEAMPERMIT_CACHE is 'cache', and an absolute path is needed"):
        cache_folder()


def test_a_file_in_its_place_is_the_machines_fault(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("BEAMPERMIT_CACHE", str(tmp_path / "file"))
    with pytest.raises(Outside, match="no cache folder can be made: File exists") as caught:
        cache_folder()
    assert caught.value.file == str(tmp_path / "file")
