"""Files are whole or absent, and JSON from elsewhere is judged before it is believed."""

from __future__ import annotations

from pathlib import Path

import pytest

from beampermit.errors import BadInput
from beampermit.files import read_json, replacing, write_json, write_text


def test_a_write_that_fails_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    file = tmp_path / "a.txt"
    write_text(file, "old")

    def killed_half_way() -> None:
        with replacing(file) as temporary:
            temporary.write_text("half of the n")
            raise RuntimeError("killed")

    with pytest.raises(RuntimeError, match="killed"):
        killed_half_way()
    assert file.read_text() == "old"
    assert list(tmp_path.iterdir()) == [file]


def test_something_else_in_the_way_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for path, words in (
        (tmp_path, "this is a folder"),
        (tmp_path / "file/a", "in the way"),
        (Path("/proc/a/b"), "way"),
    ):
        with pytest.raises(BadInput, match=words):
            write_text(path, "x")


def test_a_write_keeps_the_mode_of_the_file_it_replaces(tmp_path: Path) -> None:
    file = tmp_path / "run"
    write_text(file, "#!/bin/sh\n")
    file.chmod(0o755)
    write_text(file, "#!/bin/bash\n")
    assert file.stat().st_mode & 0o777 == 0o755


def test_nan_is_never_written(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_json(tmp_path / "a.json", {"auc": float("nan")})
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b'{"auc": NaN}', "NaN is not a number that JSON knows"),
        (b'{"auc": -Infinity}', "-Infinity is not a number"),
        (b'{"auc": 1,\n "auc": 2}', "key 'auc' is given twice"),
        (b'{"auc": 1,\n', "a.json:2: not JSON"),
        (b"", "a.json:1: not JSON"),
        (b"\xff\xfe{}", "not JSON"),
        (b"[" * 100_000, "not JSON"),
        (b"9" * 10_000, "an integer with thousands of digits"),
    ],
)
def test_json_that_readers_disagree_on_is_refused(tmp_path: Path, content: bytes, message: str) -> None:
    file = tmp_path / "a.json"
    file.write_bytes(content)
    with pytest.raises(BadInput) as caught:
        read_json(file)
    assert message in str(caught.value)


def test_a_file_larger_than_the_limit_is_not_read(tmp_path: Path) -> None:
    file = tmp_path / "a.json"
    file.write_text('"' + "x" * 100 + '"')
    with pytest.raises(BadInput, match="larger than the 50 bytes"):
        read_json(file, limit=50)
