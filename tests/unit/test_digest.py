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


@pytest.mark.parametrize("name", ["code/__pycache__/a.cpython-311.pyc", "code/a.pyc", "__pycache__/weights.json"])
def test_a_folder_with_compiled_code_has_no_digest_until_it_is_deleted(folder: Path, name: str) -> None:
    before = digest_folder(folder)
    (folder / name).parent.mkdir(exist_ok=True)
    (folder / name).write_bytes(b"x")
    with pytest.raises(BadInput, match="may not lie in a model: delete it") as caught:
        digest_folder(folder)
    assert caught.value.file == str(folder / name)
    (folder / name).unlink()
    assert digest_folder(folder) == before


def test_a_link_is_refused(folder: Path) -> None:
    (folder / "link").symlink_to("/etc/hostname")
    with pytest.raises(BadInput, match="a link or a device"):
        manifest(folder)


def test_key_order_does_not_matter() -> None:
    assert digest_json({"a": 1, "b": 2}) == digest_json({"b": 2, "a": 1})


def test_names_that_are_not_utf8_have_digests_of_their_own() -> None:
    assert len({digest_json([name]) for name in ("\udcff", "\udcfe", "\xff", "\\udcff")}) == 4
