"""A project that is committed with CRLF merges by lines, and keeps its line ends."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from beampermit.git import Git
from beampermit.updating.line_ends import follow_line_ends
from beampermit.updating.update import update
from support.git_repositories import committed
from support.template_versions import EDITED, change

Install = Callable[[str], Path]
LF, CRLF = b"a\nb\n", b"a\r\nb\r\n"


def written(folder: Path, contents: dict[str, bytes]) -> Path:
    for name, content in contents.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    return folder


@pytest.mark.parametrize(
    ("ours", "moved"),
    [
        ({"page.md": CRLF, "other.md": CRLF}, CRLF),
        ({"page.md": CRLF, "other.md": LF}, LF),  # not most of its files
    ],
)
def test_a_file_gets_the_line_ends_that_the_commit_has_throughout(
    ours: dict[str, bytes], moved: bytes, tmp_path: Path
) -> None:
    git = committed(written(tmp_path / "ours", {**ours, "mixed.md": b"a\r\nb\n", "one.bin": b"\0\r\n"}))
    written(git.root, {"other.md": CRLF})  # what a checkout has is no matter
    base = written(tmp_path / "base", dict.fromkeys((*ours, "old.md"), LF))
    new = written(
        tmp_path / "new",
        dict.fromkeys((*ours, "moved/old.md", "mixed.md"), LF) | {"one.bin": b"\0\n", "new.bin": b"\0\n"},
    )
    follow_line_ends(git, base, new)
    for folder in (base, new):
        assert {name: (folder / name).read_bytes() for name in ours} == ours
    assert (base / "old.md").read_bytes() == (new / "moved/old.md").read_bytes() == moved
    left = [(new / name).read_bytes() for name in ("mixed.md", "one.bin", "new.bin")]
    assert left == [LF, b"\0\n", b"\0\n"]


@pytest.mark.slow
def test_only_what_both_changed_is_in_conflict_and_all_is_crlf(git: Git, install: Install) -> None:
    change(git.root, "Makefile", "List the targets", "List my targets")
    with (git.root / "docs/how-it-works.md").open("a") as page:
        page.write("\nOurs.\n")
    for name in git.tracked():
        content = (git.root / name).read_bytes()
        if b"\0" not in content:
            (git.root / name).write_bytes(content.replace(b"\n", b"\r\n"))
    git("commit", "--quiet", "--all", "--message", "From a machine with other line ends")
    install(EDITED)
    done = update(git)
    assert done.staged
    assert done.staged.conflicts == ("Makefile",)
    makefile, page = ((git.root / name).read_bytes() for name in ("Makefile", "docs/inside.md"))
    assert (
        b"<<<<<<< yours\r\nhelp: ## List my targets\r\n=======\r\nhelp: ## List all targets\r\n>>>>>>> 9.0.3"
        in makefile
    )
    assert page.endswith(b"Ours.\r\n")
    for content in (makefile, page, (git.root / "docs/new-page.md").read_bytes()):
        assert content.count(b"\n") == content.count(b"\r\n")
