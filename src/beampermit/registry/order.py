"""Whether a commit may follow the champion: an older run that finishes late does not win."""

from __future__ import annotations

from beampermit.errors import BadInput, Conflict
from beampermit.git import Git
from beampermit.registry.event import Event, champion, promoted


def must_follow(git: Git, remote: str, commit: str, events: tuple[Event, ...], model: str) -> None:
    """Refuse a commit that is not built on the champion's, or that is older than one promoted since.

    Raises `Conflict`; `BadInput` in a clone that is too shallow to tell.
    """
    standing = champion(events, model)
    if standing is None:
        return
    first = promoted(events, model, standing.version)
    since = [event for event in events if first and event.sequence > first.sequence and event.event == "promote"]
    for event in (event for event in since if event.model == model):
        if _is_ancestor(git, remote, commit, event.commit):
            raise Conflict(
                f"commit {commit[:12]} is older than {event.commit[:12]}, which version {event.version} was promoted "
                f"from at {event.at}; nothing moved",
                hint="beampermit history",
            )
    if not _is_ancestor(git, remote, standing.commit, commit):
        raise Conflict(
            f"commit {commit[:12]} is not built on {standing.commit[:12]}, the commit of champion version "
            f"{standing.version}: it is older, or on another branch; nothing moved",
            hint=f"git merge {standing.commit[:12]}",
        )


def _is_ancestor(git: Git, remote: str, older: str, newer: str) -> bool:
    """Whether `newer` holds `older`; a commit that is on the remote only is newer than this clone."""
    if not all(git.resolve(commit) for commit in (older, newer)):
        git.try_("fetch", "--quiet", "--no-tags", remote, timeout=60.0)
    found = git.try_("merge-base", "--is-ancestor", older, newer)
    if found.code and git("rev-parse", "--is-shallow-repository") == "true":
        raise BadInput(
            "this clone is shallow, so nobody can say which of two commits is older",
            hint=f"git fetch --unshallow {remote}",
        )
    return found.code == 0
