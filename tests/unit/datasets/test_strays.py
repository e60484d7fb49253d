"""Staged files are checked by the bytes that git would commit."""

from __future__ import annotations

from typing import Any

import pytest

from beampermit.datasets.strays import staged_strays
from beampermit.errors import BadInput
from beampermit.project import Project


def found(project: Project, *names: str) -> dict[str, str]:
    return {stray.path: stray.what for stray in staged_strays(project.git, names)}


def test_only_staged_files_are_checked(project: Project, git: Any) -> None:
    (project.root / "a.npy").write_bytes(b"\0")
    assert found(project) == {}
    git("add", "a.npy")
    assert found(project) == {"a.npy": "NumPy, 1 bytes"}
    git("commit", "--quiet", "--message", "Too late")
    assert found(project) == {}, "what is committed already is DAT008's"
    assert found(project, "a.npy"), "unless it is named, as pre-commit does with --all-files"


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


def test_a_file_outside_the_repository_is_refused(project: Project) -> None:
    with pytest.raises(BadInput, match="outside repository") as caught:
        list(staged_strays(project.git, ["/etc/passwd"]))
    assert "none to check all staged files" in caught.value.hint
