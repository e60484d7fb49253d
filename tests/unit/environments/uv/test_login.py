"""`env bundle` from an index that wants a login: the credentials that uv itself would use, to that host alone."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from beampermit.cache import cache_folder
from beampermit.environments import choice
from beampermit.environments.uv import Uv
from beampermit.environments.uv.files import login
from beampermit.errors import BadInput, Outside
from support.package_index import PYTHON, Index, uv_settings

pytestmark = pytest.mark.slow

__all__ = ["uv_settings"]
SECRET = "s3cret"


def quiet(_: str) -> None:
    pass


@pytest.fixture
def index(tmp_path: Path) -> Iterator[Index]:
    found = Index(tmp_path / "index")
    found.add("numbers", "1.0")
    yield found
    found.close()


@pytest.fixture
def root(uv_settings: Path, index: Index, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project that was locked from an index which from now on asks who is there."""
    assert uv_settings
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    root = tmp_path / "faults"
    root.mkdir()
    (root / "pyproject.toml").write_text(
        f'[project]\nname = "faults"\nversion = "1"\nrequires-python = "{PYTHON}"\ndependencies = ["numbers"]\n'
        f'[[tool.uv.index]]\nname = "lab-index"\nurl = "{index.url}"\ndefault = true\n'
    )
    Uv().lock(root, progress=quiet)
    shutil.rmtree(cache_folder() / "files", ignore_errors=True)
    index.login = f"ada:{SECRET}"
    return root


def test_without_a_login_the_message_says_how(root: Path, tmp_path: Path) -> None:
    with pytest.raises(Outside, match="answers 401") as caught:
        choice.bundle(root, tmp_path / "bundle", progress=quiet)
    assert "UV_INDEX_NAME_USERNAME" in caught.value.hint


@pytest.mark.parametrize("kind", ["variables", "netrc"])
def test_the_credentials_of_uv_are_used(root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    if kind == "netrc":
        (tmp_path / "netrc").write_text(f"machine 127.0.0.1 login ada password {SECRET}\n")
    else:
        monkeypatch.setenv("UV_INDEX_LAB_INDEX_USERNAME", "ada")
        monkeypatch.setenv("UV_INDEX_LAB_INDEX_PASSWORD", SECRET)
    assert choice.bundle(root, tmp_path / "bundle", progress=quiet).files == 1
    held = (path for path in (tmp_path / "bundle").rglob("*") if path.is_file())
    assert not any(SECRET.encode() in path.read_bytes() for path in held)


def test_what_is_named_for_an_index_goes_to_no_other_host(
    root: Path, index: Index, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("UV_INDEX_LAB_INDEX_PASSWORD", SECRET)
    assert login(root, index.url, f"{index.origin}/files/numbers.whl") == ("", SECRET)
    assert login(root, index.url, "https://evil.example/files/numbers.whl") is None
    assert login(root, "https://another.example/simple", f"{index.origin}/files/numbers.whl") is None


def test_a_netrc_that_cannot_be_read_has_a_line(root: Path, tmp_path: Path) -> None:
    (tmp_path / "netrc").write_text("machine a login b\nhello world\n")
    with pytest.raises(BadInput, match="not a netrc file") as caught:
        login(root, None, "https://index.example/numbers.whl")
    assert caught.value.line
