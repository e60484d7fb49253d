"""Whether a commit may be promoted after the champion: an older run that finishes late must not win."""

from __future__ import annotations

from beampermit.errors import BadInput, Conflict
from beampermit.git import Git
from beampermit.registry.ledger_state import ModelState


def require_newer(git: Git, remote: str, commit: str, state: ModelState) -> None:
    """The commit must contain that of the last champion, retired or not, and none promoted since may contain it.

    Raises `Conflict`; `BadInput` in a clone that is too shallow to tell.
    """
    last = state.last_in_service
    if last is None:
        return
    first = state.promoted[last.version]
    for event in state.promoted.values():
        if event.sequence > first.sequence and is_ancestor(git, remote, commit, event.commit):
            raise Conflict(
                f"commit {commit[:12]} is older than {event.commit[:12]}, which version {event.version} was promoted "
                f"from at {event.at}; the ledger was not changed",
                hint="beampermit history",
            )
    if not is_ancestor(git, remote, last.commit, commit):
        kind = "champion" if state.champion else "retired"
        raise Conflict(
            f"commit {commit[:12]} does not contain {last.commit[:12]}, the commit of {kind} version "
            f"{last.version}: it is older or on another branch; the ledger was not changed",
            hint=f"git merge {last.commit[:12]}",
        )


def require_on_branch(git: Git, remote: str, branch: str, commit: str) -> None:
    """Raises `Conflict` where `branch` of `remote` does not contain `commit`; `BadInput` in a too shallow clone."""
    answer = git.try_("ls-remote", remote, f"refs/heads/{branch}", timeout=60.0)
    tip = answer.out.split("\t")[0]
    if answer.code == 0 and tip and is_ancestor(git, remote, commit, tip):
        return
    if answer.code:
        why = f"cannot be read: {answer.tail}"
    else:
        why = "does not contain it; the branch was rewritten meanwhile" if tip else "does not exist"
    raise Conflict(
        f"commit {commit[:12]} cannot be promoted: branch {branch} of {remote} {why}; the ledger was not changed",
        hint=f"git log {remote}/{branch}",
    )


def is_ancestor(git: Git, remote: str, older: str, newer: str) -> bool:
    """Whether `newer` contains `older`; fetches commits that this clone lacks."""
    if not all(git.resolve(commit) for commit in (older, newer)):
        # Without the ledger, which must only be fetched by `Ledger.fetch`.
        branches = (f"+refs/heads/*:refs/remotes/{remote}/*", "^refs/heads/beampermit-ledger")
        git.try_("fetch", "--quiet", "--no-tags", remote, *branches, timeout=60.0)
    answer = git.try_("merge-base", "--is-ancestor", older, newer)
    if answer.code and git("rev-parse", "--is-shallow-repository") == "true":
        raise BadInput(
            "this clone is too shallow to tell which of two commits is older",
            hint=f"git fetch --unshallow {remote}",
        )
    return answer.code == 0
