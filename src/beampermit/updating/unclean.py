"""What an update would write over and git has not kept: refused before anything is written."""

from __future__ import annotations

import shlex

from beampermit.errors import BadInput, counted
from beampermit.git import Git, scratch_index
from beampermit.updating.staged import Staged

UNMERGED = {"DD", "AU", "UD", "UA", "DU", "AA", "UU"}
"""What `git status` says of a file in conflict."""


def refuse_unclean(git: Git) -> None:
    """Raise `BadInput` for files in conflict, and for those that are changed and not committed."""
    git.head()
    listed = git("status", "--porcelain", "-z", "--untracked-files=no", "--no-renames", "--", ".")
    entries = [(entry[:2], entry[3:].removeprefix(git.prefix)) for entry in listed.split("\0") if entry]
    if unmerged := [path for state, path in entries if state in UNMERGED]:
        raise BadInput(
            f"{counted(len(unmerged), 'file')} with a conflict that nobody has decided: {', '.join(unmerged)}",
            file=git.root,
            hint=f"edit until each is right, then `git add {shlex.join(unmerged)}`, and commit",
        )
    if entries:
        raise BadInput(
            f"{counted(len(entries), 'file')} changed and not committed, such as {entries[0][1]}: an update begins "
            "from a commit, so that nothing is lost",
            file=git.root,
            hint="commit them, or put them away with `git stash`",
        )


def refuse_hidden_edits(git: Git, staged: Staged) -> None:
    """Raise `BadInput` for edits that git was told not to see: `git status` is silent about them."""
    there = [change.path for change in staged.changes if (git.root / change.path).is_file()]
    edited = _edited(git, there) if there else []
    if edited:
        raise BadInput(
            f"{edited[0]} is changed and not committed, and git is told not to look at it",
            file=git.root,
            hint=f"`git update-index --no-skip-worktree --no-assume-unchanged {shlex.join(edited)}`, then commit",
        )


def _edited(git: Git, paths: list[str]) -> list[str]:
    """Those that HEAD has otherwise. What an index remembers of files, and is told to ignore, is not asked."""
    with scratch_index() as index:
        env = {**index, "GIT_LITERAL_PATHSPECS": "1"}
        git.top("read-tree", "HEAD", env=env)
        words = ("diff", "--name-only", "-z", "--no-renames", "--no-ext-diff", "--relative", "--", *paths)
        listed = git("-c", "core.fsmonitor=false", "-c", "core.sparseCheckout=false", *words, env=env)
    return [path for path in listed.split("\0") if path and not _as_committed(git, path)]


def _as_committed(git: Git, path: str) -> bool:
    """Whether the very bytes are in git, whose filters would write others, as of line ends."""
    if (git.root / path).is_symlink():
        return False
    return git("hash-object", "--no-filters", "--", path) == git("rev-parse", f"HEAD:{git.prefix}{path}")
