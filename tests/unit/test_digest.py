"""A digest changes with every byte and name, and with nothing else."""

from __future__ import annotations

from pathlib import Path

import pytest

from beampermit.digest import digest_folder, digest_json, manifest
from beampermit.errors import BadInput


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "model/code").mkdir(parents=True)
    (tmp_path / "model/weights").write_bytes(b"weights")
    (tmp_path / "model/code/a.py").write_text("x = 1\n")
    return tmp_path / "model"


def test_one_byte_one_name_and_one_more_file_each_change_the_digest(folder: Path) -> None:
    digests = {digest_folder(folder)}
    (folder / "weights").write_bytes(b"weightt")
    digests.add(digest_folder(folder))
    (folder / "weights").rename(folder / "weighty")
    digests.add(digest_folder(folder))
    (folder / "more").touch()
    digests.add(digest_folder(folder))
    assert len(digests) == 4


def test_bytecode_does_not_change_the_digest_of_a_folder(folder: Path) -> None:
    before = digest_folder(folder)
    (folder / "code/__pycache__").mkdir()
    (folder / "code/__pycache__/a.pyc").write_bytes(b"x")
    assert digest_folder(folder) == before


def test_a_link_is_refused(folder: Path) -> None:
    (folder / "link").symlink_to("/etc/hostname")
    with pytest.raises(BadInput, match="a link or a device"):
        manifest(folder)


def test_key_order_does_not_matter() -> None:
    assert digest_json({"a": 1, "b": 2}) == digest_json({"b": 2, "a": 1})
