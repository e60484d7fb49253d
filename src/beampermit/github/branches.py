"""A commit of some files on HEAD, and a branch of ours that has it: HEAD, index and work tree stay as they are."""

from __future__ import annotations

import os
from collections.abc import Sequence

from beampermit.errors import BadInput, Conflict, Outside
from beampermit.git import Git, scratch_index


def commit_files(git: Git, files: Sequence[str], title: str) -> str | None:
    """Commit `files` on HEAD in an index of its own; None where they are unchanged."""
    with scratch_index() as own:
        git("read-tree", "HEAD", env=own)
        git("add", "--", *files, env=own)
        tree = git("write-tree", env=own)
    if tree == git("rev-parse", "HEAD^{tree}"):
        return None
    return git("commit-tree", tree, "-p", git.head(), "-m", title)


def push_branch(git: Git, commit: str, branch: str) -> None:
    """Move the branch to the commit: it replaces the commit of an earlier run, never commits of other people.

    Raises `Conflict`, `Outside`.
    """
    listed, remote = git.remote_tip("origin", branch)
    if listed.code:
        raise Outside(f"cannot look up the branch {branch}: {listed.tail}")
    if remote:
        git("fetch", "--quiet", "--no-tags", "origin", remote)
        if len(git("rev-list", f"HEAD..{remote}").split()) > 1:
            raise Conflict(
                f"{branch} has commits of somebody else", hint=f"merge or delete {branch}, then run it again"
            )
    lease = f"--force-with-lease=refs/heads/{branch}:{remote}"
    pushed = git.try_("push", "--quiet", lease, "origin", f"{commit}:refs/heads/{branch}")
    if pushed.code:
        raise Outside(f"cannot push the branch {branch}: {pushed.tail}")


def base_branch(git: Git) -> str:
    """The branch to merge into: the job's, else the default branch of `origin`. Raises `BadInput`."""
    branch = os.environ.get("GITHUB_REF_NAME") or git.default_branch()
    if not branch:
        raise BadInput("the default branch of origin is unknown here", hint="git remote set-head origin --auto")
    return branch
