"""Clean work trees at a commit, in a folder of ours for each project; those of a killed run are swept away."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from beampermit.digest import digest_bytes
from beampermit.errors import Conflict
from beampermit.git import Git
from beampermit.project import Project

NO_HOOKS = ("-c", "core.hooksPath=/dev/null")
"""A hook of the user's is no part of the commit, and may take long."""
ALWAYS_THE_SAME = {
    f"GIT_{who}_{what}": value
    for who in ("AUTHOR", "COMMITTER")
    for what, value in {"NAME": "beampermit", "EMAIL": "beampermit@localhost", "DATE": "2000-01-01T00:00:00Z"}.items()
}


@contextmanager
def workshop(project: Project) -> Iterator[Path]:
    """The folder for reproductions of a project, ours alone until the block ends; leftovers of killed runs are gone.

    Raises `Conflict` while another reproduction of the same project runs.
    """
    from filelock import FileLock, Timeout
    from platformdirs import user_cache_path

    # Not in the project: DVC takes a work tree below an ignored folder for ignored itself.
    name = f"{project.root.name}-{digest_bytes(str(project.root.resolve()).encode())[7:23]}"
    folder = user_cache_path("beampermit", appauthor=False) / "reproduce" / name
    folder.mkdir(parents=True, exist_ok=True)
    turn = FileLock(folder / "lock")
    try:
        turn.acquire(timeout=0)
    except Timeout:
        raise Conflict("another reproduction of this project is running", file=folder) from None
    try:
        sweep(project.git, folder)
        yield folder
    finally:
        turn.release()


@contextmanager
def worktree(git: Git, commit: str, folder: Path) -> Iterator[Path]:
    """A work tree of `commit` at `folder`, removed when the block ends, however it ends."""
    _remove(git, folder)
    git(*NO_HOOKS, "worktree", "add", "--quiet", "--detach", "--force", str(folder), commit)
    try:
        yield folder
    finally:
        _remove(git, folder)


def sweep(git: Git, folder: Path) -> None:
    """End what still works below `folder`, and remove every work tree there."""
    below = str(folder.resolve())
    _end_below(below)
    for line in git("worktree", "list", "--porcelain").splitlines():
        path = line.removeprefix("worktree ")
        if path != line and path.startswith(f"{below}/"):
            _remove(git, Path(path))


def commit_of_work_tree(git: Git) -> str:
    """A commit of the files as they stand: HEAD where nothing was changed, else one that no branch holds."""
    head, tree = git.head(), git.work_tree()
    if git("rev-parse", f"{head}^{{tree}}") == tree:
        return head
    return git("commit-tree", tree, "-p", head, "-m", "The work tree as it stands", env=ALWAYS_THE_SAME)


def _end_below(folder: str) -> None:
    """End processes that work in a folder of ours: a run that was killed could not end its trainings."""
    import psutil

    for process in psutil.process_iter(["cwd"]):
        if (process.info["cwd"] or "").startswith(f"{folder}/"):
            with suppress(psutil.Error):
                process.kill()


def _remove(git: Git, folder: Path) -> None:
    git.try_("worktree", "remove", "--force", "--force", str(folder))
    shutil.rmtree(folder, ignore_errors=True)
    git("worktree", "prune")
