from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from beampermit.compute.claims import Claims
from beampermit.errors import Outside


@pytest.fixture
def claims(work: Path) -> Iterator[Claims]:
    claims = Claims(work)
    yield claims
    claims.close()


@pytest.fixture
def folder(work: Path) -> Path:
    folder = work / "unit"
    folder.mkdir()
    return folder


def test_of_two_that_live_one_has_a_unit(claims: Claims, work: Path, folder: Path) -> None:
    other = Claims(work)
    assert claims.take(folder)
    assert claims.take(folder)
    assert not other.take(folder)
    other.give_back(folder)
    assert not other.take(folder)
    claims.give_back(folder)
    assert other.take(folder)
    assert not claims.take(folder)
    other.close()


def test_what_a_killed_one_had_is_free(claims: Claims, work: Path, folder: Path) -> None:
    child = os.fork()
    if not child:
        os._exit(0 if Claims(work).take(folder) else 1)
    assert os.waitpid(child, 0)[1] == 0
    assert (folder / "claim").is_symlink()
    assert claims.take(folder)


@pytest.mark.parametrize("planted", ["../../../etc/passwd", "no run", "ABCDEF0123456789"])
def test_a_claim_of_nobody_is_free(claims: Claims, work: Path, folder: Path, planted: str) -> None:
    (folder / "claim").symlink_to(planted)
    assert claims.take(folder)
    assert {path.name for path in (work / "runs").iterdir()} <= {claims.name, "0" * 16}


def test_a_file_or_folder_in_the_place_of_a_claim_is_removed(claims: Claims, folder: Path) -> None:
    (folder / "claim").touch()
    assert claims.take(folder)
    (folder / "claim").unlink()
    (folder / "claim/below").mkdir(parents=True)
    claims.give_back(folder)
    assert claims.take(folder)


def test_a_folder_without_locks_is_said(work: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise OSError(37, "No locks available")

    monkeypatch.setattr("fcntl.flock", refuse)
    with pytest.raises(Outside, match="files cannot be locked here"):
        Claims(work)
