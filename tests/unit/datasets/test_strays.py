"""Staged files are checked by the bytes that git would commit."""

from __future__ import annotations

import pickle
from typing import Any

import pytest

from beampermit.datasets.strays import HEAD, describe_stray, recognise, staged_strays
from beampermit.errors import BadInput
from beampermit.project import Project


def found(project: Project, *names: str) -> dict[str, str]:
    return {stray.path: stray.what for stray in staged_strays(project.git, names)}


def test_only_staged_files_are_checked(project: Project, git: Any) -> None:
    (project.root / "a.npy").write_bytes(b"\0\0")
    assert found(project) == {}
    git("add", "a.npy")
    assert found(project) == {"a.npy": "NumPy, 2 bytes"}
    git("commit", "--quiet", "--message", "Too late")
    assert found(project) == {}, "what is committed already is DAT008's"
    assert found(project, "a.npy"), "unless it is named, as pre-commit does with --all-files"


@pytest.mark.slow
def test_the_staged_bytes_count_not_those_of_the_work_tree(project: Project, git: Any) -> None:
    file = project.root / "notes.txt"
    file.write_bytes(b"PAR1" + b"x" * 3_000_000)
    git("add", "notes.txt")
    file.write_text("harmless")
    assert found(project) == {"notes.txt": "Parquet, 2.9 MiB"}
    file.unlink()
    assert found(project) == {"notes.txt": "Parquet, 2.9 MiB"}
    git("add", "notes.txt")
    assert found(project) == {}


def test_a_first_commit_links_and_odd_names(project: Project, git: Any) -> None:
    git("update-ref", "-d", "HEAD")
    (project.root / "link.npy").symlink_to("/etc/hostname")
    (project.root / ":(glob)*.npy\n").write_bytes(b"PAR1")
    git("add", "--all")
    assert found(project) == {":(glob)*.npy\n": "Parquet, 4 bytes"}
    assert found(project, ":(glob)*.npy\n") == {":(glob)*.npy\n": "Parquet, 4 bytes"}


@pytest.mark.parametrize(
    ("name", "content", "what"),
    [
        ("orbit.db", b"SQLite format 3\0\x10\0", "SQLite"),
        ("notes.txt", b"SQLite format 3\0\x10\0", "SQLite"),
        ("orbit.db", b"a text with\0two zero\0bytes", None),
        ("orbit.sqlite3", b"\0" * 2048, None),
        ("none.pkl", b"N.", "pickle"),
        ("old.pkl", pickle.dumps({"gain": [1, 2]}, protocol=0), "pickle"),
        ("more.pkl", pickle.dumps(1, protocol=0) + b"\n", "pickle"),
        ("long.pkl", b"(lp0\n" + b"I1\na" * 2000, "pickle"),
        ("joblib.joblib", b"x\x9c\x01\0", "pickle"),
        ("one.pkl", b"x", None),
        ("one.pkl", b"\0", None),
        ("empty.pt", b"", None),
        ("word.pkl", b"nothing yet\n", None),
        ("a.npy", b"\0\0", "NumPy"),
    ],
)
def test_what_a_name_says_counts_where_the_bytes_can_be_that(name: str, content: bytes, what: str | None) -> None:
    assert recognise(name, content[:HEAD], len(content)) == what


def test_one_byte_is_one() -> None:
    assert describe_stray("a.npy", b"PAR1", 1) == "Parquet, 1 byte"


def test_a_file_outside_the_repository_is_refused(project: Project) -> None:
    with pytest.raises(BadInput, match="outside repository") as caught:
        list(staged_strays(project.git, ["/etc/passwd"]))
    assert "none to check all staged files" in caught.value.hint
