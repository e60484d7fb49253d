"""Files are written atomically."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from beampermit.errors import BadInput, from_os_error
from beampermit.files import new_folder, remove, replacing, write_json, write_text


def test_a_write_that_fails_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    file = tmp_path / "a.txt"
    write_text(file, "old")

    def killed_halfway() -> None:
        with replacing(file) as temporary:
            temporary.write_text("half of the n")
            raise RuntimeError("killed")

    with pytest.raises(RuntimeError, match="killed"):
        killed_halfway()
    assert file.read_text() == "old"
    assert list(tmp_path.iterdir()) == [file]


def test_a_full_disk_is_said_with_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(OSError, match="No space left") as caught:
        write_text(tmp_path / "a.txt", "new")
    assert str(from_os_error(caught.value)) == f"{tmp_path / 'a.txt'}: no space left on device"
    assert not [*tmp_path.iterdir()]


def test_a_folder_or_a_file_in_the_way_is_bad_input(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for path, message in (
        (tmp_path, "it is a folder"),
        (tmp_path / "file/a", "a file is in the way"),
        (Path("/proc/a/b"), "cannot make this folder"),
    ):
        with pytest.raises(BadInput, match=message):
            write_text(path, "x")


def test_a_write_keeps_the_mode_of_the_file_it_replaces(tmp_path: Path) -> None:
    file = tmp_path / "run"
    write_text(file, "#!/bin/sh\n")
    file.chmod(0o755)
    write_text(file, "#!/bin/bash\n")
    assert file.stat().st_mode & 0o777 == 0o755


def test_a_folder_is_removed_with_all_in_it_and_nothing_behind_a_link(tmp_path: Path) -> None:
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside").chmod(0o500)
    gone = tmp_path / "gone"
    (gone / "a/b").mkdir(parents=True)
    (gone / "a/link").symlink_to(tmp_path / "outside")
    (gone / "a/b").chmod(0)
    (gone / "a").chmod(0o400)
    remove(gone)
    (tmp_path / "link").symlink_to(tmp_path / "outside")
    remove(tmp_path / "link")
    remove(tmp_path / "nothing")
    assert [*tmp_path.iterdir()] == [tmp_path / "outside"]
    assert (tmp_path / "outside").stat().st_mode & 0o777 == 0o500


def test_of_two_processes_that_make_a_folder_the_first_one_s_stays_and_nothing_else(tmp_path: Path) -> None:
    place = tmp_path / "place"
    with new_folder(place) as folder:
        (folder / "second").touch()
        with new_folder(place) as other:
            (other / "first").touch()
    assert [[*tmp_path.iterdir()], [*place.iterdir()]] == [[place], [place / "first"]]
    with pytest.raises(KeyError), new_folder(tmp_path / "never") as folder:
        raise KeyError
    (tmp_path / "file").touch()
    with pytest.raises(NotADirectoryError), new_folder(tmp_path / "file"):
        pass
    assert sorted(tmp_path.iterdir()) == [tmp_path / "file", place]


def test_nan_is_never_written(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_json(tmp_path / "a.json", {"auc": float("nan")})
    assert not list(tmp_path.iterdir())


def test_names_that_are_not_utf8_are_written_as_escapes(tmp_path: Path) -> None:
    write_json(tmp_path / "names.json", ["\udcff", "ä"])
    assert (tmp_path / "names.json").read_text(encoding="utf-8") == '[\n  "\\udcff",\n  "ä"\n]\n'
