"""Whether a commit may follow the champion: an older run that finishes late does not win."""

from __future__ import annotations

from beampermit.errors import BadInput, Conflict
from beampermit.git import Git
from beampermit.registry.ledger_state import ModelState


def require_newer(git: Git, remote: str, commit: str, state: ModelState) -> None:
    """Refuse a commit that is not built on the one in service last, or that is older than one promoted since.

    A champion that was retired counts as well: what was built before it does not come after it. Raises `Conflict`;
    `BadInput` in a clone that is too shallow to tell.
    """
    last = state.last
    if last is None:
        return
    first = state.promoted[last.version]
    for event in state.promoted.values():
        if event.sequence > first.sequence and is_ancestor(git, remote, commit, event.commit):
            raise Conflict(
                f"commit {commit[:12]} is older than {event.commit[:12]}, which version {event.version} was promoted "
                f"from at {event.at}; nothing moved",
                hint="beampermit history",
            )
    if not is_ancestor(git, remote, last.commit, commit):
        whose = "champion" if state.champion else "retired"
        raise Conflict(
            f"commit {commit[:12]} is not built on {last.commit[:12]}, the commit of {whose} version "
            f"{last.version}: it is older, or on another branch; nothing moved",
            hint=f"git merge {last.commit[:12]}",
        )


def require_on_branch(git: Git, remote: str, branch: str, commit: str) -> None:
    """Refuse a commit that `branch` of `remote` does not hold, or does not hold any more.

    Raises `Conflict` where the branch is gone or was rewritten; `BadInput` in a clone that is too shallow to tell.
    """
    found = git.try_("ls-remote", remote, f"refs/heads/{branch}", timeout=60.0)
    tip = found.out.split("\t")[0]
    if found.code == 0 and tip and is_ancestor(git, remote, commit, tip):
        return
    why = "does not hold it" if tip else "is not there" if found.code == 0 else f"cannot be read: {found.tail}"
    raise Conflict(
        f"commit {commit[:12]} would be promoted from branch {branch}, and that branch of {remote} {why}: "
        f"it was deleted or rewritten meanwhile; nothing moved",
        hint=f"git log {remote}/{branch}",
    )


def is_ancestor(git: Git, remote: str, older: str, newer: str) -> bool:
    """Whether `newer` holds `older`; a commit that is on the remote only is newer than this clone."""
    if not all(git.resolve(commit) for commit in (older, newer)):
        # Without the ledger, which moves here only when it is read.
        branches = (f"+refs/heads/*:refs/remotes/{remote}/*", "^refs/heads/beampermit-ledger")
        git.try_("fetch", "--quiet", "--no-tags", remote, *branches, timeout=60.0)
    found = git.try_("merge-base", "--is-ancestor", older, newer)
    if found.code and git("rev-parse", "--is-shallow-repository") == "true":
        raise BadInput(
            "this clone is shallow, so nobody can say which of two commits is older",
            hint=f"git fetch --unshallow {remote}",
        )
    return found.code == 0
