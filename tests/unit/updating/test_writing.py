"""Writing an update: what is in its way is refused before anything is written, whoever put it there."""

from __future__ import annotations

import os
import shlex
from collections.abc import Callable
from pathlib import Path

import pytest

from beampermit.digest import digest_bytes
from beampermit.doctor import committed as looked_at
from beampermit.doctor.subject import Files, Subject
from beampermit.errors import BadInput, Conflict, Outside
from beampermit.git import Git
from beampermit.project import Project
from beampermit.updating.recorded import ANSWERS, RENDERED
from beampermit.updating.source import at
from beampermit.updating.staged import Change, Staged, alone, apply, place_of, read_staged, stage
from beampermit.updating.unclean import refuse_hidden_edits
from beampermit.updating.update import update
from support.git_repositories import committed
from support.template_versions import ADDED, EDITED, change

Install = Callable[[str], Path]


@pytest.mark.slow
def test_an_edit_that_git_was_told_not_to_see_is_not_written_over(git: Git, install: Install) -> None:
    install(EDITED)
    for name, flag in (("Makefile", "--skip-worktree"), (ANSWERS, "--assume-unchanged")):
        before = (git.root / name).read_text()
        git("update-index", flag, name)
        (git.root / name).write_text(f"{before}\n")
        with pytest.raises(BadInput, match=f"{name} is changed and not committed, and git is told not to") as refused:
            update(git)
        assert f"--no-skip-worktree --no-assume-unchanged {name}`" in refused.value.hint
        (git.root / name).write_text(before)  # still hidden, and as committed
    git("update-index", "--skip-worktree", "params.yaml")  # which the template has not changed
    (git.root / "params.yaml").write_text("mine: 1\n")
    git("update-index", "--skip-worktree", "docs/how-it-works.md")
    (git.root / "docs/how-it-works.md").unlink()  # as in a sparse checkout
    done = update(git)
    assert done.staged
    assert done.staged.conflicts == ()
    assert (git.root / "params.yaml").read_text() == "mine: 1\n"


def test_beside_another_update_and_another_git_nothing_is_written(git: Git, install: Install) -> None:
    install(ADDED)
    with alone(git), pytest.raises(Conflict, match="another update of this repository is running"):
        update(git)
    lock = git.root / ".git/index.lock"
    lock.touch()
    with pytest.raises(Conflict, match="git's index is locked") as refused:
        update(git)
    assert refused.value.hint == f"end what is under way; where nothing is, `rm {lock}`"
    lock.unlink()
    assert (git("status", "--porcelain"), read_staged(git)) == ("", None)


@pytest.mark.slow
def test_a_new_file_where_the_project_has_a_folder_is_a_conflict(git: Git, install: Install) -> None:
    mine = git.root / "docs/new-page.md/mine.txt"
    mine.parent.mkdir()
    mine.write_text("Mine.\n")
    git("add", "--all")
    git("commit", "--quiet", "--message", "Mine")
    install(ADDED)
    done = update(git)
    assert done.staged
    assert done.staged.conflicts == ("docs/new-page.md~template",)
    assert (git.root / "docs/new-page.md~template").read_text() == "Watched from main.\n"
    assert mine.read_text() == "Mine.\n"
    assert git("diff", "--name-only", "--diff-filter=U") == "docs/new-page.md~template"


@pytest.fixture
def small(tmp_path: Path) -> Git:
    (tmp_path / "small/notes").mkdir(parents=True)
    (tmp_path / "small/notes/a b").write_text("a\n")
    (tmp_path / "small/run.sh").write_text("run\n")
    (tmp_path / "small" / ANSWERS).write_text("old\n")
    return committed(tmp_path / "small")


def digest(text: str) -> str:
    return digest_bytes(text.encode())


def keep(git: Git, folder: Path, *changes: Change, **files: str) -> Staged:
    """A plan that waits to be applied."""
    folder.mkdir()
    for name, text in files.items():
        (folder / name).write_text(text)
        (folder / name).chmod(0o755)
    plan = Staged(old="1", new="2", changes=changes, conflicts=(), stages=(), notes=())
    stage(git, plan, folder)
    return plan


def test_a_folder_that_becomes_a_file_makes_room_where_nobody_else_uses_it(small: Git, tmp_path: Path) -> None:
    changes = (
        Change(path="notes", before=None, after=digest("n\n")),
        Change(path="notes/a b", before=digest("a\n"), after=None),
    )
    plan = keep(small, tmp_path / "files", *changes, notes="n\n")
    (small.root / "notes/mine").write_text("mine\n")
    found = looked_at.template(Subject("here", Files((), lambda _: None), "main", project=Project(small.root)))
    assert (found.reason, found.fix) == ("the update to 2 was interrupted, and is not finished", "beampermit update")
    with pytest.raises(Conflict, match="in the way"):
        apply(small, plan)
    (small.root / "notes/a b").write_text("edited\n")
    (small.root / "notes/mine").unlink()
    with pytest.raises(Conflict, match="changed since") as refused:
        apply(small, plan)
    assert refused.value.hint.split("`")[1::2] == ["git checkout HEAD -- 'notes/a b'", f"rm -r {place_of(small)}"]
    (small.root / "notes/a b").unlink()  # where it was killed: the file is gone, and the folder not yet
    apply(small, plan)
    assert (small.root / "notes").read_text() == "n\n"


def test_a_mode_alone_is_a_change(small: Git, tmp_path: Path) -> None:
    apply(
        small,
        keep(
            small,
            tmp_path / "files",
            Change(path="run.sh", before=digest("run\n"), after=digest("run\n")),
            **{"run.sh": "run\n"},
        ),
    )
    assert os.access(small.root / "run.sh", os.X_OK)
    assert small("diff", "--summary") == " mode change 100644 => 100755 run.sh"


def test_line_ends_that_git_would_write_otherwise_are_no_edit(small: Git) -> None:
    plan = Staged(
        old="1", new="2", changes=(Change(path="crlf", before="x", after="y"),), conflicts=(), stages=(), notes=()
    )
    (small.root / "crlf").write_bytes(b"a\r\n")
    committed(small.root)
    (small.root / ".gitattributes").write_text("* text eol=lf\n")
    small("add", ".gitattributes")
    small("commit", "--quiet", "--message", "Attributes")
    refuse_hidden_edits(small, plan)
    (small.root / "crlf").write_bytes(b"b\r\n")
    with pytest.raises(BadInput, match="crlf is changed"):
        refuse_hidden_edits(small, plan)


def test_each_project_of_a_repository_has_its_own_plan(small: Git) -> None:
    folders = [small.root / name for name in (".", "top", "a/b/c", "a+b/c", "a/b+c")]
    for folder in folders:
        folder.mkdir(parents=True, exist_ok=True)
    assert len({place_of(Git(folder)) for folder in folders}) == len(folders)


@pytest.mark.slow
def test_a_render_that_git_does_not_take_is_named(git: Git, install: Install) -> None:
    change(
        git.root,
        RENDERED,
        '".gitignore": {',
        '".gitattributes": {"lines": ["* working-tree-encoding=none"]}, ".gitignore": {',
    )
    git("commit", "--quiet", "--all", "--message", "Odd")
    install(ADDED)
    with pytest.raises(BadInput, match="git does not take these files: fatal: failed to encode") as refused:
        update(git)
    assert refused.value.file == str(git.root / RENDERED)
    assert shlex.split(refused.value.hint) == ["git", "log", "--", RENDERED]


def test_the_command_that_shows_why_nothing_is_fetched_can_be_typed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BEAMPERMIT_CACHE", str(tmp_path))
    with pytest.raises(Outside, match="cannot be fetched") as refused, at("v99.9", f"{tmp_path}/a b"):
        pass
    assert refused.value.hint == f"git ls-remote '{tmp_path}/a b'"
