"""Fetches models from registry or DVC remote; only bytes with the ledger's digest are used."""

from __future__ import annotations

from pathlib import Path

from beampermit.datasets.pull import pull
from beampermit.datasets.repository import Repository
from beampermit.digest import digest_folder
from beampermit.errors import BeampermitError, Outside
from beampermit.project import Project
from beampermit.registry.ancestry import is_ancestor
from beampermit.registry.event import Event
from beampermit.registry.fetching import fetch_version
from beampermit.reproduction.tree import exported


def fetch_model(event: Event, into: Path, uri: str) -> Path:
    """The model folder of `event`, as `fetch_version`."""
    return fetch_version(event.model, event.version, event.digest, into, uri)


def require_commit(project: Project, event: Event) -> None:
    """Fetch the commit of `event` where this clone lacks it. Raises `Outside` where origin has it no more."""
    git = project.git
    if git.resolve(event.commit) is None:
        is_ancestor(git, "origin", event.commit, "HEAD")  # fetches what the clone lacks
    if git.resolve(event.commit) is None:
        raise Outside(
            f"version {event.version} of {event.model} was promoted from commit {event.commit[:12]}, which origin no "
            "longer has"
        )


def fetch_from_dvc(project: Project, event: Event, into: Path) -> Path:
    """The model folder of `event`, from its commit and the DVC remote that the project uses today.

    Raises `Outside` where commit or bytes are gone, or the bytes are others.
    """
    name = f"version {event.version} of {event.model}"
    require_commit(project, event)
    with exported(project.git, event.commit, into / "commit") as tree:
        old = Project(tree)
        try:
            path = old.contract.model.path
            pull(Repository(old, project), [path])
            model = old.path(path).replace(into / "model")
            same = digest_folder(model) == event.digest
        except BeampermitError as error:
            raise Outside(
                f"{name} cannot be fetched from the DVC remote: {error}", hint="beampermit data check"
            ) from None
    if not same:
        raise Outside(f"the DVC remote holds other bytes for {name} than the permit binds", hint="beampermit history")
    return model
