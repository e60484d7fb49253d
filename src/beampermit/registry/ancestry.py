"""Which of two commits is the older one."""

from __future__ import annotations

from beampermit.errors import BadInput
from beampermit.git import Git


def is_ancestor(git: Git, remote: str, older: str, newer: str) -> bool:
    """Whether `newer` contains `older`; fetches commits that this clone lacks."""
    question = ("merge-base", "--is-ancestor", older, newer)
    answer = git.try_(*question)
    if answer.code > 1:  # it lacks one of them
        # Without the ledger, which must only be fetched by `Ledger.fetch`.
        branches = (f"+refs/heads/*:refs/remotes/{remote}/*", "^refs/heads/beampermit-ledger")
        git.try_("fetch", "--quiet", "--no-tags", remote, *branches, timeout=60.0)
        answer = git.try_(*question)
    if answer.code and git("rev-parse", "--is-shallow-repository") == "true":
        raise BadInput(
            "this clone is too shallow to tell which of two commits is older",
            hint=f"git fetch --unshallow {remote}",
        )
    return answer.code == 0
