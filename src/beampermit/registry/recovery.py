"""The bytes of a promoted model from where they were made: its commit, and the DVC remote."""

from __future__ import annotations

from pathlib import Path

from beampermit.datasets.pull import pull
from beampermit.datasets.repository import Repository
from beampermit.digest import digest_folder
from beampermit.errors import BeampermitError, Outside
from beampermit.project import Project
from beampermit.registry.event import Event
from beampermit.registry.order import is_ancestor
from beampermit.reproduction.worktree import worktree


def recover(project: Project, event: Event, into: Path) -> Path:
    """The model folder that `event` put into service, below `into`; the remote is the one that is believed today.

    Raises `Outside` where commit or bytes are gone, or are not those that the ledger promised.
    """
    name = f"version {event.version} of {event.model}"
    git = project.git
    if git.resolve(event.commit) is None:
        is_ancestor(git, "origin", event.commit, "HEAD")  # brings what the clone lacks
    if git.resolve(event.commit) is None:
        raise Outside(f"{name} was promoted from commit {event.commit[:12]}, which origin does not have any more")
    folder = into / "worktree"
    with worktree(git, event.commit, folder):
        made = Project(folder)
        try:
            path = made.contract.model.path
            pull(Repository(made, project), [path])
            found = made.path(path).replace(into / "model")
            same = digest_folder(found) == event.digest
        except BeampermitError as error:
            raise Outside(
                f"{name} cannot be brought from the DVC remote: {error}", hint="beampermit data check"
            ) from None
    if not same:
        raise Outside(f"the DVC remote holds other bytes for {name} than the permit binds", hint="beampermit history")
    return found
