"""What a folder holds is the same whether it was listed or asked for, and what cannot be seen is not missing."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from beampermit.datasets import remote
from beampermit.datasets.repository import Repository
from beampermit.errors import Outside
from beampermit.project import Project


@pytest.fixture
def store(tmp_path: Path) -> Path:
    """Folders `00` with 20 objects and `01` with one."""
    for oid in (*(f"00{number:030x}" for number in range(20)), f"01{0:030x}"):
        file = tmp_path / oid[:2] / oid[2:]
        file.parent.mkdir(exist_ok=True)
        file.touch()
    return tmp_path


@pytest.mark.parametrize("worth", [0, 1000], ids=["asked", "listed"])
def test_listing_and_asking_agree(store: Path, monkeypatch: pytest.MonkeyPatch, worth: int) -> None:
    monkeypatch.setattr(remote, "WORTH", worth)
    monkeypatch.setattr(remote, "FEW", 0)
    wanted = {f"{folder}{number:030x}" for folder in ("00", "01", "ff") for number in range(0, 30, 3)}
    absent = {oid for oid in wanted if not (store / oid[:2] / oid[2:]).exists()}
    assert remote.missing_in_folder(str(store), wanted) == absent
    assert len(absent) == 22


@pytest.mark.parametrize("few", [0, 8], ids=["listed", "asked"])
def test_a_pipe_or_a_folder_is_no_object(store: Path, monkeypatch: pytest.MonkeyPatch, few: int) -> None:
    monkeypatch.setattr(remote, "FEW", few)
    names = [f"{number:030x}" for number in range(2)]
    for name in names:
        (store / "00" / name).unlink()
    os.mkfifo(store / "00" / names[0])
    (store / "00" / names[1]).mkdir()
    wanted = {f"00{name}" for name in names}
    assert remote.missing_in_folder(str(store), wanted) == wanted


def test_few_objects_are_asked_for_however_many_lie_there(store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remote, "_file_names", lambda path: pytest.fail(f"{path} was listed"))
    assert remote.missing_in_folder(str(store), {f"00{number:030x}" for number in range(8)}) == set()


def test_a_folder_that_cannot_be_looked_into_is_the_outside_world(dvc_project: Project, storage: Path) -> None:
    folder = next((storage / "files/md5").iterdir())
    objects = {folder.name + file.name for file in folder.iterdir()}
    folder.rename(storage / "elsewhere")
    folder.symlink_to(folder.name)  # a loop: also the superuser is refused
    with pytest.raises(Outside, match=r"cannot be reached: .*symbolic links"):
        Repository.of(dvc_project).remote().missing(objects)
