"""The stand-in for the artifact store behaves like GitHub's, and nothing is written outside its folder."""

from __future__ import annotations

from pathlib import Path

import pytest

from beampermit.rehearsal.artifacts.store import Refused, collect, download, upload


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A work tree with a few files; `store` beside it does not exist yet."""
    tree = tmp_path / "tree"
    for name in ("a/one.json", "a/deep/two.json", "b/three.json", "a/.hidden"):
        (tree / name).parent.mkdir(parents=True, exist_ok=True)
        (tree / name).write_text(name)
    monkeypatch.chdir(tree)
    return tree


@pytest.fixture
def store(tmp_path: Path) -> Path:
    return tmp_path / "store"


@pytest.mark.parametrize(
    ("lines", "names"),
    [
        ("a", ["deep/two.json", "one.json"]),
        ("a/one.json", ["one.json"]),
        ("a/*.json", ["one.json"]),
        ("a/**/*.json", ["deep/two.json", "one.json"]),
        ("a\nb\n", ["a/deep/two.json", "a/one.json", "b/three.json"]),
        ("nothing", []),
    ],
)
def test_paths_in_an_artifact_start_below_the_common_folder(here: Path, lines: str, names: list[str]) -> None:
    assert sorted(collect(lines, hidden=False)) == names


def test_hidden_files_are_included_on_request(here: Path) -> None:
    assert ".hidden" in collect("a", hidden=True)


def test_artifacts_are_downloaded(here: Path, store: Path) -> None:
    upload(store, "verdicts-a", "a")
    upload(store, "verdicts-b", "b")
    upload(store, "other", "b")
    download(store, here / "merged", pattern="verdicts-*", merge=True)
    download(store, here / "apart", pattern="verdicts-*")
    download(store, here / "one", name="verdicts-b")
    assert {path.name for path in (here / "merged").iterdir()} == {"deep", "one.json", "three.json"}
    assert (here / "apart/verdicts-a/deep/two.json").read_text() == "a/deep/two.json"
    assert (here / "one/three.json").is_file()


def test_name_is_used_once_unless_overwritten(here: Path, store: Path) -> None:
    upload(store, "v", "a")
    with pytest.raises(Refused, match="already has an artifact"):
        upload(store, "v", "b")
    upload(store, "v", "b", overwrite=True)
    assert [path.name for path in (store / "v").iterdir()] == ["three.json"]


def test_no_files_warn_or_fail(here: Path, store: Path) -> None:
    assert upload(store, "v", "no").startswith("::warning::")
    assert upload(store, "v", "no", none="ignore") == ""
    with pytest.raises(Refused, match="no files were found at 'no'"):
        upload(store, "v", "no", none="error")
    assert not store.exists()


@pytest.mark.parametrize("name", ["", "../up", "a/b", "a\\b", ".half", "a:b", "a\nb", ".."])
def test_name_cannot_lead_outside(here: Path, store: Path, name: str) -> None:
    with pytest.raises(Refused, match="is not a valid artifact name"):
        upload(store, name, "a")


def test_links_and_exclusions_are_refused(here: Path, store: Path) -> None:
    (here / "b/link").symlink_to("/etc/hostname")
    with pytest.raises(Refused, match="link is a link"):
        upload(store, "v", "b")
    with pytest.raises(Refused, match="exclude patterns"):
        upload(store, "v", "a\n!a/deep")
