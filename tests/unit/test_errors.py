from __future__ import annotations

import errno
import os
import shutil
import tempfile
from pathlib import Path

import pytest

from beampermit.errors import from_os_error
from support.privileges import unprivileged


@pytest.mark.parametrize("name", ["file", "deep/er/file"])
def test_a_file_below_a_folder_that_may_not_be_searched_is_outside(name: str) -> None:
    with tempfile.TemporaryDirectory() as scratch:
        Path(scratch).chmod(0o755)
        closed = Path(scratch, "closed")
        (closed / name).parent.mkdir(parents=True)
        (closed / name).touch()
        closed.chmod(0o700 if not os.geteuid() else 0)
        try:
            with unprivileged():
                with pytest.raises(PermissionError) as caught:
                    (closed / name).read_bytes()
                outside = from_os_error(caught.value)
        finally:
            closed.chmod(0o700)
    assert outside
    assert outside.exit_code == 4
    assert str(outside) == f"{closed / name}: permission denied"
    assert outside.hint == f"ls -ld {closed}"


def test_a_name_that_is_too_long_is_outside(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="File name too long") as caught:
        (tmp_path / ("x" * 300)).read_bytes()
    outside = from_os_error(caught.value)
    assert outside
    assert (outside.exit_code, outside.hint) == (4, "df -h")


def test_other_errors_are_ours() -> None:
    assert from_os_error(NotADirectoryError(20, "Not a directory", "x/y")) is None


def test_of_two_files_the_one_that_is_written_is_named(tmp_path: Path) -> None:
    link = tmp_path / ("x" * 300)
    with pytest.raises(OSError, match="File name too long") as caught:
        link.symlink_to("0123456789abcdef")
    assert str(from_os_error(caught.value)) == f"{link}: file name too long"


def test_a_folder_that_cannot_be_copied_is_said_with_its_first_file(tmp_path: Path) -> None:
    def full(source: str, target: str) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), source, None, target)

    (tmp_path / "a").mkdir()
    (tmp_path / "a/file").touch()
    with pytest.raises(shutil.Error) as caught:
        shutil.copytree(tmp_path / "a", tmp_path / "b", copy_function=full)
    assert str(from_os_error(caught.value)) == f"{tmp_path / 'b/file'}: no space left on device"
    assert from_os_error(shutil.Error([("a", "b", "[Errno 5000] a bug of ours")])) is None
    assert from_os_error(shutil.Error("a bug of ours")) is None
