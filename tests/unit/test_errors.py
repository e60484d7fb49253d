from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from beampermit.errors import from_os_error


@contextmanager
def unprivileged() -> Iterator[None]:
    """As nobody, where the tests run as root."""
    ours = os.geteuid()
    if ours:
        yield
        return
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(ours)


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
