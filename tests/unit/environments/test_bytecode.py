"""What was compiled of an environment goes when the environment has gone."""

from __future__ import annotations

import importlib.util
import py_compile
import sys
from pathlib import Path

import pytest

from beampermit.environments.bytecode import bytecode_folder, forget_gone
from beampermit.environments.environment import Environment


@pytest.fixture
def compiled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of compiled modules for what lies below `tmp_path`."""
    monkeypatch.setenv("BEAMPERMIT_CACHE", str(tmp_path / "cache"))
    folder = bytecode_folder() / tmp_path.relative_to("/")
    for name in ("gone/lib", "there/lib/new", "project/src/model", "project/src/former"):
        (folder / name).mkdir(parents=True)
        (folder / name / "module.pyc").touch()
    (tmp_path / "there").mkdir()
    (tmp_path / "there/pyvenv.cfg").touch()
    (tmp_path / "project/src/model").mkdir(parents=True)
    return folder


def test_modules_of_folders_that_are_gone_are_removed_and_others_kept(compiled: Path) -> None:
    forget_gone()
    kept = {str(file.parent.relative_to(compiled)) for file in compiled.rglob("*.pyc")}
    assert kept == {"there/lib/new", "project/src/model"}, "an environment is looked at as a whole"


def test_many_are_removed_by_several_calls(compiled: Path) -> None:
    forget_gone(seconds=-1)
    assert (compiled / "gone").is_dir(), "an installation waits for a few of them, not for gigabytes"


def test_a_link_among_them_is_not_followed(compiled: Path, tmp_path: Path) -> None:
    (tmp_path / "theirs").mkdir()
    (tmp_path / "theirs/file").touch()
    (compiled / "link").symlink_to(tmp_path / "theirs")
    forget_gone()
    assert (tmp_path / "theirs/file").is_file()


def test_without_a_cache_there_is_nothing_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BEAMPERMIT_CACHE", str(tmp_path / "cache"))
    forget_gone()


def test_what_somebody_compiled_beside_a_source_is_never_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BEAMPERMIT_CACHE", str(tmp_path / "cache"))
    source, other = tmp_path / "src/part.py", tmp_path / "other.py"
    source.parent.mkdir()
    source.write_text("print('the source')\n")
    other.write_text("print('planted')\n")
    planted = importlib.util.cache_from_source(str(source))
    py_compile.compile(str(other), planted, invalidation_mode=py_compile.PycInvalidationMode.UNCHECKED_HASH)
    for _ in range(2):  # the second time from what the first compiled
        assert Environment(Path(sys.prefix)).run(["-c", "import part"], project=tmp_path).out == "the source\n"
    assert list(bytecode_folder().rglob("part.*.pyc"))
